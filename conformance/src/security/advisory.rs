//! Inputs like those that broke other servers (S-1), and every beginning of a good message (S-3). After each: the same process, an
//! answer to OPTIONS, no growth. The inputs are written here from what the advisories say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, Heard, Stream};
use crate::sip::token;
use crate::subject::{DOMAIN, Server, Settings};
use crate::world::{LOCAL, World};

/// What may be heard. 0 is silence; on a stream, being closed counts as silence.
type Allowed = &'static [u16];

const REFUSED: Allowed = &[0, 400, 413, 414, 416, 420, 483, 501, 505, 513];
const CHALLENGED: Allowed = &[0, 400, 401, 403, 407];
/// It may be handled as any other request of a stranger.
const NORMAL: Allowed =
    &[0, 400, 401, 403, 404, 405, 407, 413, 415, 420, 480, 481, 483, 488, 489, 501];

/// No input may keep the server busy for longer.
const HANG: Duration = Duration::from_millis(10);

struct Input {
    name: String,
    bytes: Vec<u8>,
    allowed: Allowed,
}

pub fn advisories(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice"]))?;
    let id = server.id();
    let inputs = inputs();
    warm(&server)?;
    let before = server.memory();
    let mut slowest = Duration::ZERO;
    for input in &inputs {
        for stream in [false, true] {
            let transport = if stream { "TCP" } else { "UDP" };
            let place = || format!("{} over {transport}", input.name);
            let answered = judge(&mut server, input, stream).with_context(place)?;
            if answered > HANG {
                bail!("{}: OPTIONS after it waits {} ms", place(), answered.as_millis());
            }
            slowest = slowest.max(answered);
        }
    }
    if server.id() != id {
        bail!("it is another process now");
    }
    let grown = server.memory().saturating_sub(before);
    if grown > 16 * 1024 {
        bail!("memory grew by {grown} KiB");
    }
    Ok(format!(
        "{} inputs over UDP and TCP, same process, OPTIONS after each in at most {} ms, memory +{grown} KiB",
        inputs.len(),
        slowest.as_millis()
    ))
}

/// Sends it and looks at the answer; gives how long the OPTIONS after it waited, at best of three tries: what the input does it
/// does each time, what the machine does it does once.
fn judge(server: &mut Server, input: &Input, stream: bool) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let status = if stream { over_tcp(server, input)? } else { over_udp(server, input)? };
        if !input.allowed.contains(&status) {
            bail!("{status}");
        }
        best = best.min(server.healthy()?);
        if best <= HANG {
            break;
        }
    }
    Ok(best)
}

/// Lets the server allocate what it will need anyway.
fn warm(server: &Server) -> Result<()> {
    for _ in 0..50 {
        let mut stream = Stream::connect(server.address)?;
        stream.send(good("OPTIONS", "", ""))?;
        stream.hear(Duration::from_millis(500))?;
    }
    Ok(())
}

fn over_udp(server: &Server, input: &Input) -> Result<u16> {
    let agent = Agent::new(LOCAL, server.address)?;
    agent.send(input.bytes.get(..input.bytes.len().min(65_507)).unwrap_or_default())?;
    Ok(agent.receive(Duration::from_millis(60))?.map_or(0, |m| m.status()))
}

fn over_tcp(server: &Server, input: &Input) -> Result<u16> {
    let mut stream = Stream::connect(server.address)?;
    stream.send(&input.bytes)?;
    match stream.hear(Duration::from_millis(60))? {
        Heard::Message(message) => Ok(message.status()),
        Heard::Closed | Heard::Nothing => Ok(0),
    }
}

/// A request of a stranger to somebody here, with `lines` among its headers.
fn good(method: &str, lines: &str, body: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    message(method, &format!("{lines}{length}"), body)
}

fn message(method: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:alice@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@elsewhere.example>;tag=1\r\nTo: <sip:alice@{DOMAIN}>\r\nCall-ID: {}\r\nCSeq: 1 {method}\r\n{lines}\r\n{body}",
        token(),
        token()
    )
    .into_bytes()
}

