//! N-8: a path of 1,400 bytes that loses fragments. What is larger than 1,300 bytes goes by TCP to whoever takes it (RFC 3261
//! §18.1.1), as a datagram to whoever does not, and the largest datagram there is can come in where nothing is lost.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, Heard, Stream};
use crate::sip::{Draft, Message, find, response};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::{LOCAL, World, command};

const PATIENCE: Duration = Duration::from_secs(5);

fn large(to: &str, size: usize) -> Draft {
    let uri = format!("sip:{to}@{DOMAIN}");
    let mut draft = Draft::new("MESSAGE", &uri, &format!("sip:alice@{DOMAIN}"), &uri);
    draft.extra = "Content-Type: text/plain\r\n".into();
    draft.body = "x".repeat(size);
    draft
}

pub fn mtu(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob", "carol"]).open())?;
    // Before the path gets narrow: the largest datagram.
    let agent = Agent::new(LOCAL, server.address)?;
    let uri = format!("sip:{DOMAIN}");
    let mut draft = Draft::new("OPTIONS", &uri, &uri, &uri);
    draft.extra = "Content-Type: text/plain\r\n".into();
    let room = 65_507 - draft.render("UDP", &agent.local.to_string()).len();
    draft.body = "x".repeat(room - 4);
    let answer = agent.ask_within(&draft, PATIENCE).context("a datagram of 65,507 bytes")?;
    if answer.status() != 200 {
        bail!("a datagram of 65,507 bytes: {}", answer.start);
    }

    command(&["ip", "link", "set", "lo", "mtu", "1400"])?;
    world.firewall(
        "table inet narrow {\n chain in {\n  type filter hook prerouting priority -450;\n  ip frag-off & 0x3fff != 0 drop\n }\n}\n",
    )?;
    let bob = Agent::new(LOCAL, server.address)?;
    let listener = TcpListener::bind(bob.local)?;
    bob.register("bob", PASSWORD, DOMAIN)?;
    let mut caller = Stream::connect(server.address)?;
    let sizes = [1_301, 1_500, 5_000, 20_000, 50_000, 60_000];
    let mut peer: Option<Callee> = None;
    for size in sizes {
        let draft = large("bob", size);
        caller.draft(&draft)?;
        let callee = match &mut peer {
            Some(callee) => callee,
            None => peer.insert(Callee::accept(&listener)?),
        };
        let request = callee.request().with_context(|| format!("{size} bytes"))?;
        let via = request.header("via").unwrap_or_default().to_owned();
        if !via.starts_with("SIP/2.0/TCP") {
            bail!("{size} bytes came by TCP with {via}");
        }
        callee.send(&response(&request, "200 OK", "bob", ""))?;
        final_response(&mut caller, &draft).with_context(|| format!("{size} bytes"))?;
    }
    // Small ones stay datagrams.
    let small = large("bob", 100);
    caller.draft(&small)?;
    let request = bob.request("MESSAGE", PATIENCE)?;
    bob.send(response(&request, "200 OK", "bob", ""))?;
    final_response(&mut caller, &small)?;
    // Who listens for no stream gets a datagram, if the path takes it.
    let carol = Agent::new(LOCAL, server.address)?;
    carol.register("carol", PASSWORD, DOMAIN)?;
    let mut draft = large("carol", 0);
    draft.body = "x".repeat(800);
    caller.draft(&draft)?;
    let size = carol.request("MESSAGE", PATIENCE)?;
    carol.send(response(&size, "200 OK", "carol", ""))?;
    final_response(&mut caller, &draft)?;
    server.healthy()?;
    Ok(format!(
        "65,507 bytes in by UDP; {sizes:?} bytes out by TCP over a path of 1,400; small ones and peers without TCP by UDP"
    ))
}

fn final_response(caller: &mut Stream, draft: &Draft) -> Result<()> {
    loop {
        match caller.hear(PATIENCE)? {
            Heard::Message(m) if m.call_id() == draft.call_id && m.status() >= 200 => {
                return if m.status() == 200 { Ok(()) } else { bail!("{}", m.start) };
            }
            Heard::Message(_) => {}
            other => bail!("no answer to MESSAGE: {other:?}"),
        }
    }
}

/// The callee's end of a stream.
struct Callee {
    stream: std::net::TcpStream,
    from: SocketAddr,
    buffer: Vec<u8>,
}

impl Callee {
    fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, from) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, from, buffer: Vec::new() })
    }

    /// One whole message.
    fn request(&mut self) -> Result<Message> {
        use std::io::Read as _;
        let mut piece = vec![0; 65_536];
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let message = Message::parse(&self.buffer).context("no SIP")?;
                let body: usize = message
                    .header("content-length")
                    .and_then(|l| l.parse().ok())
                    .context("no length")?;
                if self.buffer.len() >= end + 4 + body {
                    self.buffer.drain(..end + 4 + body);
                    return Ok(message);
                }
            }
            let n = self.stream.read(&mut piece).with_context(|| format!("from {}", self.from))?;
            if n == 0 {
                bail!("{} closed", self.from);
            }
            self.buffer.extend_from_slice(piece.get(..n).unwrap_or_default());
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        use std::io::Write as _;
        Ok(self.stream.write_all(text.as_bytes())?)
    }
}
