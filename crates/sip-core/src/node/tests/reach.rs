//! How a binding is reached (RFC 3261 §16.6 step 7): behind a NAT, at another port, by a connection that is gone, after a
//! restart.

use super::world::*;
use crate::flow::Transport;
use crate::input::Input;
use crate::output::Outbox;
use crate::time::Duration;

/// RFC 5626's problem, without its cure: a phone behind a NAT is reached where its REGISTER came from, in the dialog
/// too.
#[test]
fn a_phone_behind_a_nat() {
    let mut world = World::open();
    let outside = "198.51.100.7:41000";
    world.reconfigure(|config| config.limits.trusted.clear());
    world.register("bob", "sip:bob@10.0.0.9:5060", outside);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").line(), format!("INVITE {outside}"));
    assert_eq!(find(&sent, "INVITE").request().uri_bytes(), b"sip:bob@10.0.0.9:5060");
    let ok = find(&sent, "INVITE").reply(200, "bob1", "Contact: <sip:bob@10.0.0.9:5060>\n");
    world.from(outside, &ok);
    let call = Call { world, invite: find(&sent, "INVITE").clone() };
    let mut world = call.world;
    let call = Call { world: World::open(), invite: call.invite };
    let bye =
        call.within("BYE", "b1").replace("sip:bob@192.0.2.20:5060 ", "sip:bob@10.0.0.9:5060 ");
    assert_eq!(lines(&world.from(ALICE, &bye)), [format!("BYE {outside}")]);
}

/// A Contact at the address of the REGISTER, at another port, is meant as it stands.
#[test]
fn a_contact_at_another_port() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5099", BOB);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").line(), "INVITE 192.0.2.20:5099");
}

/// RFC 4475 §3.3.14, RFC 3261 §19.1.1: a Contact may carry headers; a Request-URI may not, and nothing is made of them.
#[test]
fn headers_of_a_contact_stay_behind() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060?Route=%3Csip:192.0.2.66%3E", BOB);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").line(), "INVITE 192.0.2.20:5060");
    assert_eq!(find(&sent, "INVITE").request().uri_bytes(), b"sip:bob@192.0.2.20:5060");
    assert!(!find(&sent, "INVITE").text.contains("192.0.2.66"));
}

/// A phone that registered by TCP is reached by its connection; when that is gone, at its Contact, if it is not behind
/// a NAT. Otherwise the fork has failed (RFC 3261 §16.9).
#[test]
fn a_connection_that_is_gone() {
    use crate::flow::ConnectionId;

    for (contact, second) in [
        ("sip:bob@192.0.2.20:5070;transport=tcp", Some("192.0.2.20:5070")),
        ("sip:bob@10.0.0.9:5070;transport=tcp", None),
        ("sip:bob@192.0.2.20:5070", None),
    ] {
        let mut world = World::open();
        let register = request(
            "REGISTER",
            "sip:example.com",
            "sip:bob@example.com",
            "sip:bob@example.com",
            BOB,
            "r",
        );
        let register = register.replace(&format!("<sip:{BOB}>"), &format!("<{contact}>"));
        assert_eq!(world.by(tcp("192.0.2.20:49152", 9), &register)[0].status(), 200);
        let mut out = Outbox::default();
        let bytes = wire(&invite("a1"));
        world.node.handle(world.now, Input::Message { flow: udp(ALICE), bytes }, &mut out);
        assert_eq!(out.transmits[1].flow, tcp("192.0.2.20:49152", 9), "{contact}");
        let token = out.transmits[1].token.unwrap();
        let sent = world.handle(Input::SendFailed { token });
        let Some(second) = second else {
            assert_eq!(lines(&sent), ["500 192.0.2.10:5060"], "{contact}");
            continue;
        };
        assert_eq!(lines(&sent), [format!("INVITE {second}")]);
        assert_eq!(sent[0].flow.connection, ConnectionId::NONE, "another connection");
        assert!(sent[0].flow.transport.is_reliable());
        let sent = world.handle(Input::SendFailed { token });
        assert_eq!(lines(&sent), ["500 192.0.2.10:5060"], "and no third way");
        assert!(world.is_at_rest());
    }
}

/// Bindings outlive a restart, the listeners they name may not: any of the right kind serves.
#[test]
fn a_binding_of_a_listener_that_is_gone() {
    use crate::flow::{Flow, ListenerId};
    use crate::output::BindingRow;

    let mut world = World::open();
    let row = |listener, remote: &str| BindingRow {
        aor: "bob@example.com".into(),
        contact: "sip:bob@10.0.0.9".into(),
        call_id: "old".into(),
        cseq: 1,
        q: 1000,
        expires_at: world.now + Duration::from_secs(60),
        modified_at: world.now,
        flow: Flow::udp(ListenerId(listener), remote.parse().unwrap()),
        user_agent: "".into(),
        path: "".into(),
    };
    let (wrong, v6) = (row(1, BOB), row(7, "[2001:db8::9]:5060"));
    world.shared.location.load(world.now, Duration::from_secs(60), [&wrong]);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").flow, udp(BOB));
    world.shared.location.load(world.now, Duration::from_secs(60), [&v6]);
    let sent = world.from(ALICE, &invite("a2"));
    assert_eq!(lines(&sent), ["404 192.0.2.10:5060"], "no listener speaks IPv6");
}

/// RFC 3261 §18.1.1: too large for a datagram, so by a stream; refused there, so as a datagram after all, repeated like one.
#[test]
fn a_large_request_and_a_peer_without_streams() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let large =
        invite("a1").replace("Contact", &format!("X-Large: {}\nContact", "x".repeat(1_300)));
    let mut out = Outbox::default();
    let flow = udp(ALICE);
    world.node.handle(world.now, Input::Message { flow, bytes: wire(&large) }, &mut out);
    let sent = out.transmits.pop().unwrap();
    assert_eq!(
        (sent.flow.transport, sent.flow.remote.to_string()),
        (Transport::Tcp, BOB.to_owned())
    );
    let via = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().find_map(|line| line.strip_prefix("Via: ")).unwrap().to_owned()
    };
    let by_stream = via(&sent.bytes);
    assert!(by_stream.starts_with("SIP/2.0/TCP 192.0.2.1:5060;branch="), "{by_stream}");
    assert!(world.pass(Duration::from_secs(4)).is_empty(), "a stream repeats nothing (§17.1.1.2)");
    let token = sent.token.unwrap();
    let again = world.handle(Input::SendFailed { token });
    assert_eq!(lines(&again), [format!("INVITE {BOB}")]);
    assert_eq!(via(again[0].text.as_bytes()), by_stream.replace("TCP", "UDP"));
    assert_eq!(
        lines(&world.pass(Duration::from_millis(500))),
        [format!("INVITE {BOB}")],
        "Timer A"
    );
    // Its answer and its ACK are those of a call.
    let busy = again[0].reply(486, "bob1", "");
    assert_eq!(lines(&world.from(BOB, &busy)), [format!("ACK {BOB}"), format!("486 {ALICE}")]);
    // Nothing else is left to fall back to.
    assert!(world.handle(Input::SendFailed { token }).is_empty());
    // Whoever refused lately gets the next one at once.
    world.shared.refusals.note(world.now, BOB.parse().unwrap());
    let second = large.replace("call-1", "call-2").replace("z9hG4bKa1", "z9hG4bKa2");
    assert_eq!(find(&world.from(ALICE, &second), "INVITE").line(), format!("INVITE {BOB}"));
}
