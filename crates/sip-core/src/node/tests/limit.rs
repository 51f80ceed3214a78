//! Who is heard, who is kept out, and who is turned away when there is too much to do (RFC 3261 §21.5.4, §20.33).

use sip_message::{Message, Name};

use super::identity::{credentials, guarded, with};
use super::world::*;
use crate::ban::Reason;
use crate::output::Event;
use crate::overload::ALL;
use crate::time::Duration;

/// A guess of Mallory's by UDP: the challenge goes to `asks_from`, the answer comes from `answers_from`.
fn guess(world: &mut World, n: u32, asks_from: &str, answers_from: &str) -> Vec<Sent> {
    let aor = "sip:bob@example.com";
    let text = request("REGISTER", "sip:example.com", aor, aor, asks_from, &format!("g{n}"));
    let challenge = world.from(asks_from, &text);
    let right = credentials(&challenge[0], "bob", "REGISTER", "sip:example.com", 1);
    let (head, tail) = right.split_once("response=\"").unwrap();
    let digit = if tail.starts_with('0') { '1' } else { '0' };
    let wrong = format!("{head}response=\"{digit}{}", &tail[1..]);
    let sent = world.from(answers_from, &with(&text, &wrong, &format!("w{n}")));
    world.now = world.now + Duration::from_secs(1);
    sent
}

fn banned(world: &World) -> Vec<String> {
    world.shared.bans.rows().iter().map(|row| row.network.to_string()).collect()
}

#[test]
fn who_guesses_passwords_is_kept_out_for_a_while() {
    let mut world = guarded();
    for n in 0..19 {
        assert_eq!(guess(&mut world, n, MALLORY, MALLORY)[0].status(), 401, "{n}");
    }
    assert_eq!(banned(&world), [""; 0]);
    guess(&mut world, 19, MALLORY, MALLORY);
    assert_eq!(banned(&world), ["203.0.113.66"]);
    let told = |event: &Event| matches!(event, Event::Banned { row, .. } if row.reason == Reason::Guessing);
    assert_eq!(world.events.iter().filter(|event| told(event)).count(), 1);
    let options =
        request("OPTIONS", "sip:example.com", "sip:x@y.z", "sip:example.com", MALLORY, "o");
    assert!(world.from(MALLORY, &options).is_empty(), "silence");
    assert!(world.from("203.0.113.66:9999", &options).is_empty(), "whatever the port");
    assert_eq!(world.from(ALICE, &options.replace(MALLORY, ALICE))[0].status(), 200);
    world.now = world.now + Duration::from_secs(3_600);
    assert_eq!(world.from(MALLORY, &options)[0].status(), 200, "it ends by itself");
}

/// O-4: what an address on a datagram is blamed for is not its own doing, whoever it says it is.
#[test]
fn a_forged_address_is_never_held_against_anybody() {
    let mut world = guarded();
    let victim = "203.0.113.77:5060";
    for n in 0..50 {
        guess(&mut world, n, MALLORY, victim);
    }
    assert_eq!(banned(&world), [""; 0]);
    let options =
        request("OPTIONS", "sip:example.com", "sip:x@y.z", "sip:example.com", victim, "o");
    assert_eq!(world.from(victim, &options)[0].status(), 200);
}

/// Two users behind one NAT: the one who has proven his account does not suffer for the other.
#[test]
fn who_shares_the_address_goes_on() {
    let mut world = guarded();
    let neighbour = "203.0.113.66:40000";
    super::identity::register(&mut world, "alice", &format!("sip:alice@{neighbour}"), neighbour);
    for n in 0..20 {
        guess(&mut world, n, MALLORY, MALLORY);
    }
    assert_eq!(banned(&world), ["203.0.113.66"]);
    let options =
        request("OPTIONS", "sip:example.com", "sip:x@y.z", "sip:example.com", neighbour, "o");
    assert_eq!(world.from(neighbour, &options)[0].status(), 200);
    // An operator means everybody.
    let mut row = world.shared.bans.rows().remove(0);
    row.reason = Reason::Operator;
    world.shared.bans.add(&row).unwrap();
    assert!(world.from(neighbour, &options).is_empty());
}

#[test]
fn the_trusted_and_the_excepted_are_never_banned_for_it() {
    let mut world = guarded();
    for n in 0..50 {
        guess(&mut world, n, ALICE, ALICE);
    }
    world.reconfigure(|config| config.auth.ban.never = vec!["203.0.113.0/24".parse().unwrap()]);
    for n in 0..50 {
        guess(&mut world, n, MALLORY, MALLORY);
    }
    world.reconfigure(|config| {
        config.auth.ban.never.clear();
        config.auth.ban.after = 0;
    });
    for n in 50..100 {
        guess(&mut world, n, MALLORY, MALLORY);
    }
    assert_eq!(banned(&world), [""; 0]);
}

