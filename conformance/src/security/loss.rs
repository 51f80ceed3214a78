//! Calls over a network that loses every fifth datagram each way (N-1). SIPp cannot judge this (it calls a retransmitted 200
//! unexpected), so the caller and the callee here keep the timers of RFC 3261 §17 and §13 themselves.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, T1};
use crate::sip::{Draft, Message, branch, response};
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

const CALLS: usize = 500;
/// One new call each.
const EVERY: Duration = Duration::from_millis(25);
const T2: Duration = Duration::from_secs(4);
/// Timers B, F and H.
const GIVE_UP: Duration = Duration::from_secs(32);

pub fn loss20(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["bob"]).inbound())?;
    let callee = Agent::new(LOCAL, server.address)?;
    callee.register("bob", PASSWORD, DOMAIN)?;
    let port = callee.local.port();
    drop(callee);
    world.firewall(
        "table inet loss {\n chain in {\n  type filter hook input priority 0;\n  meta l4proto udp numgen random mod 100 < 20 drop\n }\n}\n",
    )?;
    let callee = Callee::new(SocketAddr::new(LOCAL, port))?;
    let mut caller = Caller::new(server.address)?;
    let ringing = std::thread::spawn(move || callee.run());
    caller.run()?;
    ringing.join().map_err(|_| anyhow::anyhow!("the callee died"))??;
    world.firewall("flush ruleset\n")?;
    server.healthy()?;
    let rest = at_rest(&server)?;
    let count = |wanted: End| caller.calls.values().filter(|c| c.end == Some(wanted)).count();
    let (good, refused, silent) = (count(End::Good), count(End::Refused), count(End::Silent));
    let figures = format!(
        "{good} of {CALLS} calls complete, {refused} ended by an error response, {silent} by silence"
    );
    if good + refused + silent != CALLS || good * 1000 < CALLS * 995 {
        bail!("{figures}");
    }
    let limit = (GIVE_UP + Duration::from_secs(1)).as_secs();
    Ok(format!("{figures}; all ended within {limit} s, nothing left in the server {rest} s later"))
}

