//! `ringway call` between two of our phones, through our server and directly: sound both ways, keys, hold, refusals.

use std::path::Path;

use serde_json::Value;

use crate::world::{Folder, Line, PATIENCE, Server};

fn house() -> (Folder, Server) {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--listen", "udp://[::1]:0"]);
    for user in ["alice", "bob", "carol"] {
        folder.ok(&["user", "add", user]);
    }
    (folder, server)
}

fn object(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("one object")
}

/// Which share of a recording is at this pitch.
fn share(path: &Path, hz: f64) -> f64 {
    let samples = phone::media::wav::read(path).expect("a recording");
    phone::media::sound::share(&samples, hz)
}

#[test]
fn sound_both_ways_over_each_transport() {
    let (folder, server) = house();
    let (udp, tcp) = (server.address("udp").to_string(), format!("tcp:{}", server.address("tcp")));
    let six =
        server.ready["listen"].as_array().expect("listeners").iter().filter_map(Value::as_str);
    let six =
        six.filter_map(|line| line.strip_prefix("udp [")).next().map(|rest| format!("[{rest}"));
    for proxy in [udp, tcp, six.expect("IPv6")] {
        let answering = [
            "call",
            "--listen",
            "--as",
            "bob",
            "--proxy",
            &proxy,
            "--count",
            "1",
            "--tone",
            "700",
            "--record",
            "bob.wav",
            "--expect-audio",
            "--json",
        ];
        let bob = Line::waiting(&folder, &answering);
        let calling = [
            "call",
            "bob@127.0.0.1",
            "--as",
            "alice",
            "--proxy",
            &proxy,
            "--for",
            "1s",
            "--tone",
            "1100",
            "--record",
            "alice.wav",
            "--expect",
            "200",
            "--expect-audio",
            "--json",
        ];
        let done = folder.run(&calling, "");
        assert_eq!(done.code, 0, "{proxy}: {done:?}");
        let (call, other) = (object(&done.out), bob.end());
        assert_eq!(other.code, 0, "{proxy}: {other:?}");
        let other = object(&other.out);
        for (side, by) in [(&call, "us"), (&other, "peer")] {
            assert_eq!(
                (side["ok"].as_bool(), side["code"].as_u64()),
                (Some(true), Some(200)),
                "{side}"
            );
            assert_eq!(
                (side["codec"].as_str(), side["ended_by"].as_str()),
                (Some("PCMU"), Some(by)),
                "{side}"
            );
            let rtp = &side["rtp"];
            let (tx, rx) = (rtp["tx"].as_u64().expect("tx"), rtp["rx"].as_u64().expect("rx"));
            assert!(tx > 0 && rx > 0 && rtp["lost"] == 0, "{side}");
        }
        assert_eq!(call["call_id"], other["call_id"], "{call} {other}");
        // What one said the other has heard; what is late on a busy machine leaves holes in it.
        assert!(share(&folder.path("alice.wav"), 700.0) > 0.5, "{proxy}");
        assert!(share(&folder.path("bob.wav"), 1100.0) > 0.5, "{proxy}");
        insta::assert_snapshot!("call", crate::world::shape(&call));
    }
}

#[test]
fn an_echo_of_a_file_comes_back() {
    let (folder, _server) = house();
    let bob = Line::waiting(
        &folder,
        &["call", "--listen", "--as", "bob", "--answer", "200", "--echo", "--count", "1"],
    );
    tone_file(&folder.path("hello.wav"), 16_000, 2);
    let done = folder.run(
        &[
            "call",
            "bob",
            "--as",
            "alice",
            "--play",
            "hello.wav",
            "--record",
            "back.wav",
            "--for",
            "1500ms",
        ],
        "",
    );
    assert_eq!(done.code, 0, "{done:?}");
    for line in [
        "INVITE  \u{2192} bob@127.0.0.1 (udp:127.0.0.1:",
        "challenged, answering with SHA-256",
        "180 Ringing",
        "200 OK   PCMU, 127.0.0.1:",
        "talking 0:01  sent ",
        "ended: we hung up, 1.",
    ] {
        assert!(done.out.contains(line), "{line}: {}", done.out);
    }
    assert!(share(&folder.path("back.wav"), 1000.0) > 0.5);
    let bob = bob.end();
    assert_eq!(bob.code, 0, "{bob:?}");
    assert!(
        bob.out.contains("INVITE  \u{2190} ") && bob.out.contains("the other side hung up"),
        "{bob:?}"
    );
}