/// A scanner is not told for long what it found: refusals cost a stranger more than requests.
#[test]
fn a_scanner_soon_hears_nothing() {
    let mut world = World::new(config());
    let mut answered = 0;
    for n in 0..100 {
        let uri = format!("sip:{n}@elsewhere.example");
        let text = request("INVITE", &uri, "sip:x@y.z", &uri, MALLORY, &format!("s{n}"));
        answered += world.from(MALLORY, &text).len();
    }
    assert_eq!(answered, 12, "of 100");
}

fn status(sent: &[Sent]) -> Option<u16> {
    sent.iter().find(|sent| sent.text.starts_with("SIP/2.0 ")).map(Sent::status)
}

/// O-2: what a flood sends is thrown away unread; what it must not touch passes.
#[test]
fn a_flood_is_not_read() {
    use crate::output::Outbox;
    use crate::route::early;
    use crate::turn::Turn;

    let mut world = World::new(config());
    let text = request("INVITE", "sip:x@y.example", "sip:x@y.z", "sip:x@y.example", MALLORY, "f");
    for n in 0..20 {
        world.from(MALLORY, &text.replace("4bKf", &format!("4bKf{n}")));
    }
    let unread = |world: &World, peer: &str, text: &str| {
        let (config, shared, mut out) = (&world.config, &*world.shared, Outbox::default());
        let mut turn = Turn { now: world.now, config, shared, draining: false, out: &mut out };
        early::refuse(&mut turn, &udp(peer), &wire(text), &mut Vec::new())
            && out.transmits.is_empty()
    };
    assert!(unread(&world, MALLORY, &text));
    assert!(unread(&world, "203.0.113.66:99", "INVITE what is not even SIP\n"));
    assert!(!unread(&world, "203.0.113.67:5060", &text), "his neighbour");
    assert!(!unread(&world, ALICE, &text), "the trusted");
    assert!(!unread(&world, MALLORY, &text.replace("INVITE", "CANCEL")));
    assert!(!unread(&world, MALLORY, "SIP/2.0 200 OK\n"));
    world.now = world.now + Duration::from_secs(60);
    assert!(!unread(&world, MALLORY, &text), "it has ended");
}

#[test]
fn too_much_to_do_turns_new_calls_away_and_nothing_else() {
    let mut call = Call::established();
    let world = &mut call.world;
    world.reconfigure(|config| config.limits.trusted.clear());
    world.register("carol", "sip:carol@192.0.2.30:5060", CAROL);
    world.shared.overload.publish(0, ALL);
    let mut waits = std::collections::BTreeSet::new();
    for n in 0..200 {
        let text = invite(&format!("n{n}"))
            .replace("call-1", &format!("new-{n}"))
            .replace(ALICE, "203.0.113.5:5060");
        let sent = world.from(&format!("203.0.113.{n}:5060"), &text);
        assert_eq!(status(&sent), Some(503), "{n}");
        assert_eq!(sent.len(), 1, "nothing is remembered");
        let wait: u32 = sent[0].header(Name::RetryAfter).parse().unwrap();
        assert!((5..=30).contains(&wait));
        waits.insert(wait);
        let ack = text.replace("INVITE", "ACK");
        let to = sent[0].header(Name::To);
        let ack = ack.replace("To: <sip:bob@example.com>", &format!("To: {to}"));
        assert!(world.from(&format!("203.0.113.{n}:5060"), &ack).is_empty());
    }
    assert!(waits.len() > 15, "they all come back at once: {waits:?}");
    assert_eq!(world.node.sizes().contexts_active, 0);
    // A dialog goes on; who has proven an account registers again, and may call for help.
    let bye = call.within("BYE", "b1");
    assert_eq!(lines(&call.world.from(ALICE, &bye)), ["BYE 192.0.2.20:5060"]);
    let world = &mut call.world;
    let carol = crate::flow::Flow::udp(crate::flow::ListenerId(0), CAROL.parse().unwrap());
    world.shared.sources.verify(world.now, &carol);
    let aor = "sip:carol@example.com";
    let again = request("REGISTER", "sip:example.com", aor, aor, CAROL, "r2");
    assert_eq!(status(&world.from(CAROL, &again)), Some(200));
    let plain = request("INVITE", "sip:bob@example.com", aor, "sip:bob@example.com", CAROL, "p");
    assert_eq!(status(&world.from(CAROL, &plain.replace("call-1", "p"))), Some(503));
    let help = plain.replace("Contact", "Priority: emergency\nContact").replace("call-1", "help");
    assert_eq!(status(&world.from(CAROL, &help)), Some(100));
    world.shared.overload.publish(0, 0);
    assert_eq!(
        status(&world.from(CAROL, &plain.replace("call-1", "q").replace("4bKp", "4bKq"))),
        Some(100)
    );
}

