//! Nobody relays through us (S-4), and nobody makes us call ourselves (S-5).

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::sip::{Draft, Message, branch, response, token};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::World;

/// Somebody who should never hear anything.
struct Bystander {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Bystander {
    fn new(ip: IpAddr) -> Result<Self> {
        let udp = UdpSocket::bind((ip, 5060))?;
        udp.set_read_timeout(Some(Duration::from_millis(250)))?;
        let tcp = TcpListener::bind((ip, 5060))?;
        tcp.set_nonblocking(true)?;
        Ok(Self { udp, tcp })
    }

    /// What arrived since the last look.
    fn heard(&self) -> Option<String> {
        let mut buffer = vec![0u8; 65_536];
        if let Ok((length, _)) = self.udp.recv_from(&mut buffer) {
            let text =
                String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            return Some(text.lines().next().unwrap_or_default().to_owned());
        }
        self.tcp.accept().ok().map(|(_, from)| format!("a connection from {from}"))
    }
}

pub fn relay_abuse(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let victim = world.address(77);
    let bystander = Bystander::new(victim)?;
    let attacker = Agent::new(world.address(66), server.address)?;
    let (here, there) = (server.address, format!("{victim}:5060"));
    let mut answers = Vec::new();
    for (name, draft) in forms(here, &there) {
        attacker.draft(&draft)?;
        let status = attacker.receive(Duration::from_millis(250))?.map_or(0, |m| m.status());
        if let Some(heard) = bystander.heard() {
            bail!("{name}: the third host heard `{heard}`");
        }
        if (200..300).contains(&status) {
            bail!("{name}: {status}");
        }
        answers.push(format!("{name} {status}"));
    }
    redirect(world, &server.address, &there, &bystander)?;
    server.healthy()?;
    Ok(format!("0 relayed; {}, redirect not followed", answers.join(", ")))
}

/// Seven forms a stranger can send; the eighth, a redirect, needs a callee.
fn forms(here: SocketAddr, there: &str) -> Vec<(&'static str, Draft)> {
    let invite = |uri: &str| {
        Draft::new("INVITE", uri, "sip:mallory@elsewhere.example", uri)
            .with("Contact: <sip:mallory@198.18.0.66>\r\n")
    };
    let bob = format!("sip:bob@{DOMAIN}");
    let tagged = |mut draft: Draft| {
        draft.to = format!("{};tag={}", draft.to, token());
        draft
    };
    let forged = format!("Route: <sip:{here};lr;rw=00000000deadbeefdeadbeef>,<sip:{there};lr>\r\n");
    let plain = format!("Route: <sip:{here};lr>, <sip:{there};lr>\r\n");
    vec![
        ("foreign Request-URI", invite(&format!("sip:900123@{there}"))),
        ("forged dialog", tagged(invite(&bob).with(&plain))),
        ("forged seal", tagged(invite(&format!("sip:900123@{there}")).with(&forged))),
        ("preloaded Route", invite(&bob).with(&plain)),
        ("maddr", invite(&format!("{bob};maddr={}", there.trim_end_matches(":5060")))),
        ("transport", invite(&format!("sip:bob@{there};transport=tcp"))),
        (
            "Path",
            Draft::register("bob", DOMAIN, "sip:bob@198.18.0.66")
                .with(&format!("Path: <sip:{there};lr>\r\n")),
        ),
        ("REFER", {
            let mut refer = invite(&bob);
            refer.method = "REFER".into();
            refer.with(&format!("Refer-To: <sip:900123@{there}>\r\n"))
        }),
        ("forged ACK", {
            let mut ack = tagged(invite(&format!("sip:900123@{there}")).with(&plain));
            ack.method = "ACK".into();
            ack
        }),
        ("own name in front", invite(&format!("sip:{DOMAIN}@{there}"))),
    ]
}

/// A callee of ours answers 302 to somewhere else: the caller is told, we do not go there.
fn redirect(world: &World, server: &SocketAddr, there: &str, bystander: &Bystander) -> Result<()> {
    let callee = Agent::new(world.address(20), *server)?;
    callee.register("bob", PASSWORD, DOMAIN)?;
    let caller = Agent::new(world.address(21), *server)?;
    let uri = format!("sip:bob@{DOMAIN}");
    let draft = Draft::new("INVITE", &uri, &format!("sip:alice@{DOMAIN}"), &uri)
        .with(&format!("Contact: <{}>\r\n", caller.contact("alice")));
    let refused = caller.ask(&draft)?;
    let challenge =
        crate::digest::Challenge::all(&refused).into_iter().next().context("no challenge")?;
    let draft = draft.again().with(&challenge.answer("alice", PASSWORD, "INVITE", &uri, 1));
    caller.draft(&draft)?;
    let invite = callee.request("INVITE", Duration::from_secs(5))?;
    let contact = format!("Contact: <sip:900123@{there}>\r\n");
    callee.send(response(&invite, "302 Moved Temporarily", "b", &contact))?;
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let Some(message) = caller.receive(Duration::from_millis(500))?
            && message.cseq_method() == "INVITE"
            && message.status() >= 300
        {
            break;
        }
    }
    match bystander.heard() {
        Some(heard) => bail!("redirect: the third host heard `{heard}`"),
        None => Ok(()),
    }
}

