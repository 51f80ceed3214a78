//! `ringway options HOST`: is a server there, and how fast does it answer? An OPTIONS request (RFC 3261 §11) over UDP, with
//! the retransmissions of §17.1.2.2, or over TCP.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use sip_message::frame::{Frame, Framer};
use sip_message::{Message, Name, Response};

use super::{exit, fail, print};
use crate::config::duration;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Slower than this is a warning for --nagios; no answer within a second's grace more, critical.
const NAGIOS_WARN: Duration = Duration::from_millis(500);
const NAGIOS_CRITICAL: Duration = Duration::from_secs(1);

/// Ask a server whether it is there (SIP OPTIONS).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway options sip.example.com\n  \
    ringway options tcp:192.0.2.10:5070\n  \
    ringway options 127.0.0.1 -n 5\n  \
    ringway options 127.0.0.1 --nagios")]
pub struct Args {
    /// HOST, HOST:PORT, udp:HOST or tcp:HOST.
    host: String,
    /// Ask so many times.
    #[arg(short, long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// How long to wait for each answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    timeout: Duration,
    /// One line and the exit codes of a monitoring plug-in.
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
    /// One JSON object per answer, one per line.
    #[arg(long)]
    json: bool,
}

struct Target {
    name: String,
    address: SocketAddr,
    tcp: bool,
}

struct Answer {
    status: u16,
    reason: String,
    server: Option<String>,
    allow: Option<String>,
    took: Duration,
}

/// Why there is no answer: the exit code, and words.
type Refusal = (u8, String);

pub fn execute(args: &Args) -> u8 {
    let target = match target(&args.host) {
        Ok(target) => target,
        Err((code, sentence)) if args.nagios => return nagios_failed(code, &sentence),
        Err((code, sentence)) => return fail(code, &sentence),
    };
    let mut results = Vec::new();
    for number in 1..=args.n {
        let result = ask(&target, number, args.timeout);
        if !args.nagios {
            show(args, &target, number, &result);
        }
        results.push(result);
    }
    if args.nagios {
        return nagios(&results);
    }
    if args.n > 1 && !args.json {
        print(&summary(&results));
    }
    results.iter().map(code).max_by_key(|code| (*code != exit::YES, *code)).unwrap_or(exit::YES)
}

fn code(result: &Result<Answer, Refusal>) -> u8 {
    match result {
        Ok(answer) => match answer.status {
            200..300 => exit::YES,
            401 | 403 | 407 => exit::REFUSED,
            _ => exit::NO,
        },
        Err((code, _)) => *code,
    }
}

fn target(text: &str) -> Result<Target, Refusal> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    let (tcp, rest) = match text.split_once(':') {
        Some(("udp", rest)) => (false, rest),
        Some(("tcp", rest)) => (true, rest),
        Some(("tls" | "ws" | "wss", _)) => {
            return Err((
                exit::USAGE,
                "udp and tcp are built; tls, ws and wss are not yet".to_owned(),
            ));
        }
        _ => (false, text),
    };
    let rest = rest.trim_start_matches('/');
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let bare = rest.trim_matches(['[', ']']);
    let found = if let Ok(ip) = bare.parse::<IpAddr>() {
        Ok(Some(SocketAddr::new(ip, 5060)))
    } else if rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        rest.to_socket_addrs().map(|mut all| all.next())
    } else {
        (rest, 5060).to_socket_addrs().map(|mut all| all.next())
    };
    match found {
        Ok(Some(address)) => Ok(Target { name: rest.to_owned(), address, tcp }),
        Ok(None) => Err((exit::NOT_SENT, format!("{rest} has no address"))),
        Err(error) => Err((exit::NOT_SENT, format!("{rest}: {error}"))),
    }
}

fn request(target: &Target, local: SocketAddr, number: u32) -> (String, String) {
    let id = format!("{:x}-{:x}-{number}", std::process::id(), Instant::now().elapsed().as_nanos())
        + &format!(
            "{:x}",
            std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()
        );
    let (transport, host) = (if target.tcp { "TCP" } else { "UDP" }, target.address);
    let text = format!(
        "OPTIONS sip:{host} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK{id};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:ringway@{local}>;tag={number:x}{id}\r\n\
         To: <sip:{host}>\r\n\
         Call-ID: {id}\r\n\
         CSeq: {number} OPTIONS\r\n\
         Contact: <sip:ringway@{local}>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    );
    (text, id)
}

fn ask(target: &Target, number: u32, timeout: Duration) -> Result<Answer, Refusal> {
    let result = if target.tcp {
        ask_tcp(target, number, timeout)
    } else {
        ask_udp(target, number, timeout)
    };
    result.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => (
            exit::NO_ANSWER,
            format!("no answer from {} in {}", target.address, duration::text(timeout)),
        ),
        _ => (exit::NOT_SENT, format!("{}: {error}", target.address)),
    })
}

fn ask_udp(target: &Target, number: u32, timeout: Duration) -> io::Result<Answer> {
    let any: SocketAddr = if target.address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    // Connected: a closed port is heard of at once instead of never.
    socket.connect(target.address)?;
    let (text, id) = request(target, socket.local_addr()?, number);
    let begun = Instant::now();
    let (mut wait, mut buffer) = (T1, vec![0; 65_536]);
    socket.send(text.as_bytes())?;
    let mut next = begun + wait;
    loop {
        let now = Instant::now();
        let left = (begun + timeout).saturating_duration_since(now);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let until_next = next.saturating_duration_since(now);
        if until_next.is_zero() {
            socket.send(text.as_bytes())?;
            wait = (wait * 2).min(T2);
            next = now + wait;
            continue;
        }
        socket.set_read_timeout(Some(until_next.min(left)))?;
        match socket.recv(&mut buffer) {
            Ok(n) => {
                let bytes = Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default());
                if let Some(answer) = read(bytes, &id, begun) {
                    return Ok(answer);
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

fn ask_tcp(target: &Target, number: u32, timeout: Duration) -> io::Result<Answer> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&target.address, timeout)?;
    let (text, id) = request(target, stream.local_addr()?, number);
    stream.write_all(text.as_bytes())?;
    let (mut framer, mut buffer) = (Framer::new(), [0; 16_384]);
    loop {
        let left = (begun + timeout).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        framer.push(buffer.get(..n).unwrap_or_default());
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message(bytes) => {
                    if let Some(answer) = read(bytes, &id, begun) {
                        return Ok(answer);
                    }
                }
                Frame::KeepAlive => {}
                Frame::Broken(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no SIP"));
                }
            }
        }
    }
}

