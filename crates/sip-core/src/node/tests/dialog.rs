//! Dialogs other than a plain call through the node: early ones, subscriptions, several from one INVITE
//! (RFC 3261 §12, §16.12, RFC 3262, RFC 6665).

use sip_message::Name;

use super::world::*;
use crate::time::Duration;

/// RFC 3262 §3: a PRACK belongs to a dialog before the call is answered; the ringing goes on.
#[test]
fn a_prack_in_an_early_dialog() {
    let mut call = Call::ringing();
    let prack = call.within("PRACK", "p1").replace("Content", "RAck: 1 1 INVITE\nContent");
    let sent = call.world.from(ALICE, &prack);
    assert_eq!(lines(&sent), ["PRACK 192.0.2.20:5060"]);
    let ok = sent[0].reply(200, "", "");
    assert_eq!(lines(&call.world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
    assert_eq!(lines(&call.bob(200)), ["200 192.0.2.10:5060"]);
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §9, §15: a CANCEL crossed the 200, and the caller ends with BYE what it could not cancel.
#[test]
fn a_bye_after_a_cancel_that_lost() {
    let mut call = Call::ringing();
    call.cancel();
    call.bob(200);
    let ack = call.within("ACK", "k1");
    assert_eq!(lines(&call.world.from(ALICE, &ack)), ["ACK 192.0.2.20:5060"]);
    let bye = call.within("BYE", "b1");
    let sent = call.world.from(ALICE, &bye);
    let ok = find(&sent, "BYE").reply(200, "", "");
    assert_eq!(lines(&call.world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
    assert!(call.world.is_at_rest());
}

/// RFC 6665 §4.1: the SUBSCRIBE stays on our path, so the NOTIFY comes back by it, sealed.
#[test]
fn a_subscription_and_its_notify() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let subscribe = invite("s1").replace("INVITE", "SUBSCRIBE");
    let sent = world.from(ALICE, &subscribe);
    assert_eq!(lines(&sent), ["SUBSCRIBE 192.0.2.20:5060"], "no 100 (RFC 4320 §4.1)");
    let route = sent[0].header(Name::RecordRoute);
    assert!(route.contains(";rw="));
    let ok = sent[0].reply(200, "bob1", "");
    assert_eq!(lines(&world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
    let call = Call { world, invite: sent[0].clone() };
    let notify = call.within_by_bob("NOTIFY", "n1");
    let mut world = call.world;
    let sent = world.from(BOB, &notify);
    assert_eq!(lines(&sent), ["NOTIFY 192.0.2.10:5060"]);
    assert!(world.events.is_empty(), "no call, no call record");
    world.from(ALICE, &sent[0].reply(200, "", ""));
    assert!(world.is_at_rest());
}

/// RFC 3261 §12.1: one INVITE, two dialogs; the caller hangs one of them up, each by the same Route.
#[test]
fn two_dialogs_of_one_invite() {
    let mut call = Call::established();
    let second = call.invite.reply(200, "other", "Contact: <sip:bob@192.0.2.20:5061>\n");
    assert_eq!(lines(&call.world.from(BOB, &second)), ["200 192.0.2.10:5060"]);
    let bye = call.within("BYE", "b1").replace("tag=bob1", "tag=other");
    assert_eq!(lines(&call.world.from(ALICE, &bye)), ["BYE 192.0.2.20:5060"]);
}

/// The seal outlives the process: a restart in the middle of a call does not end it (RFC 3261 §16.12 keeps no state).
#[test]
fn a_dialog_outlives_a_restart() {
    let call = Call::established();
    let mut restarted = World::open();
    restarted.now = call.world.now + Duration::from_secs(5);
    let bye = call.within("BYE", "b1");
    let sent = restarted.from(ALICE, &bye);
    assert_eq!(lines(&sent), ["BYE 192.0.2.20:5060"]);
    restarted.from(BOB, &sent[0].reply(200, "", ""));
    let length = restarted.events.iter().find_map(|event| match event {
        crate::output::Event::CallEnded { call, .. } => Some(call.duration),
        _ => None,
    });
    assert_eq!(length, Some(Duration::from_secs(5)));
}