/// RFC 5393 §3: two users, each with two devices that send everything back to the server, to the other user.
pub fn fork_loop(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["a", "b"]).inbound())?;
    let mirror = Mirror::start(world.address(31), server.address)?;
    for user in ["a", "b"] {
        // From the mirror's own address: a Contact elsewhere would be taken for a phone behind a NAT.
        let agent = Agent::new(mirror.address.ip(), server.address)?;
        let aor = format!("sip:{user}@{DOMAIN}");
        for device in ["a", "b"] {
            let contact = format!("Contact: <sip:{device}@{}>\r\nExpires: 600\r\n", mirror.address);
            let draft = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor, &aor).with(&contact);
            let answer = agent.ask_as(&draft, user, PASSWORD)?;
            if answer.status() != 200 {
                bail!("REGISTER of {device} for {user}: {}", answer.start);
            }
        }
    }
    let mut counts = Vec::new();
    for hops in [4, 8, 70] {
        let caller = Agent::new(world.address(50), server.address)?;
        let uri = format!("sip:a@{DOMAIN}");
        let mut draft = Draft::new("INVITE", &uri, "sip:carol@elsewhere.example", &uri)
            .with(&format!("Contact: <{}>\r\n", caller.contact("carol")));
        draft.max_forwards = hops;
        let before = mirror.invites.load(Ordering::Relaxed);
        let start = Instant::now();
        let answer = caller.ask_within(&draft, Duration::from_secs(10))?;
        let took = start.elapsed();
        let invites = mirror.invites.load(Ordering::Relaxed) - before;
        if invites > 8 || answer.status() < 300 {
            bail!("Max-Forwards {hops}: {invites} INVITEs, {}", answer.start);
        }
        counts.push(format!(
            "{hops} hops: {invites} INVITEs, {} in {} ms",
            answer.status(),
            took.as_millis()
        ));
    }
    server.healthy()?;
    Ok(counts.join("; "))
}