/// A whole message with one line replaced.
fn replaced(method: &str, line: &str, with: &[u8]) -> Vec<u8> {
    let text = good(method, "", "");
    let mut bytes = Vec::new();
    for part in text.split_inclusive(|b| *b == b'\n') {
        if part.starts_with(line.as_bytes()) {
            bytes.extend_from_slice(with);
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

fn inputs() -> Vec<Input> {
    let mut list = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, allowed| {
        list.push(Input { name: name.into(), bytes, allowed })
    };
    lengths(&mut add);
    credentials(&mut add);
    bodies(&mut add);
    fields(&mut add);
    octets(&mut add);
    sizes(&mut add);
    list
}

type Add<'a> = &'a mut dyn FnMut(&str, Vec<u8>, Allowed);

/// ADV-01: lengths that wrap, lie or say nothing.
fn lengths(add: Add<'_>) {
    let values = [
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967300",
        "18446744073709551615",
        "21400000000000",
        "-1",
        "+5",
        "0x10",
        "5 5",
        "",
    ];
    for value in values {
        let bytes = message("INVITE", &format!("Content-Length: {value}\r\n"), "12345");
        add(&format!("ADV-01 Content-Length `{value}`"), bytes, REFUSED);
    }
    add(
        "ADV-01 two lengths",
        message("INVITE", "Content-Length: 5\r\nContent-Length: 4\r\n", "12345"),
        REFUSED,
    );
    add(
        "ADV-05 a length beyond the datagram",
        message(
            "INVITE",
            "Content-Type: application/sdp\r\nContent-Length: 10240\r\n",
            "v=0\r\na=rtpmap:101 telephone-event/8000",
        ),
        REFUSED,
    );
}

/// ADV-02 to ADV-04: digests nobody asked for.
fn credentials(add: Add<'_>) {
    let values = [
        ("ADV-02", "Digest uses: 60"),
        ("ADV-03", "Digest a a=\\\"\\\",real"),
        (
            "ADV-04",
            "Digest username=\"alice\", realm=\"never-offered\", nonce=\"1\", uri=\"sip:example.com\", response=\"00000000000000000000000000000000\"",
        ),
        ("ADV-04 no value", "Digest"),
        ("ADV-04 empty", ""),
        ("ADV-04 open quote", "Digest username=\"alice"),
        ("ADV-04 qop only", "Digest qop=auth,nc=fffffffff,cnonce=\"\""),
    ];
    for (name, value) in values {
        let lines = format!("Authorization: {value}\r\nProxy-Authorization: {value}\r\n");
        let text = String::from_utf8_lossy(&good("REGISTER", &lines, ""))
            .replace("sip:alice@example.com SIP", "sip:example.com SIP");
        add(name, text.into_bytes(), CHALLENGED);
    }
}

/// ADV-06, ADV-15 to ADV-17: bodies. This server carries them unread.
fn bodies(add: Add<'_>) {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
    for tail in
        ["a=", "a=rtpmap:101", "a=fmtp:", "a=fmtp\0:101", "m=audio 17000 RTP/AVP 4294967296"]
    {
        let body = format!("{sdp}{tail}");
        add(
            &format!("ADV-06 SDP `{}`", tail.escape_default()),
            good("INVITE", "Content-Type: application/sdp\r\n", &body),
            NORMAL,
        );
    }
    let many = format!("{sdp}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(1000));
    add("ADV-06 1,000 media", good("INVITE", "Content-Type: application/sdp\r\n", &many), NORMAL);
    for boundary in ["", "; boundary=\"", "; boundary=x"] {
        let lines = format!("Content-Type: multipart/mixed{boundary}\r\n");
        add(
            &format!("ADV-15 multipart `{boundary}`"),
            good("MESSAGE", &lines, "--x\r\n\r\n--x"),
            NORMAL,
        );
    }
    add(
        "ADV-15 nested",
        good(
            "MESSAGE",
            "Content-Type: multipart/mixed; boundary=x\r\n",
            &"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n".repeat(100),
        ),
        NORMAL,
    );
    add("ADV-16 PUBLISH without a type", good("PUBLISH", "Event: presence\r\n", "x"), NORMAL);
    add(
        "ADV-17 a megabyte",
        good(
            "NOTIFY",
            "Content-Type: application/simple-message-summary\r\n",
            &format!("Voice-Message: {}", "9".repeat(1_000_000)),
        ),
        NORMAL,
    );
}

/// ADV-07 to ADV-12: single fields.
fn fields(add: Add<'_>) {
    let cut = good("OPTIONS", "", "");
    let cut: Vec<u8> = cut
        .split(|b| *b == b'\n')
        .take_while(|l| !l.starts_with(b"To:"))
        .flat_map(|l| [l, b"\n"].concat())
        .collect();
    add("ADV-07 ends in an open quote", [cut, b"To: a;a=\"T\\".to_vec()].concat(), REFUSED);
    for name in [
        "To: <sip:a@b>\r\n",
        "To: <sip:a@b>;tag=\r\n",
        "From: <sip:a@b>;tag=2\r\n",
        "CSeq: 2 OPTIONS\r\n",
        "Call-ID: other\r\n",
    ] {
        add(&format!("ADV-08 twice {}", name.trim()), good("OPTIONS", name, ""), REFUSED);
    }
    for via in [
        &b"Via: SIP/2.0/\x16UD~PTo :::]"[..],
        b"Via: SIP/2.0/UDP :;branch=",
        b"Via:",
        b"Via: SIP/2.0/UDP",
    ] {
        add(
            &format!("ADV-09 {}", String::from_utf8_lossy(via).escape_default()),
            replaced("OPTIONS", "Via:", via),
            REFUSED,
        );
    }
    add(
        "ADV-10 urn",
        b"REGISTER! urn:nena:service:iciohID: \r\nno colon here\r\n\r\n".to_vec(),
        REFUSED,
    );
    let tag = format!("From: <sip:x@elsewhere.example>;tag={}", "a".repeat(300));
    add("ADV-11 a tag of 300", replaced("OPTIONS", "From:", tag.as_bytes()), NORMAL);
    for length in [256, 1024, 8192, 60_000] {
        let line = format!("{}: x\r\n", "X".repeat(length));
        add(&format!("ADV-12 a name of {length}"), good("OPTIONS", &line, ""), REFUSED);
    }
}

/// ADV-18, ADV-19, ADV-26: URIs, start lines and octets that are none.
fn octets(add: Add<'_>) {
    for uri in [
        "sip:a@[::1%lo",
        "sip:a@[",
        "sip:@",
        "sip:",
        "sip:a@b:99999999",
        "<>",
        "sip:a@\u{e9}\u{20ac}",
    ] {
        let lines = format!("Contact: <{uri}>\r\nRecord-Route: <{uri};lr>\r\n");
        add(&format!("ADV-18 {uri}"), good("INVITE", &lines, ""), NORMAL);
    }
    let starts: [&[u8]; 5] = [
        b"SIP/7.9 7\0\0\r\n\r\n",
        b"SIP/2.0 200\r\n\r\n",
        b"SIP/2.0 99999 x\r\n\r\n",
        b"\0\0\0\0",
        b"\xff\xfe\xc3\x28 sip:x SIP/2.0\r\n\r\n",
    ];
    for start in starts {
        add(
            &format!("ADV-26 {}", String::from_utf8_lossy(start).escape_default()),
            start.to_vec(),
            REFUSED,
        );
    }
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "Subject"] {
        let mut line = format!("{name}: ").into_bytes();
        line.extend_from_slice(b"\xc3\x28\xff\xf0\x9f\x92");
        add(
            &format!("ADV-26 broken UTF-8 in {name}"),
            replaced("OPTIONS", &format!("{name}:"), &line),
            NORMAL,
        );
    }
    add(
        "ADV-19 Identity",
        good("INVITE", &format!("Identity: {}\r\n", ".".repeat(8000)), ""),
        NORMAL,
    );
}

/// ADV-13 and folding: parts that are long, many, or both.
fn sizes(add: Add<'_>) {
    for length in [1025, 8192, 49_153, 60_000] {
        let text = String::from_utf8_lossy(&good("OPTIONS", "", ""))
            .replace("sip:alice@", &format!("sip:{}@", "a".repeat(length)));
        add(&format!("ADV-13 a user of {length}"), text.into_bytes(), NORMAL_OR_LONG);
    }
    add(
        "folds",
        good("OPTIONS", &format!("Subject: a\r\n{}", " b\r\n".repeat(15_000)), ""),
        NORMAL_OR_LONG,
    );
    add(
        "Vias",
        good("OPTIONS", &"Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n".repeat(1500), ""),
        NORMAL_OR_LONG,
    );
    add(
        "contacts",
        good("OPTIONS", &format!("Contact: {}<sip:a@b>\r\n", "<sip:a@b>,".repeat(2000)), ""),
        NORMAL_OR_LONG,
    );
    add("names", good("OPTIONS", &"a:b\r\n".repeat(12_000), ""), NORMAL_OR_LONG);
    add("an endless line", vec![b'A'; 65_000], REFUSED);
}

const NORMAL_OR_LONG: Allowed = &[0, 400, 401, 403, 404, 407, 413, 414, 480, 483, 513];

/// S-3: nothing that begins like a good message may hurt.
pub fn every_prefix(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["user", "alice"]))?;
    let id = server.id();
    let seeds = seeds(world)?;
    let before = server.memory();
    let (mut sent, mut streams) = (0u32, 0u32);
    let agent = Agent::new(LOCAL, server.address)?;
    for seed in &seeds {
        let mut batch = 0;
        for input in variants(seed) {
            agent.send(&input)?;
            sent += 1;
            batch += 1;
            // The server's socket buffer is finite: now and then wait until it has read everything.
            if batch % 64 == 0 {
                server.healthy()?;
            }
        }
        server.healthy()?;
        while agent.datagram(Duration::from_millis(1))?.is_some() {}
        for cut in (1..seed.len()).step_by(41) {
            streams += u32::from(stream(server.address, seed.get(..cut).unwrap_or_default())?);
        }
    }
    server.healthy()?;
    if server.id() != id {
        bail!("it is another process now");
    }
    let grown = server.memory().saturating_sub(before);
    if grown > 64 * 1024 {
        bail!("memory grew by {grown} KiB");
    }
    Ok(format!(
        "{} messages: {sent} prefixes, flips and deletions as datagrams, {streams} cut connections; memory +{grown} KiB",
        seeds.len()
    ))
}

fn stream(remote: SocketAddr, bytes: &[u8]) -> Result<bool> {
    let mut stream = Stream::connect(remote)?;
    stream.send(bytes)
}

/// Every prefix, and at every third byte one bit flipped, one byte deleted.
fn variants(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let prefixes = (0..seed.len()).map(|n| seed.get(..n).unwrap_or_default().to_vec());
    let flips = (0..seed.len()).step_by(3).map(|n| {
        let mut bytes = seed.to_vec();
        if let Some(byte) = bytes.get_mut(n) {
            *byte ^= 1 << (n % 8);
        }
        bytes
    });
    let deletions = (0..seed.len()).step_by(3).map(|n| {
        let mut bytes = seed.to_vec();
        bytes.remove(n);
        bytes
    });
    prefixes.chain(flips).chain(deletions)
}

/// The valid torture messages of moderate length, and a few of ours.
fn seeds(world: &World) -> Result<Vec<Vec<u8>>> {
    let mut seeds =
        vec![good("INVITE", "Contact: <sip:x@127.0.0.1>\r\n", "v=0\r\n"), good("OPTIONS", "", "")];
    let folder = world.corpus.join("rfc4475");
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let bytes = std::fs::read(entry?.path())?;
        if bytes.len() < 1200 {
            seeds.push(bytes);
        }
    }
    Ok(seeds)
}
