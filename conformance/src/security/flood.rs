//! Floods: from one address (O-2), from many forged ones (O-3), and with the address of a victim (O-4). What others do
//! meanwhile is what counts.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::agent::Agent;
use crate::child::Child;
use crate::digest::Challenge;
use crate::sip::Draft;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{World, command};

const USERS: [&str; 8] = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];
/// Calls a second of the others.
const RATE: &str = "100";

/// Somebody who sends and does not listen. Ends when it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    began: Instant,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// `send` sends number n; at most `rate` a second.
    fn start(rate: u64, mut send: impl FnMut(u64) + Send + 'static) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_micros() as u64 * rate / 1_000_000).min(n + 256);
                while n < due {
                    send(n);
                    n += 1;
                }
                count.store(n, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        Self { stop, sent, began, thread: Some(thread) }
    }

    /// Packets a second so far.
    fn rate(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) * 1_000 / (self.began.elapsed().as_millis() as u64).max(1)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A request as a scanner sends it: every one a new call.
fn scan(n: u64, from: SocketAddr) -> String {
    let method = if n.is_multiple_of(2) { "INVITE" } else { "OPTIONS" };
    format!(
        "{method} sip:{n}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKf{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:100@{DOMAIN}>;tag={n}\r\nTo: <sip:{n}@{DOMAIN}>\r\nCall-ID: flood-{n}@{from}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:100@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A socket that writes the IP header itself, so that any address can be the sender's.
struct Forger {
    socket: Socket,
    to: SocketAddrV4,
    packet: Vec<u8>,
}

impl Forger {
    fn new(to: SocketAddr) -> Result<Self> {
        let SocketAddr::V4(to) = to else { bail!("IPv4 only") };
        let raw = Some(Protocol::from(255));
        let socket = Socket::new(Domain::IPV4, Type::RAW, raw).context("a raw socket")?;
        socket.set_header_included_v4(true)?;
        socket.set_send_buffer_size(4 << 20)?;
        Ok(Self { socket, to, packet: Vec::new() })
    }

    /// One datagram from `from`. The kernel fills in the length, the identification and the header's checksum.
    fn send(&mut self, from: SocketAddrV4, text: &[u8]) {
        let length = u16::try_from(8 + text.len()).unwrap_or(u16::MAX).to_be_bytes();
        self.packet.clear();
        self.packet.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        self.packet.extend_from_slice(&from.ip().octets());
        self.packet.extend_from_slice(&self.to.ip().octets());
        self.packet.extend_from_slice(&from.port().to_be_bytes());
        self.packet.extend_from_slice(&self.to.port().to_be_bytes());
        self.packet.extend_from_slice(&length);
        // Without a checksum of its own, which UDP over IPv4 allows.
        self.packet.extend_from_slice(&[0, 0]);
        self.packet.extend_from_slice(text);
        // A full queue loses it, as a network would.
        let _ = self.socket.send_to(&self.packet, &self.to.into());
    }
}

/// Calls by the others, through the server, for so many seconds: its report. Every one must be good.
fn calls(world: &World, server: &Server, name: &str, seconds: u32) -> Result<Value> {
    let bind = world.address(11).to_string();
    let host = server.address.ip().to_string();
    let mut command = Command::new(crate::world::ringway());
    command.args(["load", &host, "--i-may-load-test", &host, "--bind", &bind, "--domain", DOMAIN]);
    command.args(["--users", &USERS.join(","), "--password-env", "PW", "--rate", RATE]);
    command.args(["--for", &format!("{seconds}s"), "--json"]).env("PW", PASSWORD);
    let mut child = Child::start(&world.folder, name, &mut command)?;
    child.wait(Duration::from_secs(60))?;
    let report = child.report()?;
    let units = &report["units"];
    if units["failed"] != 0 || units["ok"].as_u64().is_none_or(|ok| ok == 0) {
        bail!("{name}: calls of others failed: {units}");
    }
    Ok(report)
}

fn p99(report: &Value) -> Result<f64> {
    report["setup_ms"]["p99"].as_f64().context("no p99 in the report")
}

/// The calls of others beside a flood: all good, and hardly later than before (goal 3 times as late, and 50 ms at most).
fn judged(
    world: &World,
    server: &mut Server,
    flood: impl FnOnce() -> Result<Flood>,
) -> Result<(String, Flood)> {
    let idle = p99(&calls(world, server, "idle", 4)?)?;
    let before = server.memory();
    let flood = flood()?;
    let report = calls(world, server, "flooded", 8)?;
    let flooded = p99(&report)?;
    let grown = server.memory().saturating_sub(before) / 1024;
    let rate = flood.rate();
    let figures = format!(
        "{} of {} calls of others good, p99 {idle:.1} ms alone and {flooded:.1} ms beside {rate} requests/s, memory +{grown} MiB",
        report["units"]["ok"], report["units"]["started"]
    );
    if grown > 64 {
        bail!("{figures}: more than 64 MiB");
    }
    // Both cores are taken by the generator and the load: a margin for that, and the goal in words.
    if flooded > 50.0f64.max(3.0 * idle) {
        bail!("{figures}: others wait too long");
    }
    Ok((figures, flood))
}

pub fn one_source(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&USERS))?;
    let (from, to) = (SocketAddr::new(world.address(66), 5060), server.address);
    let start = move || {
        let socket = UdpSocket::bind(from)?;
        Ok(Flood::start(50_000, move |n| {
            let _ = socket.send_to(scan(n, from).as_bytes(), to);
        }))
    };
    let (figures, flood) = judged(world, &mut server, start)?;
    drop(flood);
    server.healthy()?;
    let status = server.status()?;
    let dropped = status["counters"]["dropped_unverified"].as_u64().unwrap_or(0);
    if dropped < 1_000 {
        bail!("{figures}: only {dropped} were dropped");
    }
    Ok(figures)
}

/// A forged sender in 198.19.0.0/16, which leads back here, where nobody listens.
fn forged(n: u64) -> SocketAddrV4 {
    let host = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let [_, _, high, low] = ((host % 60_000) as u32).to_be_bytes();
    SocketAddrV4::new([198, 19, high, low].into(), 1_024 + (n % 60_000) as u16)
}

pub fn spoofed(world: &mut World) -> Result<String> {
    command(&["ip", "route", "add", "local", "198.19.0.0/16", "dev", "lo"])?;
    let mut server = world.start(&Settings::public(&USERS))?;
    let to = server.address;
    let start = move || {
        let mut forger = Forger::new(to)?;
        Ok(Flood::start(20_000, move |n| {
            let from = forged(n);
            forger.send(from, scan(n, from.into()).as_bytes());
        }))
    };
    let (figures, flood) = judged(world, &mut server, start)?;
    drop(flood);
    server.healthy()?;
    let status = server.status()?;
    if status["bans"] != 0 {
        bail!("{figures}: somebody who only seemed to send was banned");
    }
    Ok(figures)
}

/// O-4: many wrong answers to real challenges, with the victim's address on them. The victim's phone goes on, and so does a
/// new one of his.
pub fn spoof_lockout(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let victim = Agent::new(world.address(20), server.address)?;
    victim.register("alice", PASSWORD, DOMAIN)?;
    let attacker = Agent::new(world.address(66), server.address)?;
    let mut forger = Forger::new(server.address)?;
    let IpAddr::V4(ip) = victim.local.ip() else { bail!("IPv4 only") };
    for n in 0..200u16 {
        let draft = Draft::register("bob", DOMAIN, &attacker.contact("bob"));
        let mut text = draft.render("UDP", &victim.local.to_string());
        if n % 10 == 0 {
            // A fresh challenge, which the attacker got himself.
            let refused = attacker.ask(&draft)?;
            let challenge = Challenge::all(&refused).into_iter().next().context("no challenge")?;
            let wrong = challenge.answer("bob", "guess", "REGISTER", &draft.uri, 1);
            text = draft.clone().again().with(&wrong).render("UDP", &victim.local.to_string());
        }
        // From the very port of the victim's phone, and from others of his.
        let port = if n % 2 == 0 { victim.local.port() } else { 20_000 + n };
        for _ in 0..3 {
            forger.send(SocketAddrV4::new(ip, port), text.as_bytes());
        }
    }
    let status = server.status()?;
    if status["counters"]["auth_failed"].as_u64().is_none_or(|failed| failed < 20) {
        bail!("the forged answers did not arrive: {}", status["counters"]);
    }
    if status["bans"] != 0 {
        bail!("the victim's address is banned for what others wrote on their packets");
    }
    let mut good = 0;
    for _ in 0..50 {
        victim.register("alice", PASSWORD, DOMAIN).context("the victim's phone")?;
        good += 1;
    }
    // His budget of a stranger is used up by others; a second later he has some again.
    let second = Agent::new(world.address(20), server.address)?;
    let began = Instant::now();
    second.register("alice", PASSWORD, DOMAIN).context("another phone of the victim")?;
    let waited = began.elapsed();
    server.healthy()?;
    Ok(format!(
        "600 forged datagrams: {good} of 50 of the victim good, nobody banned, a new phone of his registers in {} ms",
        waited.as_millis()
    ))
}
