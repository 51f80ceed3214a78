//! A small user agent for the tests: sends a request as the RFC says (RFC 3261 §17.1), answers challenges, acknowledges.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::digest::Challenge;
use crate::sip::{Draft, Message, find};

/// RFC 3261 §17.1.1.1.
pub const T1: Duration = Duration::from_millis(500);

pub struct Agent {
    socket: UdpSocket,
    pub remote: SocketAddr,
    pub local: SocketAddr,
}

impl Agent {
    /// An agent on a free port of `ip`, talking to `remote`.
    pub fn new(ip: IpAddr, remote: SocketAddr) -> Result<Self> {
        Self::at(SocketAddr::new(ip, 0), remote)
    }

    pub fn at(local: SocketAddr, remote: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(local).with_context(|| format!("udp {local}"))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, remote, local })
    }

    pub fn contact(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.local)
    }

    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.socket.send_to(bytes.as_ref(), self.remote).context("send")?;
        Ok(())
    }

    pub fn draft(&self, draft: &Draft) -> Result<()> {
        self.send(draft.render("UDP", &self.local.to_string()))
    }

    /// The next datagram, whatever it is, within `limit`.
    pub fn datagram(&self, limit: Duration) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0u8; 65_536];
        self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        match self.socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if idle(&error) => Ok(None),
            // An ICMP error of a datagram sent before: the same as silence.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error).context("receive"),
        }
    }

    /// The next message within `limit`.
    pub fn receive(&self, limit: Duration) -> Result<Option<Message>> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(bytes) = self.datagram(left)? else { return Ok(None) };
            if let Some(message) = Message::parse(&bytes) {
                return Ok(Some(message));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// The next request within `limit`.
    pub fn request(&self, method: &str, limit: Duration) -> Result<Message> {
        let end = Instant::now() + limit;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(message) = self.receive(left)?
                && message.method() == method
            {
                return Ok(message);
            }
        }
        bail!("no {method} arrived at {} in {} s", self.local, limit.as_secs())
    }

    /// Sends and sends again until a final response comes (RFC 3261 §17.1.2.2, Timers E and F); acknowledges
    /// one that refuses an INVITE.
    pub fn ask(&self, draft: &Draft) -> Result<Message> {
        self.ask_within(draft, 64 * T1)
    }

    pub fn ask_within(&self, draft: &Draft, limit: Duration) -> Result<Message> {
        let start = Instant::now();
        let mut interval = T1;
        let mut next = start;
        let mut heard = false;
        loop {
            if Instant::now() >= next && !(heard && draft.method == "INVITE") {
                self.draft(draft)?;
                next = Instant::now() + interval;
                interval = (interval * 2).min(8 * T1);
            }
            let left = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            if let Some(message) = self.receive(left)? {
                let ours = message.call_id() == draft.call_id
                    && message.cseq_method() == draft.method
                    && message
                        .header("cseq")
                        .is_some_and(|c| c.starts_with(&format!("{} ", draft.cseq)));
                if ours && message.status() >= 200 {
                    if draft.method == "INVITE" && message.status() >= 300 {
                        self.acknowledge(draft, &message)?;
                    }
                    return Ok(message);
                }
                heard |= ours && message.status() != 0;
            }
            if start.elapsed() > limit {
                bail!("no final response to {} in {} s", draft.method, limit.as_secs());
            }
        }
    }

    /// The ACK to a refusal: same branch, same hop (RFC 3261 §17.1.1.3).
    fn acknowledge(&self, draft: &Draft, response: &Message) -> Result<()> {
        let mut ack = draft.clone();
        ack.method = "ACK".into();
        ack.extra = String::new();
        ack.body = String::new();
        if let Some(to) = response.header("to") {
            ack.to = to.into();
        }
        self.draft(&ack)
    }

    /// As `ask`, and once more with credentials if it is challenged.
    pub fn ask_as(&self, draft: &Draft, user: &str, password: &str) -> Result<Message> {
        let first = self.ask(draft)?;
        let Some(challenge) = Challenge::all(&first).into_iter().next() else { return Ok(first) };
        let answer = challenge.answer(user, password, &draft.method, &draft.uri, 1);
        self.ask(&draft.clone().again().with(&answer))
    }

    /// Registers this agent's address; anything but a 200 is an error.
    pub fn register(&self, user: &str, password: &str, domain: &str) -> Result<Message> {
        let draft = Draft::register(user, domain, &self.contact(user));
        let answer = self.ask_as(&draft, user, password)?;
        if answer.status() != 200 {
            bail!("REGISTER of {user}: {}", answer.start);
        }
        Ok(answer)
    }
}