/// Waits until the server holds no transaction and no timer any more; gives the seconds it took. 64 s are the longest anything of a
/// call may stay: one transaction's life after another's.
fn at_rest(server: &Server) -> Result<u64> {
    let start = Instant::now();
    loop {
        let (_, status) = server.subcommand(&["status", "--json"])?;
        let held = ["transactions", "contexts", "calls_in_setup"]
            .into_iter()
            .find(|name| !status.contains(&format!("\"{name}\":0,")));
        let Some(held) = held else { return Ok(start.elapsed().as_secs()) };
        if start.elapsed() > 2 * GIVE_UP {
            bail!("{held} are left after 64 s: {}", status.trim());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A message that is sent again until somebody answers (RFC 3261 §17.1.1.2, §17.1.2.2, §13.3.1.4).
struct Repeat {
    text: String,
    next: Instant,
    interval: Duration,
    cap: Duration,
    until: Instant,
}

impl Repeat {
    fn new(text: String, cap: Duration) -> Self {
        let now = Instant::now();
        Self { text, next: now, interval: T1, cap, until: now + GIVE_UP }
    }

    /// Sends if it is time; `false`: it is over.
    fn turn(&mut self, socket: &UdpSocket, remote: SocketAddr) -> Result<bool> {
        let now = Instant::now();
        if now >= self.until {
            return Ok(false);
        }
        if now >= self.next {
            socket.send_to(self.text.as_bytes(), remote)?;
            self.next = now + self.interval;
            self.interval = (self.interval * 2).min(self.cap);
        }
        Ok(true)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    /// An error response: the caller knows where it stands.
    Refused,
    /// Timer B or F.
    Silent,
}

struct Call {
    draft: Draft,
    /// INVITE, later BYE.
    request: Option<Repeat>,
    /// Sent for every 200 that comes.
    ack: Option<String>,
    hang_up: Option<Instant>,
    end: Option<End>,
}

struct Caller {
    socket: UdpSocket,
    remote: SocketAddr,
    via: String,
    calls: HashMap<String, Call>,
}

impl Caller {
    fn new(remote: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((LOCAL, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let via = socket.local_addr()?.to_string();
        Ok(Self { socket, remote, via, calls: HashMap::new() })
    }

    fn run(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut buffer = vec![0u8; 65_536];
        while self.calls.len() < CALLS || self.calls.values().any(|c| c.end.is_none()) {
            if self.calls.len() < CALLS && start.elapsed() > EVERY * self.calls.len() as u32 {
                self.begin();
            }
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer)
                && let Some(message) = Message::parse(buffer.get(..length).unwrap_or_default())
            {
                self.hear(&message)?;
            }
            self.turn()?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        let uri = format!("sip:bob@{DOMAIN}");
        let contact = format!("Contact: <sip:carol@{}>\r\n", self.via);
        let draft = Draft::new("INVITE", &uri, "sip:carol@elsewhere.example", &uri).with(&contact);
        // Timer A doubles without a cap; Timer B ends it.
        let request = Some(Repeat::new(draft.render("UDP", &self.via), GIVE_UP));
        self.calls.insert(
            draft.call_id.clone(),
            Call { draft, request, ack: None, hang_up: None, end: None },
        );
    }

    fn hear(&mut self, message: &Message) -> Result<()> {
        let Some(call) = self.calls.get_mut(message.call_id()) else { return Ok(()) };
        match (message.cseq_method(), message.status()) {
            // A provisional response stops the retransmissions; the proxy's Timer C is the limit then.
            ("INVITE", 100..=199) if call.hang_up.is_none() && call.end.is_none() => {
                if let Some(request) = &mut call.request {
                    request.next = request.until;
                }
            }
            ("INVITE", 200..=299) => {
                if call.ack.is_none() {
                    call.ack =
                        Some(within(&call.draft, message, "ACK", 1).render("UDP", &self.via));
                    call.request = None;
                    call.hang_up = Some(Instant::now() + Duration::from_millis(500));
                    let bye = within(&call.draft, message, "BYE", 2);
                    call.draft = bye;
                }
                if let Some(ack) = &call.ack {
                    self.socket.send_to(ack.as_bytes(), self.remote)?;
                }
            }
            ("INVITE", 300..) => {
                let mut ack = call.draft.clone();
                ack.method = "ACK".into();
                ack.extra.clear();
                ack.to = message.header("to").unwrap_or_default().into();
                self.socket.send_to(ack.render("UDP", &self.via).as_bytes(), self.remote)?;
                call.request = None;
                call.end.get_or_insert(End::Refused);
            }
            ("BYE", 200..=299) => {
                call.request = None;
                call.end.get_or_insert(End::Good);
            }
            ("BYE", 300..) => {
                call.request = None;
                call.end.get_or_insert(End::Refused);
            }
            _ => {}
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        let now = Instant::now();
        for call in self.calls.values_mut() {
            if call.hang_up.is_some_and(|at| now >= at) {
                call.hang_up = None;
                call.request = Some(Repeat::new(call.draft.render("UDP", &self.via), T2));
            }
            if let Some(request) = &mut call.request
                && !request.turn(&self.socket, self.remote)?
            {
                call.request = None;
                call.end.get_or_insert(End::Silent);
            }
        }
        Ok(())
    }
}

/// A request inside the dialog that `response` made (RFC 3261 §12.2.1.1).
fn within(invite: &Draft, response: &Message, method: &str, cseq: u32) -> Draft {
    let mut draft = invite.clone();
    draft.method = method.into();
    draft.cseq = cseq;
    draft.branch = branch();
    draft.uri = response.uri("contact").unwrap_or_default().into();
    draft.to = response.header("to").unwrap_or_default().into();
    let mut routes: Vec<&str> = response.all("record-route").collect();
    routes.reverse();
    draft.extra = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
    draft
}

struct Callee {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Callee {
    fn new(local: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(local).with_context(|| format!("udp {local}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        Ok(Self { socket, local })
    }

    /// Answers every call with 200, repeated until its ACK or BYE; ends when nothing comes any more.
    fn run(self) -> Result<()> {
        let contact = format!("Contact: <sip:bob@{}>\r\n", self.local);
        let mut open: HashMap<String, (Repeat, SocketAddr)> = HashMap::new();
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut last = Instant::now();
        let mut buffer = vec![0u8; 65_536];
        while last.elapsed() < Duration::from_secs(6) || !open.is_empty() {
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer)
                && let Some(message) = Message::parse(buffer.get(..length).unwrap_or_default())
            {
                last = Instant::now();
                let call = message.call_id().to_owned();
                match message.method() {
                    "INVITE" => {
                        let answer = seen
                            .entry(call.clone())
                            .or_insert_with(|| response(&message, "200 OK", "b", &contact));
                        let ringing = response(&message, "180 Ringing", "b", &contact);
                        self.socket.send_to(ringing.as_bytes(), from)?;
                        open.entry(call).or_insert_with(|| (Repeat::new(answer.clone(), T2), from));
                    }
                    "ACK" => drop(open.remove(&call)),
                    "BYE" => {
                        open.remove(&call);
                        self.socket
                            .send_to(response(&message, "200 OK", "b", "").as_bytes(), from)?;
                    }
                    _ => {}
                }
            }
            let mut over = Vec::new();
            for (call, (answer, to)) in &mut open {
                if !answer.turn(&self.socket, *to)? {
                    over.push(call.clone());
                }
            }
            over.iter().for_each(|call| drop(open.remove(call)));
        }
        Ok(())
    }
}