/// A final answer to the request with this Call-ID.
fn read(bytes: Bytes, id: &str, begun: Instant) -> Option<Answer> {
    let Ok(Message::Response(response)) = Message::parse(bytes) else { return None };
    if response.status() < 200 || response.call_id().ok()? != id.as_bytes() {
        return None;
    }
    let text = |response: &Response, name| {
        response.header(name).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    Some(Answer {
        status: response.status(),
        reason: String::from_utf8_lossy(response.reason()).into_owned(),
        server: text(&response, Name::Server),
        allow: text(&response, Name::Allow),
        took: begun.elapsed(),
    })
}

fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

fn show(args: &Args, target: &Target, number: u32, result: &Result<Answer, Refusal>) {
    let transport = if target.tcp { "tcp" } else { "udp" };
    match result {
        Ok(answer) if args.json => {
            let line = json!({
                "v": 1, "ok": answer.status < 300, "code": answer.status, "reason": answer.reason,
                "ms": answer.took.as_secs_f64() * 1000.0, "target": target.address, "transport": transport,
                "server": answer.server, "allow": answer.allow,
            });
            print(&format!("{line}\n"));
        }
        Ok(answer) if args.n > 1 => {
            print(&format!("{number}  {} {}  {}\n", answer.status, answer.reason, ms(answer.took)));
        }
        Ok(answer) => {
            let place = if target.name == target.address.to_string() {
                format!("{} ({transport})", target.address)
            } else {
                format!("{} ({}, {transport})", target.name, target.address)
            };
            let mut page = format!(
                "{} {} from {place} in {}\n",
                answer.status,
                answer.reason,
                ms(answer.took)
            );
            let details: Vec<String> = [("server", &answer.server), ("allow", &answer.allow)]
                .into_iter()
                .filter_map(|(name, value)| Some(format!("{name}  {}", value.as_ref()?)))
                .collect();
            if !details.is_empty() {
                page.push_str(&format!("  {}\n", details.join("    ")));
            }
            print(&page);
        }
        Err((code, sentence)) if args.json => {
            print(&format!("{}\n", json!({"v": 1, "ok": false, "exit": code, "error": sentence})));
        }
        Err((code, sentence)) => drop(fail(*code, sentence)),
    }
}

fn summary(results: &[Result<Answer, Refusal>]) -> String {
    let times: Vec<f64> =
        results.iter().flatten().map(|answer| answer.took.as_secs_f64() * 1000.0).collect();
    let lost = 100.0 * (results.len() - times.len()) as f64 / results.len().max(1) as f64;
    let mut text = format!("{} sent, {} answered, {lost:.0} % lost", results.len(), times.len());
    if !times.is_empty() {
        let sum: f64 = times.iter().sum();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            ", min/avg/max {least:.1}/{:.1}/{most:.1} ms",
            sum / times.len() as f64
        ));
    }
    text + "\n"
}

fn nagios_failed(code: u8, sentence: &str) -> u8 {
    let (state, code) = if code == exit::USAGE { ("UNKNOWN", 3) } else { ("CRITICAL", 2) };
    print(&format!("SIP {state} - {sentence}\n"));
    code
}

fn nagios(results: &[Result<Answer, Refusal>]) -> u8 {
    if let Some(Err((code, sentence))) = results.iter().find(|result| result.is_err()) {
        return nagios_failed(*code, sentence);
    }
    let Some(worst) = results.iter().flatten().max_by_key(|answer| (answer.status, answer.took))
    else {
        return 3;
    };
    let (state, code) = if worst.status >= 300 || worst.took >= NAGIOS_CRITICAL {
        ("CRITICAL", 2)
    } else if worst.took >= NAGIOS_WARN {
        ("WARNING", 1)
    } else {
        ("OK", 0)
    };
    let seconds = worst.took.as_secs_f64();
    print(&format!(
        "SIP {state} - {} in {} | time={seconds:.4}s;{};{};0\n",
        worst.status,
        ms(worst.took),
        NAGIOS_WARN.as_secs_f64(),
        NAGIOS_CRITICAL.as_secs_f64()
    ));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let of = |text: &str| target(text).map(|t| (t.address.to_string(), t.tcp)).map_err(|e| e.0);
        assert_eq!(of("192.0.2.1"), Ok(("192.0.2.1:5060".into(), false)));
        assert_eq!(of("tcp:192.0.2.1:5070"), Ok(("192.0.2.1:5070".into(), true)));
        assert_eq!(of("sip:bob@192.0.2.1"), Ok(("192.0.2.1:5060".into(), false)));
        assert_eq!(of("udp:[2001:db8::1]"), Ok(("[2001:db8::1]:5060".into(), false)));
        assert_eq!(of("2001:db8::1"), Ok(("[2001:db8::1]:5060".into(), false)));
        assert_eq!(of("tls:192.0.2.1"), Err(exit::USAGE));
    }
}
