//! The torture messages of RFC 4475 and RFC 5118 against a running server, judged by corpus/EXPECTED.tsv.
//!
//! Most carry no rport, so a correct server answers to the packet's address and the *port in Via* (RFC 3261 §18.2.2): the tester
//! binds that port. REGISTERs go last, since one of them registers a contact that would draw later messages into a
//! spiral. Silence is a verdict too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, Heard, Stream};
use crate::sip::Message;
use crate::subject::{Server, Settings};
use crate::world::World;

/// Where the tester sits: an address whose ports nobody uses.
const TESTER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 50));
/// How long silence must last to be believed.
const SILENCE: Duration = Duration::from_millis(700);

struct Row {
    file: String,
    expected: String,
    bytes: Vec<u8>,
}

pub fn udp(world: &mut World) -> Result<String> {
    run(world, false)
}

pub fn tcp(world: &mut World) -> Result<String> {
    run(world, true)
}

fn run(world: &mut World, stream: bool) -> Result<String> {
    let settings = Settings { expires_min: 60, ..Settings::local(&["user"]) }.open().inbound();
    let mut server = world.start(&settings)?;
    let rows = rows(world)?;
    let (mut decidable, mut right) = (0, 0);
    let mut wrong = Vec::new();
    for row in &rows {
        let heard = if stream { over_tcp(&server, row)? } else { over_udp(&server, row)? };
        server.healthy().with_context(|| row.file.clone())?;
        let Some(wanted) = accepted(&row.expected, stream) else { continue };
        decidable += 1;
        if wanted.iter().any(|w| heard.iter().any(|h| h == w)) {
            right += 1;
        } else {
            wrong.push(format!(
                "{}: wanted {}, heard {}",
                row.file,
                wanted.join(" or "),
                heard.join(" ")
            ));
        }
    }
    for line in &wrong {
        println!("{line}");
    }
    if right < decidable {
        bail!("{right} of {decidable} as the RFC says; wrong: {}", wrong.join("; "));
    }
    Ok(format!("{right} of {decidable} decidable messages as the RFC says, {} sent", rows.len()))
}

fn rows(world: &World) -> Result<Vec<Row>> {
    let table =
        std::fs::read_to_string(world.corpus.join("EXPECTED.tsv")).context("EXPECTED.tsv")?;
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        names.iter().position(|n| *n == name).with_context(|| format!("no column {name}"))
    };
    let (file, action) = (column("file")?, column("expected_action")?);
    let mut rows = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let (Some(file), Some(expected)) = (cells.get(file), cells.get(action)) else {
            bail!("{line}")
        };
        let path = world.corpus.join(file.replace("rfc5118/", "rfc5118/wire/"));
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        rows.push(Row { file: (*file).into(), expected: (*expected).into(), bytes });
    }
    rows.sort_by_key(|r| r.bytes.starts_with(b"REGISTER"));
    Ok(rows)
}

/// What may be heard, or nothing if the table does not decide for a server without a callee. `-` is silence.
fn accepted(expected: &str, stream: bool) -> Option<Vec<&'static str>> {
    Some(match expected {
        "400" => vec!["400"],
        "505" => vec!["505"],
        "501 (or 400)" => vec!["501", "400"],
        "416" => vec!["416"],
        "416 (or 404)" => vec!["416", "404"],
        "420" => vec!["420"],
        "200" => vec!["200"],
        "drop" => vec!["-"],
        "400 (may repair)" => vec!["400", "404", "480", "200"],
        "400 (may ignore)" | "400 or ignore" => vec!["400", "404", "480"],
        "400 or accept" => vec!["400", "404", "480", "200"],
        "registrar 400; proxy forwards" => vec!["400"],
        "registrar 401 (or ignore); proxy forwards" => vec!["401", "200"],
        "proxy 483; UAS accept" => vec!["483"],
        other if other.starts_with("400 (UDP)") && stream => vec!["400", "closed", "-"],
        other if other.starts_with("400 (UDP)") => vec!["400"],
        _ => return None,
    })
}

fn over_udp(server: &Server, row: &Row) -> Result<Vec<String>> {
    let agent = Agent::at(SocketAddr::new(TESTER, via_port(&row.bytes)), server.address)?;
    agent.send(&row.bytes)?;
    let end = Instant::now() + SILENCE;
    let mut heard = Vec::new();
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        if let Some(message) = agent.receive(left)?
            && note(&row.bytes, &message, &mut heard)
        {
            return Ok(heard);
        }
    }
    Ok(silence(heard))
}

fn over_tcp(server: &Server, row: &Row) -> Result<Vec<String>> {
    let mut stream = Stream::connect(server.address)?;
    stream.send(&row.bytes)?;
    if crate::sip::find(&row.bytes, b"\r\n\r\n").is_none() {
        // One file of the archive (baddn) lacks the blank line that the RFC prints; on a stream a server rightly waits for it.
        stream.send("\r\n")?;
    }
    let end = Instant::now() + SILENCE;
    let mut heard = Vec::new();
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        match stream.hear(left)? {
            Heard::Message(message) if note(&row.bytes, &message, &mut heard) => return Ok(heard),
            Heard::Message(_) => {}
            Heard::Closed => {
                heard.push("closed".into());
                break;
            }
            Heard::Nothing => break,
        }
    }
    Ok(silence(heard))
}

/// Notes a final response to this message; says whether there was one.
fn note(sent: &[u8], message: &Message, heard: &mut Vec<String>) -> bool {
    let call_id = message.call_id();
    let ours = call_id.is_empty() || crate::sip::find(sent, call_id.as_bytes()).is_some();
    if !ours || message.status() < 200 {
        return false;
    }
    heard.push(message.status().to_string());
    true
}

fn silence(mut heard: Vec<String>) -> Vec<String> {
    if heard.is_empty() {
        heard.push("-".into());
    }
    heard
}

/// The port of the topmost Via, or 5060.
fn via_port(bytes: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(bytes).to_string();
    let via = text.lines().find(|l| {
        let name = l.split(':').next().unwrap_or_default().trim().to_lowercase();
        name == "via" || name == "v"
    });
    // The header may be folded: what counts is up to the first parameter or comma after the transport.
    let at = via.and_then(|v| text.find(v)).unwrap_or(0);
    let rest: String = text.get(at..).unwrap_or_default().chars().take(300).collect();
    let rest = rest.replace("\r\n ", " ").replace("\r\n\t", " ");
    let line = rest.lines().next().unwrap_or_default();
    let sent_by = line.split([';', ',']).next().unwrap_or_default().trim();
    let host = sent_by.rsplit(char::is_whitespace).next().unwrap_or_default();
    let after = host.rsplit_once(']').map_or(host, |(_, port)| port);
    after.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5060)
}
