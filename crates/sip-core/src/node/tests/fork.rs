//! Several phones, one call (RFC 3261 §16.7): who wins, who is told to stop, what the caller hears. And RFC 5393: how
//! much of this there may be.

use sip_message::Name;

use super::world::*;
use crate::time::Duration;

/// Bob has two phones; both have the INVITE.
fn forked() -> (World, Sent, Sent) {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.register("bob", "sip:bob@192.0.2.30:5060", CAROL);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(
        lines(&sent),
        ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060", "INVITE 192.0.2.30:5060"]
    );
    (world, sent[1].clone(), sent[2].clone())
}

fn ack(status_to: &str) -> String {
    invite("a1")
        .replace("INVITE", "ACK")
        .replace("example.com>\nCall", &format!("example.com>;tag={status_to}\nCall"))
}

/// RFC 3261 §16.6 step 8: different branches; RFC 5393 §5.3.3: the breadth is divided.
#[test]
fn forks_differ_in_branch_and_share_the_breadth() {
    let (_, one, two) = forked();
    let branch = |s: &Sent| s.request().via().unwrap().branch.unwrap().to_vec();
    assert_ne!(branch(&one), branch(&two));
    assert_eq!(one.request().max_breadth(), Ok(Some(30)));
    assert_eq!(two.request().max_breadth(), Ok(Some(30)));
    assert_eq!(one.header(Name::RecordRoute), two.header(Name::RecordRoute));
}