/// A second of 1000 Hz in stereo.
fn tone_file(path: &Path, rate: u32, channels: u16) {
    let mut bytes = Vec::new();
    let count = rate * u32::from(channels);
    bytes.extend(b"RIFF");
    bytes.extend((36 + count * 2).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
    bytes.extend((channels * 2).to_le_bytes());
    bytes.extend(16_u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((count * 2).to_le_bytes());
    for n in 0..rate {
        let phase = std::f64::consts::TAU * 1000.0 * f64::from(n) / f64::from(rate);
        let sample = (phase.sin() * 9000.0) as i16;
        for _ in 0..channels {
            bytes.extend(sample.to_le_bytes());
        }
    }
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn keys_hold_and_resume_by_the_clock() {
    let (folder, _server) = house();
    let bob = Line::waiting(&folder, &["call", "--listen", "--as", "bob", "--count", "1"]);
    let done = folder.run(
        &[
            "call",
            "bob",
            "--as",
            "alice",
            "--dtmf-at",
            "100ms:12#",
            "--hold-at",
            "600ms",
            "--resume-at",
            "800ms",
            "--for",
            "3s",
        ],
        "",
    );
    assert_eq!(done.code, 0, "{done:?}");
    let bob = bob.end();
    assert_eq!(bob.code, 0, "{bob:?}");
    in_order(&done.out, &["200 OK", "pressed 12#", "on hold", "resumed", "ended: we hung up"]);
    in_order(
        &bob.out,
        &[
            "heard key 1",
            "heard key 2",
            "heard key #",
            "the other side holds",
            "the other side goes on",
            "keys heard: 12#",
        ],
    );
}

fn in_order(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for word in wanted {
        let Some(at) = rest.find(word) else { panic!("no {word:?} in its place in {text}") };
        rest = &rest[at + word.len()..];
    }
}

#[test]
fn a_listener_refuses_as_told() {
    let (folder, _server) = house();
    for (code, reason) in
        [("486", "Busy Here"), ("603", "Decline"), ("480", "Temporarily Unavailable")]
    {
        let bob = Line::waiting(
            &folder,
            &["call", "--listen", "--as", "bob", "--answer", code, "--count", "1"],
        );
        let done = folder.run(&["call", "bob", "--as", "alice"], "");
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.err.contains(&format!("{code} {reason}")), "{done:?}");
        let bob = bob.end();
        assert_eq!(bob.code, 0, "{bob:?}");
        assert!(bob.out.contains(&format!("answered with {code}")), "{bob:?}");
    }
    let bob = Line::waiting(
        &folder,
        &["call", "--listen", "--as", "bob", "--delay", "300ms", "--count", "1"],
    );
    let done = folder.run(&["call", "bob", "--as", "alice", "--for", "100ms", "--json"], "");
    let call = object(&done.out);
    assert!(call["answer_ms"].as_f64().is_some_and(|ms| ms >= 300.0), "{call}");
    assert_eq!(bob.end().code, 0);
}

#[test]
fn straight_to_a_port_and_both_may_hang_up() {
    let folder = Folder::new();
    let words =
        ["call", "--listen", "--bind", "127.0.0.1", "--count", "1", "--for", "200ms", "--json"];
    let mut bob = Line::start(&folder, &words);
    let first: Value = serde_json::from_str(&bob.wait_for("listening")).expect("one object");
    let place = first["listen"].as_str().expect("a place");
    let done = folder.run(&["call", place, "--json"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(object(&done.out)["ended_by"], "peer");
    let bob = bob.end();
    assert_eq!((bob.code, object(&bob.out)["ended_by"].as_str()), (0, Some("us")), "{bob:?}");
}

#[test]
fn an_interrupt_hangs_up_at_both_ends() {
    let (folder, _server) = house();
    let mut bob = Line::waiting(&folder, &["call", "--listen", "--as", "bob", "--count", "1"]);
    let mut alice = Line::start(&folder, &["call", "bob", "--as", "alice"]);
    alice.wait_for("200 OK");
    bob.wait_for("answered with 200");
    alice.signal("INT");
    let done = alice.end();
    assert_eq!(done.code, 130, "{done:?}");
    assert!(done.out.contains("ended: we hung up"), "{done:?}");
    assert!(bob.wait_for("ended:").contains("the other side hung up"));
    assert_eq!(bob.end().code, 0);
    // While it rings: the other phone learns of it too.
    let mut bob = Line::waiting(
        &folder,
        &["call", "--listen", "--as", "bob", "--delay", "1h", "--count", "1"],
    );
    let mut alice = Line::start(&folder, &["call", "bob", "--as", "alice"]);
    alice.wait_for("180 Ringing");
    alice.signal("INT");
    assert_eq!(alice.end().code, 130);
    assert!(bob.wait_for("ended:").contains("the caller gave up"));
    assert_eq!(bob.end().code, 0);
    assert_eq!(folder.ok(&["regs", "list"]), "", "nobody stays behind within {PATIENCE:?}");
}
