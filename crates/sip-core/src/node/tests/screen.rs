//! Room "screen" and malformed input through the node (RFC 3261 §16.3): every refusal and every silence.

use sip_message::Name;

use std::sync::Arc;

use super::world::*;
use crate::input::{Command, Input};
use crate::locate::tests::Zone;
use crate::output::{Event, Fault};
use crate::time::Duration;

fn call(uri: &str) -> String {
    request("INVITE", uri, "sip:alice@example.com", "sip:bob@example.com", ALICE, "s1")
}

/// A stranger calls a stranger.
fn relay() -> String {
    call("sip:bob@other.example").replace("sip:alice@example.com", "sip:alice@foreign.example")
}

/// What one message from Alice is answered with; 0 is silence.
fn status(text: &str) -> u16 {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, text);
    let last = sent.last().map_or(0, Sent::status);
    assert!(sent.iter().all(|s| s.status() >= 400), "{:?}", lines(&sent));
    assert_eq!(world.node.sizes().transactions, 0, "a refusal costs nothing");
    last
}

#[test]
fn each_refusal_has_its_status() {
    let ok = call("sip:bob@example.com");
    for (expected, text, section) in [
        (400, ok.replace("tag=from1", "tag="), "§16.3 step 1"),
        (400, ok.replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"), "§8.1.1.5"),
        (400, ok.replace("To: <sip:bob@example.com>\n", ""), "§8.1.1"),
        (400, call("sip:bob@example.com?Route=%3Csip:evil.example%3E"), "§19.1.1"),
        (400, ok.replace("Content-Length: 0", "Content-Length: 99"), "§18.3"),
        (505, ok.replacen("SIP/2.0", "SIP/7.0", 1), "§21.5.6"),
        (416, call("tel:+15551234"), "§16.3 step 2"),
        (416, call("sips:bob@example.com"), "§16.3 step 2: we have no TLS to keep its promise"),
        (416, call("soap.beep://192.0.2.103:3002"), "RFC 4475 §3.3.3"),
        (483, ok.replace("Max-Forwards: 70", "Max-Forwards: 0"), "§16.3 step 3"),
        (420, ok.replace("Contact", "Proxy-Require: foo\nContact"), "§16.3 step 5"),
        (414, call(&format!("sip:{}@example.com", "b".repeat(1100))), "§21.4.12"),
        (403, relay(), "§16.5: neither from nor for one of ours"),
        (403, call("sip:bob@192.0.2.99"), "§16.5: ours, but calling out is off"),
    ] {
        assert_eq!(status(&text), expected, "{section}\n{text}");
    }
}

/// RFC 3261 §16.5, §16.6 step 7: with `allow_outbound` the Request-URI of another domain is the target: an address, or a
/// name, which is asked for.
#[test]
fn our_users_call_out_when_the_operator_allows() {
    let mut world = World::open();
    world.reconfigure(|config| config.allow_outbound = true);
    let sent = world.from(ALICE, &call("sip:bob@192.0.2.99"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.99:5060"]);
    let mut world = World::open();
    world.reconfigure(|config| config.allow_outbound = true);
    let sent = world.from(ALICE, &call("sip:bob@other.example"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060"]);
    let sent = world.resolve(&Zone::new("other.example A 192.0.2.98"));
    assert_eq!(lines(&sent), ["INVITE 192.0.2.98:5060"]);
}

/// RFC 3261 §21.4.15, §8.2.2.3: which ones.
#[test]
fn bad_extensions_are_named() {
    let mut world = World::open();
    let text = call("sip:bob@example.com").replace("Contact", "Proxy-Require: foo, bar\nContact");
    let sent = world.from(ALICE, &text);
    assert_eq!(sent[0].header(Name::Unsupported), "foo, bar");
    // As a user agent, Require counts.
    let options =
        request("OPTIONS", "sip:example.com", "sip:a@b.example", "sip:example.com", ALICE, "o")
            .replace("Contact", "Require: 100rel\nContact");
    let sent = world.from(ALICE, &options);
    assert_eq!((sent[0].status(), sent[0].header(Name::Unsupported)), (420, "100rel".into()));
    // As a proxy it does not (RFC 3261 §20.32).
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let text = call("sip:bob@example.com").replace("Contact", "Require: 100rel\nContact");
    assert_eq!(world.from(ALICE, &text).len(), 2);
}

/// RFC 3261 §16.3 step 3: what ends here is not forwarded, so it needs no hops.
#[test]
fn max_forwards_0_may_end_here() {
    let mut world = World::open();
    for (method, uri) in [("OPTIONS", "sip:example.com"), ("REGISTER", "sip:example.com")] {
        let text = request(method, uri, "sip:bob@example.com", "sip:bob@example.com", BOB, method)
            .replace("Max-Forwards: 70", "Max-Forwards: 0");
        assert_eq!(lines(&world.from(BOB, &text)), ["200 192.0.2.20:5060"], "{method}");
    }
}

/// RFC 3261 §16.3 step 4: our own copy, back again, is 482; with another target it is a spiral, and legal.
#[test]
fn a_loop_is_482_and_a_spiral_is_not() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.register("carol", "sip:carol@192.0.2.30:5060", CAROL);
    let sent = world.from(ALICE, &invite("a1"));
    let hop = "SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKhop";
    let back = |uri: &str| {
        let copy = sent[1].text.replacen("sip:bob@192.0.2.20:5060", uri, 1);
        copy.replacen("Via: ", &format!("Via: {hop}{}\r\nVia: ", uri.len()), 1)
    };
    assert_eq!(lines(&world.from(BOB, &back("sip:bob@example.com"))), ["482 192.0.2.20:5060"]);
    // The same user by another of our names is the same place.
    assert_eq!(lines(&world.from(BOB, &back("sip:%62ob@192.0.2.1;x=y"))), ["482 192.0.2.20:5060"]);
    let spiral = world.from(BOB, &back("sip:carol@example.com"));
    assert_eq!(lines(&spiral), ["100 192.0.2.20:5060", "INVITE 192.0.2.30:5060"]);
}

/// RFC 3261 §17.1.1.3: whatever is wrong with it, an ACK is never answered; nor is a response.
#[test]
fn silence_for_acks_and_responses() {
    let ack = call("sip:bob@example.com").replace("INVITE", "ACK");
    for text in [
        ack.clone(),
        ack.replace("Max-Forwards: 70", "Max-Forwards: 0"),
        ack.replace("tag=from1", "tag="),
        ack.replacen("SIP/2.0", "SIP/7.0", 1),
        call("sip:bob@example.com").replacen(
            "INVITE sip:bob@example.com SIP/2.0",
            "SIP/2.0 200 OK",
            1,
        ),
        "SIP/2.0 99999 What\nVia: SIP/2.0/UDP 192.0.2.9\n\n".into(),
        "\n\n".into(),
        "nonsense".into(),
        String::new(),
    ] {
        assert_eq!(status(&text), 0, "{text}");
    }
}

/// One event for each thing refused, with whose fault it was.
#[test]
fn refusals_are_told() {
    let mut world = World::open();
    world.from(ALICE, &relay());
    world.from(
        ALICE,
        &call("sip:nobody@example.com").replace("Content-Length: 0", "Content-Length: x"),
    );
    let [
        Event::Rejected { status: 403, fault: Fault::Refused, call_id, .. },
        Event::Malformed { answered: true, .. },
    ] = &world.events[..]
    else {
        panic!("{:?}", world.events)
    };
    assert_eq!(&**call_id, "call-1");
}

/// RFC 3261 §21.5.4: leaving service, new calls are refused; what is under way is not.
#[test]
fn draining() {
    let mut call_ = Call::established();
    call_.world.drain();
    let sent = call_.world.from(ALICE, &call("sip:bob@example.com").replace("call-1", "call-2"));
    assert_eq!(lines(&sent), ["503 192.0.2.10:5060"]);
    assert_eq!(sent[0].header(Name::RetryAfter), "5");
    call_.world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let (us, probe) = ("sip:example.com", "sip:a@b.example");
    let sent = call_.world.from(ALICE, &request("OPTIONS", us, probe, us, ALICE, "o"));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060"], "it is over at once");
    let bye = call_.within("BYE", "bye1");
    assert_eq!(lines(&call_.world.from(ALICE, &bye)), ["BYE 192.0.2.20:5060"]);
}

/// What is due when the order to drain comes is not lost with it: it leaves with the next tick.
#[test]
fn draining_loses_nothing() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.from(ALICE, &invite("a1"));
    world.now = world.now + Duration::from_millis(500);
    assert!(world.handle(Input::Command(Command::Drain)).is_empty());
    assert_eq!(lines(&world.handle(Input::Tick)), ["INVITE 192.0.2.20:5060"]);
    let mut idle = World::open();
    assert!(idle.handle(Input::Config(Arc::new(idle.config.clone()))).is_empty());
}

/// An unproven source: 60 at once, then silence. Nobody else suffers (security: reflection).
#[test]
fn a_flood_is_dropped_in_silence() {
    let mut world = World::open();
    let mut answers = 0;
    for n in 0..200 {
        let text = request(
            "OPTIONS",
            "sip:example.com",
            "sip:a@b.example",
            "sip:example.com",
            MALLORY,
            &format!("f{n}"),
        );
        answers += world.from(MALLORY, &text).len();
    }
    assert_eq!(answers, 60);
    let told = |e: &&Event| matches!(e, Event::LimitHit { limit: "unverified_source", .. });
    assert_eq!(world.events.iter().filter(told).count(), 140);
    let malformed = "OPTIONS sip:example.com SIP/7.0\nVia: SIP/2.0/UDP 203.0.113.66\n\n";
    assert!(world.from(MALLORY, malformed).is_empty());
    assert!(world.from(MALLORY, &invite("c").replace("INVITE", "CANCEL")).is_empty());
    assert_eq!(world.from(ALICE, &call("sip:nobody@example.com")).len(), 1);
}

/// RFC 3261 §18.3: on a stream Content-Length is what ends a message; without it there is none, only an error.
#[test]
fn a_stream_needs_a_content_length() {
    let text =
        request("OPTIONS", "sip:example.com", "sip:a@b.example", "sip:example.com", ALICE, "o")
            .replace("Content-Length: 0\n", "");
    let status = |sent: Vec<Sent>| sent.iter().map(Sent::status).collect::<Vec<_>>();
    assert_eq!(status(World::open().by(tcp(ALICE, 1), &text)), [400]);
    assert_eq!(status(World::open().by(udp(ALICE), &text)), [200]);
}