/// The same with ten users, each of whom has two devices that lead to two others, tried one after the other; who forwards
/// his calls to a third when both refuse, and has a contact that names a fourth. RFC 5393 §5.3: what one request becomes is
/// bounded by its breadth, 60, however it is forked.
pub fn fork_loop_serial(world: &mut World) -> Result<String> {
    const ENTRIES: usize = 10;
    let names: Vec<String> = (0..ENTRIES).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut settings = Settings::local(&users).inbound().serial(2);
    settings.recurse = true;
    let mut server = world.start(&settings)?;
    let mirror = Mirror::start(IpAddr::from([127, 0, 0, 2]), server.address)?;
    for n in 0..ENTRIES {
        let user = |step: usize| users.get((n + step) % ENTRIES).copied().unwrap_or_default();
        let agent = Agent::new(mirror.address.ip(), server.address)?;
        let aor = format!("sip:{}@{DOMAIN}", user(0));
        let contacts = [
            format!("<sip:{}@{}>;q=0.9", user(1), mirror.address),
            format!("<sip:{}@{}>;q=0.5", user(3), mirror.address),
            format!("<sip:{}@{DOMAIN}>;q=0.1", user(5)),
        ];
        let lines = format!("Contact: {}\r\nExpires: 600\r\n", contacts.join(", "));
        let draft = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor, &aor).with(&lines);
        let answer = agent.ask_as(&draft, user(0), PASSWORD)?;
        if answer.status() != 200 {
            bail!("REGISTER of {}: {}", user(0), answer.start);
        }
        let words = ["user", "forward", user(0), "--busy", "--unreachable", user(7)];
        let (code, text) = server.subcommand(&words)?;
        if code != 0 {
            bail!("{words:?}: {text}");
        }
    }
    let caller = Agent::new(IpAddr::from([127, 0, 0, 3]), server.address)?;
    let uri = format!("sip:u0@{DOMAIN}");
    let draft = Draft::new("INVITE", &uri, "sip:carol@elsewhere.example", &uri)
        .with(&format!("Contact: <{}>\r\n", caller.contact("carol")));
    let start = Instant::now();
    let answer = caller.ask_within(&draft, Duration::from_secs(60))?;
    let (took, invites) = (start.elapsed(), mirror.invites.load(Ordering::Relaxed));
    // 60 ends at most, and on the way to each every entry once: then it is known again (RFC 3261 §16.3 step 4).
    if invites > 60 * ENTRIES || answer.status() < 300 {
        bail!("{invites} INVITEs, {}", answer.start);
    }
    server.healthy()?;
    Ok(format!("{invites} INVITEs, {} after {} ms", answer.status(), took.as_millis()))
}

/// A stateless element that sends every request back to where it came from, addressed to our domain again.
struct Mirror {
    address: SocketAddr,
    invites: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Mirror {
    fn start(ip: IpAddr, server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((ip, 5060))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        let (invites, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, end) = (Arc::clone(&invites), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut buffer = vec![0u8; 65_536];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
                let Some(message) = Message::parse(buffer.get(..length).unwrap_or_default()) else {
                    continue;
                };
                counter.fetch_add(usize::from(message.method() == "INVITE"), Ordering::Relaxed);
                let _ = socket.send_to(reflect(&message, address).as_bytes(), server);
            }
        });
        Ok(Self { address, invites, stop })
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A request with our Via on top and our domain in its URI; a response without its top Via.
fn reflect(message: &Message, address: SocketAddr) -> String {
    let mut text = String::new();
    let is_request = message.status() == 0;
    if is_request {
        let user = message.start.split(['@', ':', ' ']).nth(2).unwrap_or("a");
        text.push_str(&format!("{} sip:{user}@{DOMAIN} SIP/2.0\r\n", message.method()));
        text.push_str(&format!("Via: SIP/2.0/UDP {address};branch={}\r\n", branch()));
    } else {
        text.push_str(&format!("{}\r\n", message.start));
    }
    let mut skip = !is_request;
    for (name, value) in &message.headers {
        match name.as_str() {
            "via" if skip => {
                skip = false;
                if let Some((_, rest)) = value.split_once(',') {
                    text.push_str(&format!("Via:{rest}\r\n"));
                }
            }
            "max-forwards" => {
                let hops = value.parse::<u32>().unwrap_or(1).saturating_sub(1);
                text.push_str(&format!("Max-Forwards: {hops}\r\n"));
            }
            // What the server recorded of itself would come back as a Route; a hostile element drops it.
            "record-route" if is_request => {}
            _ => text.push_str(&format!("{name}: {value}\r\n")),
        }
    }
    text.push_str("\r\n");
    text
}
