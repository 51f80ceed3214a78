//! REGISTER and OPTIONS through the node (RFC 3261 §10.3, §11.2), and the wait for the store.

use sip_message::Name;

use super::world::*;
use crate::input::Answer;
use crate::output::{BindingWrite, Event, Question};

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKr1;rport
Max-Forwards: 70
From: <sip:bob@example.com>;tag=r
To: <sip:bob@example.com>
Call-ID: reg-1
CSeq: 1 REGISTER
Contact: <sip:bob@10.0.0.9:5060>
Content-Length: 0

";

#[test]
fn a_register_is_answered_with_its_binding() {
    let mut world = World::open();
    let sent = world.from(BOB, REGISTER);
    assert_eq!(lines(&sent), ["200 192.0.2.20:5060"]);
    assert!(sent[0].header(Name::Contact).starts_with("<sip:bob@10.0.0.9:5060>;expires=120"));
    // RFC 3581 §4: the answer says where the request came from.
    assert!(sent[0].header(Name::Via).contains(";rport=5060;received=192.0.2.20"));
    assert!(matches!(world.events[..], [Event::BindingAdded { .. }]), "{:?}", world.events);
    assert!(world.is_at_rest());
}

/// RFC 3261 §8.2.7: stateless, so a repetition gets the same bytes, tag included.
#[test]
fn a_repeated_register_gets_the_same_answer() {
    let mut world = World::open();
    let first = world.from(BOB, REGISTER);
    let again = world.from(BOB, REGISTER);
    assert_eq!(first[0].text, again[0].text);
    assert!(first[0].header(Name::To).contains(";tag="));
}

/// RFC 3261 §10.3 step 8: 200 only when the bindings are updated, on disk that is.
#[test]
fn a_durable_200_waits_for_the_store() {
    let mut world = World::open();
    world.reconfigure(|config| config.durable = true);
    assert_eq!(lines(&world.from(BOB, REGISTER)), [""; 0]);
    assert_eq!(world.node.sizes().registers_pending, 1);
    let [(_, Question::Store(rows))] = &world.asks[..] else { panic!("{:?}", world.asks) };
    assert!(matches!(&rows[..], [BindingWrite::Put(row)] if &*row.aor == "bob@example.com"));
    assert_eq!(lines(&world.answer(Answer::Stored)), ["200 192.0.2.20:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 3261 §21.5.4: nothing was promised that is not kept.
#[test]
fn a_failed_store_is_503_and_no_binding() {
    let mut world = World::open();
    world.reconfigure(|config| config.durable = true);
    world.from(BOB, REGISTER);
    let sent = world.answer(Answer::StoreFailed("disk full".into()));
    assert_eq!(lines(&sent), ["503 192.0.2.20:5060"]);
    assert_eq!(sent[0].header(Name::RetryAfter), "5");
    assert!(world.shared.location.lookup(world.now, "bob@example.com").is_none());
    assert!(world.events.contains(&Event::StoreFailed { why: "disk full".into() }));
    // An answer to no question is nobody's.
    world.asks.push((crate::output::AskId(77), Question::Store(Vec::new())));
    assert!(world.answer(Answer::Stored).is_empty());
}

/// RFC 3261 §11.2; no word about the program or its version.
#[test]
fn options_to_the_server() {
    let mut world = World::open();
    let options =
        request("OPTIONS", "sip:192.0.2.1", "sip:x@other.example", "sip:192.0.2.1", BOB, "o");
    let sent = world.from(BOB, &options);
    assert_eq!(lines(&sent), ["200 192.0.2.20:5060"]);
    for name in [Name::Allow, Name::Accept, Name::AcceptLanguage] {
        assert!(!sent[0].header(name).is_empty(), "{name}");
    }
    assert_eq!(sent[0].header(Name::Server) + &sent[0].header(Name::UserAgent), "");
    assert!(world.events.is_empty());
    assert!(world.is_at_rest());
}

/// RFC 3261 §8.2.1, §21.5.2: what the server itself does not do.
#[test]
fn methods_the_server_does_not_serve() {
    let mut world = World::open();
    for (method, status) in [("INVITE", 405), ("BYE", 405), ("MESSAGE", 405), ("NEWMETHOD", 501)] {
        let text =
            request(method, "sip:example.com", "sip:a@example.com", "sip:example.com", BOB, method);
        let sent = world.from(BOB, &text);
        assert_eq!(lines(&sent), [format!("{status} {BOB}")], "{method}");
        assert!(sent[0].header(Name::Allow).contains("OPTIONS"), "RFC 3261 §20.5");
    }
    assert_eq!(world.events.len(), 4);
    assert!(world.is_at_rest());
}