/// RFC 3261 §16.7 step 10: the first 2xx wins, the others are cancelled.
#[test]
fn the_first_200_cancels_the_others() {
    let (mut world, one, two) = forked();
    assert_eq!(lines(&world.from(BOB, &one.reply(180, "b", ""))), ["180 192.0.2.10:5060"]);
    assert_eq!(lines(&world.from(CAROL, &two.reply(180, "c", ""))), ["180 192.0.2.10:5060"]);
    let sent = world.from(BOB, &one.reply(200, "b", ""));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060", "CANCEL 192.0.2.30:5060"]);
    let confirm = find(&sent, "CANCEL").reply(200, "c", "");
    assert!(world.from(CAROL, &confirm).is_empty());
    let sent = world.from(CAROL, &two.reply(487, "c", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.30:5060"], "the loser's failure stays here");
    assert_eq!(world.node.sizes().contexts_active, 0);
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7 step 5: two phones are picked up; the caller hears of both.
#[test]
fn every_200_goes_upstream() {
    let (mut world, one, two) = forked();
    let first = world.from(BOB, &one.reply(200, "b", ""));
    let second = world.from(CAROL, &two.reply(200, "c", ""));
    assert_eq!(find(&first, "200").line(), "200 192.0.2.10:5060");
    assert_eq!(lines(&second), ["200 192.0.2.10:5060"]);
    assert!(second[0].header(Name::To).ends_with("tag=c"));
    let answered =
        |e: &&crate::output::Event| matches!(e, crate::output::Event::CallAnswered { .. });
    assert_eq!(world.events.iter().filter(answered).count(), 1, "one call");
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7 steps 5 and 6: nothing is said while somebody may still answer; then the best.
#[test]
fn the_best_failure_wins() {
    for (first, second, best) in [
        (404, 486, 404),
        (500, 486, 486),
        (486, 302, 302),
        (486, 407, 407),
        (480, 484, 484),
        (503, 500, 500),
        (503, 486, 486),
    ] {
        let (mut world, one, two) = forked();
        assert_eq!(lines(&world.from(BOB, &one.reply(first, "b", ""))), ["ACK 192.0.2.20:5060"]);
        let sent = world.from(CAROL, &two.reply(second, "c", ""));
        assert_eq!(
            lines(&sent),
            ["ACK 192.0.2.30:5060".into(), format!("{best} {ALICE}")],
            "{first} {second}"
        );
        world.from(ALICE, &ack("x"));
        assert!(world.is_at_rest());
    }
}

/// RFC 3261 §16.7 step 5: a 6xx speaks for the user. The others are cancelled, and then it is the answer.
#[test]
fn a_6xx_ends_it_for_all() {
    let (mut world, one, two) = forked();
    world.from(CAROL, &two.reply(180, "c", ""));
    let sent = world.from(BOB, &one.reply(603, "b", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060", "CANCEL 192.0.2.30:5060"]);
    let sent = world.from(CAROL, &two.reply(487, "c", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.30:5060", "603 192.0.2.10:5060"]);
    world.from(ALICE, &ack("b"));
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7 step 6: a 2xx after a 6xx is still a 2xx.
#[test]
fn a_200_beats_a_6xx() {
    let (mut world, one, two) = forked();
    world.from(CAROL, &two.reply(180, "c", ""));
    world.from(BOB, &one.reply(603, "b", ""));
    assert_eq!(lines(&world.from(CAROL, &two.reply(200, "c", ""))), ["200 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7 step 7: the caller sees the challenges of all.
#[test]
fn challenges_are_joined() {
    let (mut world, one, two) = forked();
    let b = "Proxy-Authenticate: Digest realm=\"b\", nonce=\"1\"\n";
    let c = "WWW-Authenticate: Digest realm=\"c\", nonce=\"2\"\n";
    world.from(BOB, &one.reply(407, "b", b));
    let sent = world.from(CAROL, &two.reply(401, "c", c));
    let answer = find(&sent, "407");
    assert!(answer.header(Name::ProxyAuthenticate).contains("\"b\""), "{}", answer.text);
    assert!(answer.header(Name::WwwAuthenticate).contains("\"c\""), "{}", answer.text);
}

/// RFC 3261 §16.10: a CANCEL goes to every fork that still rings.
#[test]
fn a_cancel_reaches_every_fork() {
    let (mut world, one, two) = forked();
    world.from(BOB, &one.reply(180, "b", ""));
    world.from(CAROL, &two.reply(180, "c", ""));
    let sent = world.from(ALICE, &invite("a1").replace("INVITE", "CANCEL"));
    assert_eq!(
        lines(&sent),
        ["CANCEL 192.0.2.20:5060", "CANCEL 192.0.2.30:5060", "200 192.0.2.10:5060"]
    );
    world.from(BOB, &one.reply(487, "b", ""));
    let sent = world.from(CAROL, &two.reply(487, "c", ""));
    assert_eq!(find(&sent, "487").line(), "487 192.0.2.10:5060");
    world.from(ALICE, &ack("c"));
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7: one phone is dead, the other is answered; the dead one costs nothing but its timers.
#[test]
fn a_dead_phone_beside_a_live_one() {
    let (mut world, one, _) = forked();
    let sent = world.from(BOB, &one.reply(200, "b", ""));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060"], "§9.1: no CANCEL before a provisional");
    let sent = world.pass(Duration::from_secs(40));
    assert!(sent.iter().all(|s| s.line() == "INVITE 192.0.2.30:5060"), "{:?}", lines(&sent));
    assert!(world.is_at_rest());
}

/// RFC 5393 §5.3.3: without breadth for all forks the request is refused.
#[test]
fn breadth_is_bounded() {
    let (mut world, ..) = forked();
    let text = |breadth: u32, branch: &str| {
        invite(branch).replace("Contact", &format!("Max-Breadth: {breadth}\nContact"))
    };
    let sent = world.from(ALICE, &text(1, "m1"));
    assert_eq!(lines(&sent), ["440 192.0.2.10:5060"]);
    let sent = world.from(ALICE, &text(3, "m2"));
    let breadths: Vec<_> = sent[1..].iter().map(|s| s.request().max_breadth()).collect();
    assert_eq!(breadths, [Ok(Some(2)), Ok(Some(1))]);
    let sent = world.from(ALICE, &text(4_000_000_000, "m3"));
    assert_eq!(sent[1].request().max_breadth(), Ok(Some(30)), "never more than our own");
    assert_eq!(sent[1].text.matches("Max-Breadth").count(), 1);
}

/// When no fork could be made because our own tables are full, the caller hears 503 and when to try again
/// (RFC 3261 §21.5.4), not the 500 of §16.7 step 6, which is about others.
#[test]
fn no_room_for_any_fork_is_503() {
    use crate::flow::{Flow, ListenerId};
    use crate::output::Outbox;
    use crate::proxy::{Kind, Next, Plan, Proxy, Step, Target, TargetUri};
    use crate::transaction::{Matched, TransactionLayer};
    use crate::turn::Turn;

    let world = World::open();
    let mut transactions =
        TransactionLayer::new(0, world.shared.branch_seal.clone(), &world.config.timers);
    let mut out = Outbox::default();
    let (request, flow) = (
        match sip_message::Message::parse(wire(&invite("a1"))) {
            Ok(sip_message::Message::Request(request)) => request,
            other => panic!("{other:?}"),
        },
        udp(ALICE),
    );
    let Matched::New(key) = transactions.receive_request(world.now, &request, &flow, &mut out)
    else {
        panic!()
    };
    // A listener that does not exist is as good as a table without room.
    let nowhere = Flow { listener: ListenerId(99), ..udp(BOB) };
    let target = Target { uri: TargetUri::Unchanged, next: Next::Flow(nowhere), q: 1000 };
    let steps = [Step::new([target].into_iter().collect())].into_iter().collect();
    let plan = Plan::new(steps, 0, Kind::Call, 0);
    let (now, config, shared) = (world.now, &world.config, &*world.shared);
    let mut turn = Turn { now, config, shared, draining: false, out: &mut out };
    let mut proxy = Proxy::default();
    let forwarded = proxy.forward(&mut turn, &mut transactions, key, &request, &flow, &plan);
    assert_eq!(forwarded, Ok(()));
    assert!(proxy.is_empty());
    let last = out.transmits.last().unwrap();
    assert!(last.bytes.starts_with(b"SIP/2.0 503 "), "{:?}", last.bytes);
    assert!(last.bytes.windows(14).any(|w| w == b"Retry-After: 5"));
}