/// Does the subject answer OPTIONS, and how fast? Sends again every 50 ms, as nothing is known about the start.
pub fn alive(ip: IpAddr, remote: SocketAddr, limit: Duration) -> Result<Duration> {
    let agent = Agent::new(ip, remote)?;
    let start = Instant::now();
    while start.elapsed() < limit {
        let uri = format!("sip:{remote}");
        let draft = Draft::new("OPTIONS", &uri, "sip:probe@invalid", &uri);
        let asked = Instant::now();
        agent.draft(&draft)?;
        while let Some(message) = agent.receive(Duration::from_millis(50))? {
            if message.call_id() == draft.call_id {
                return Ok(asked.elapsed());
            }
        }
    }
    bail!("OPTIONS got no answer in {} s", limit.as_secs())
}

/// A connection, for what must be seen on a stream.
pub struct Stream {
    stream: TcpStream,
    buffer: Vec<u8>,
    pub local: SocketAddr,
}

/// What a stream gave within a time.
#[derive(Debug)]
pub enum Heard {
    Message(Message),
    /// The other end closed, or reset.
    Closed,
    Nothing,
}

impl Stream {
    pub fn connect(remote: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&remote, Duration::from_secs(2))
            .with_context(|| format!("tcp {remote}"))?;
        Self::over(stream)
    }

    /// From one of our addresses.
    pub fn connect_from(local: IpAddr, remote: SocketAddr) -> Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(remote),
            socket2::Type::STREAM,
            None,
        )?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket
            .connect_timeout(&remote.into(), Duration::from_secs(2))
            .with_context(|| format!("tcp {remote}"))?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { stream, buffer: Vec::new(), local })
    }

    /// `Ok(false)`: the other end has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.stream.write_all(bytes.as_ref()).is_ok())
    }

    pub fn draft(&mut self, draft: &Draft) -> Result<bool> {
        let text = draft.render("TCP", &self.local.to_string());
        self.send(text)
    }

    pub fn hear(&mut self, limit: Duration) -> Result<Heard> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = self.framed() {
                return Ok(Heard::Message(message));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Nothing);
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut piece = [0u8; 16_384];
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Heard::Closed),
                Ok(length) => {
                    self.buffer.extend_from_slice(piece.get(..length).unwrap_or_default())
                }
                Err(error) if idle(&error) => return Ok(Heard::Nothing),
                Err(_) => return Ok(Heard::Closed),
            }
        }
    }

    /// One message off the front of what arrived (RFC 3261 §18.3).
    fn framed(&mut self) -> Option<Message> {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
        }
        let head = find(&self.buffer, b"\r\n\r\n")? + 4;
        let message = Message::parse(self.buffer.get(..head)?)?;
        let body: usize =
            message.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        if self.buffer.len() < head + body {
            return None;
        }
        let bytes: Vec<u8> = self.buffer.drain(..head + body).collect();
        Message::parse(&bytes)
    }

    /// The final response to `draft`.
    pub fn ask(&mut self, draft: &Draft, limit: Duration) -> Result<Message> {
        let end = Instant::now() + limit;
        self.draft(draft)?;
        loop {
            match self.hear(end.saturating_duration_since(Instant::now()))? {
                Heard::Message(m) if m.call_id() == draft.call_id && m.status() >= 200 => {
                    return Ok(m);
                }
                Heard::Message(_) => {}
                Heard::Closed => {
                    bail!("the connection was closed before {} was answered", draft.method)
                }
                Heard::Nothing => {
                    bail!("no answer to {} in {} ms", draft.method, limit.as_millis())
                }
            }
        }
    }
}

fn idle(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