/// Half of the new calls of those who are known, when all strangers are turned away already; and each call the same way
/// however often it is repeated.
#[test]
fn a_share_of_them() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.shared.overload.publish(0, ALL / 4 * 3);
    let mut refused = 0;
    for n in 0..400 {
        let text = invite(&format!("n{n}")).replace("call-1", &format!("new-{n}"));
        let first = status(&world.from(ALICE, &text));
        assert_eq!(status(&world.from(ALICE, &text)), first);
        refused += u32::from(first == Some(503));
    }
    assert!((150..250).contains(&refused), "{refused} of 400");
    world.reconfigure(|config| config.allow_inbound = true);
    let stranger = invite("s1").replace("call-1", "s").replace("alice@example.com", "x@y.example");
    assert_eq!(status(&world.from(MALLORY, &stranger.replace(ALICE, MALLORY))), Some(503));
    world.shared.overload.publish(0, ALL / 2);
    let known = invite("k1").replace("call-1", "k");
    assert_eq!(status(&world.from(ALICE, &known)), Some(100), "strangers first");
}

/// Refusing before reading: the same choice as after it, an answer that matches its request, and its ACK is known again.
#[test]
fn refused_before_it_is_read() {
    use crate::output::Outbox;
    use crate::route::early;
    use crate::turn::Turn;

    let world = World::new(config());
    let refuse = |peer: &str, text: &str| {
        let mut out = Outbox::default();
        let (config, shared) = (&world.config, &*world.shared);
        let mut turn = Turn { now: world.now, config, shared, draining: false, out: &mut out };
        let done = early::refuse(&mut turn, &udp(peer), &wire(text), &mut Vec::new());
        let sent = out.transmits.pop().map(|transmit| {
            assert!(Message::parse(transmit.bytes.clone()).is_ok());
            Sent { flow: transmit.flow, text: String::from_utf8(transmit.bytes.to_vec()).unwrap() }
        });
        (done, sent)
    };
    let text = invite("n1").replace(ALICE, MALLORY).replace("z9hG4bKn1", "z9hG4bKn1;rport");
    let text = text.replace("Max-", "v: SIP/2.0/UDP below.example;branch=z9hG4bKy\nMax-");
    assert!(matches!(refuse(MALLORY, &text), (false, None)), "there is time");
    world.shared.overload.publish(0, ALL);
    let (done, sent) = refuse("203.0.113.66:4000", &text);
    let sent = sent.filter(|_| done).unwrap();
    assert_eq!((sent.status(), sent.to().as_str()), (503, "203.0.113.66:4000"));
    let response = sent.response();
    assert!(response.check().is_ok(), "{}", sent.text);
    let via = response.via().unwrap();
    assert_eq!((via.branch, via.rport), (Some(&b"z9hG4bKn1"[..]), Some(Some(4000))));
    assert_eq!(via.received, Some(&b"203.0.113.66"[..]));
    assert_eq!(response.vias().count(), 2);
    assert!((5..=30).contains(&sent.header(Name::RetryAfter).parse::<u32>().unwrap()));
    let to = sent.header(Name::To);
    let ack =
        text.replace("INVITE", "ACK").replace("To: <sip:bob@example.com>", &format!("To: {to}"));
    assert!(matches!(refuse("203.0.113.66:4000", &ack), (true, None)), "absorbed");
    for other in [
        ack.replace(&to, &format!("{to}1")),
        text.replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b"),
        text.replace("Max-", "Priority: emergency\nMax-"),
        text.replace("INVITE", "CANCEL"),
        text.replace("INVITE", "BYE"),
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP x\n\n".to_owned(),
    ] {
        assert!(matches!(refuse(MALLORY, &other), (false, None)), "{other}");
    }
    assert!(matches!(refuse(ALICE, &text.replace("INVITE", "REGISTER")), (false, None)), "trusted");
    assert!(refuse(MALLORY, &text.replace("INVITE", "REGISTER")).0, "a stranger");
    let silent = (0..200).filter(|_| refuse(MALLORY, &text).1.is_none()).count();
    assert!(silent > 100, "a stranger over his budget hears nothing");
}
