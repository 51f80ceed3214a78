//! What the server gives to the world: no more bytes than were sent to it (S-10), and no more ports than documented (S-19).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::{self, Agent};
use crate::child::Child;
use crate::sip::{Draft, Message};
use crate::subject::{DOMAIN, Settings};
use crate::world::{World, ringway};

pub fn reflection(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice"]))?;
    let mut worst = (0.0f64, "");
    let methods = [
        "REGISTER",
        "INVITE",
        "OPTIONS",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
        "NOTIFY",
        "BYE",
        "REFER",
        "INFO",
        "NEWMETHOD",
    ];
    for (n, method) in methods.into_iter().enumerate() {
        let stranger = Agent::new(world.address(100 + n as u8), server.address)?;
        let uri = if method == "REGISTER" {
            format!("sip:{DOMAIN}")
        } else {
            format!("sip:alice@{DOMAIN}")
        };
        let draft = Draft::new(method, &uri, &format!("sip:alice@{DOMAIN}"), &format!("sip:alice@{DOMAIN}"))
            .with("Contact: <sip:alice@198.18.0.66:5060>\r\nUser-Agent: an ordinary phone of today/1.0\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n");
        let sent = draft.render("UDP", &stranger.local.to_string());
        stranger.send(&sent)?;
        let (mut packets, mut bytes) = (0, 0);
        // Long enough for two retransmissions of a transaction that should not exist.
        let end = Instant::now() + Duration::from_millis(1800);
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            if let Some(datagram) = stranger.datagram(left)? {
                packets += 1;
                bytes += datagram.len();
                no_version(&datagram)?;
            }
        }
        let ratio = bytes as f64 / sent.len() as f64;
        if ratio > worst.0 {
            worst = (ratio, method);
        }
        if packets > 1 || ratio > 1.5 {
            bail!("{method}: {packets} packets, {ratio:.2} times the bytes");
        }
    }
    let burst = burst(world, &server.address)?;
    server.healthy()?;
    Ok(format!(
        "1 packet each, at most {:.2} times the bytes ({}); 500 requests at once earn {burst} answers",
        worst.0, worst.1
    ))
}

fn no_version(datagram: &[u8]) -> Result<()> {
    let message = Message::parse(datagram).context("an answer that is no message")?;
    for name in ["server", "user-agent"] {
        if let Some(value) = message.header(name) {
            bail!("an answer says `{name}: {value}`");
        }
    }
    Ok(())
}

/// A source that proved nothing gets its small budget and then silence.
fn burst(world: &World, server: &std::net::SocketAddr) -> Result<u32> {
    let stranger = Agent::new(world.address(200), *server)?;
    let start = Instant::now();
    for _ in 0..500 {
        let uri = format!("sip:{DOMAIN}");
        stranger.draft(&Draft::new("OPTIONS", &uri, "sip:x@invalid", &uri))?;
    }
    let mut answers = 0;
    while stranger.datagram(Duration::from_millis(500))?.is_some() {
        answers += 1;
    }
    // 60 at once and 20 a second.
    let allowed = 60 + 20 * (start.elapsed().as_secs() as u32 + 1);
    if answers > allowed {
        bail!("500 requests of an unproven source earned {answers} answers, more than {allowed}");
    }
    Ok(answers)
}

pub fn default_exposure(world: &mut World) -> Result<String> {
    let folder = world.folder.join("empty");
    std::fs::create_dir_all(&folder)?;
    let before = listening()?;
    let mut command = std::process::Command::new(ringway());
    command.arg("run").current_dir(&folder);
    let mut child = Child::start(&folder, "ringway", &mut command)?;
    child.says("ready", Duration::from_secs(20))?;
    let server = std::net::SocketAddr::new(crate::world::SERVER, 5060);
    agent::alive(world.address(10), server, Duration::from_secs(5))?;
    let mut opened: Vec<String> =
        listening()?.into_iter().filter(|l| !before.contains(l)).collect();
    opened.sort();
    opened.dedup();
    let documented = ["tcp 5060", "udp 5060"];
    if opened != documented {
        bail!("it listens on {opened:?}, documented are {documented:?}");
    }
    let stranger = Agent::new(world.address(66), server)?;
    for (user, password) in [
        ("admin", "admin"),
        ("admin", "ringway"),
        ("root", "root"),
        ("100", "100"),
        ("alice", "alice"),
    ] {
        let draft = Draft::register(user, &server.ip().to_string(), &stranger.contact(user));
        let answer = stranger.ask_as(&draft, user, password)?;
        if !matches!(answer.status(), 401 | 403) {
            bail!("REGISTER of {user}: {}", answer.start);
        }
    }
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH"] {
        let uri = format!("sip:bob@{}", server.ip());
        let answer =
            stranger.ask(&Draft::new(method, &uri, &format!("sip:alice@{}", server.ip()), &uri))?;
        if !matches!(answer.status(), 401 | 403 | 407) {
            bail!("{method}: {}", answer.start);
        }
    }
    modes(&folder)?;
    Ok(format!("open: {}; nobody registers or calls; files for the owner alone", opened.join(", ")))
}

/// Every port that listens in this namespace, as `udp 5060`.
fn listening() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for table in ["udp", "udp6", "tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/net/{table}"))?;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state)) = (fields.get(1), fields.get(3)) else { continue };
            let port =
                local.rsplit(':').next().and_then(|p| u16::from_str_radix(p, 16).ok()).unwrap_or(0);
            // 0A: a listening stream; 07: an unconnected datagram socket.
            if matches!(*state, "0A" | "07") {
                found.push(format!("{} {port}", table.trim_end_matches('6')));
            }
        }
    }
    Ok(found)
}

/// The database and its keys are nobody else's to read.
fn modes(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|n| n == "ringway-data") {
            let mode = path.metadata()?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                bail!("{} has mode {mode:o}", path.display());
            }
        }
    }
    Ok(())
}
