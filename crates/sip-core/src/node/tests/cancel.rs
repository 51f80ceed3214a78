//! CANCEL in every race (RFC 3261 §9, §16.10), and Timer C (§16.8).

use super::world::*;
use crate::output::{EndedBy, Event};
use crate::time::Duration;

/// RFC 3665 §3.8: ringing, CANCEL, 487.
#[test]
fn a_ringing_call_is_cancelled() {
    let mut call = Call::ringing();
    let sent = call.cancel();
    assert_eq!(lines(&sent), ["CANCEL 192.0.2.20:5060", "200 192.0.2.10:5060"]);
    let (cancel, invite) = (sent[0].request(), call.invite.request());
    assert_eq!(cancel.uri_bytes(), invite.uri_bytes(), "§9.1");
    assert_eq!(cancel.via().unwrap().branch, invite.via().unwrap().branch, "§9.1");
    assert!(call.bob_confirms(&sent).is_empty(), "§16.7: ours, not the caller's");
    let sent = call.bob(487);
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060", "487 192.0.2.10:5060"]);
    call.acknowledge_failure();
    let refused = |e: &Event| matches!(e, Event::CallEnded { call, ended_by: EndedBy::Refused } if call.status == 487);
    assert!(call.world.events.iter().any(refused));
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §9.1: no CANCEL before a provisional response; it follows the first one.
#[test]
fn a_cancel_waits_for_the_first_provisional() {
    let mut call = Call::offered();
    assert_eq!(lines(&call.cancel()), ["200 192.0.2.10:5060"]);
    let sent = call.bob(180);
    assert!(sent.iter().any(|s| s.line() == "CANCEL 192.0.2.20:5060"), "{:?}", lines(&sent));
    call.bob_confirms(&sent);
    assert_eq!(lines(&call.bob(487)), ["ACK 192.0.2.20:5060", "487 192.0.2.10:5060"]);
}

/// RFC 3261 §9.1, §16.7: the 200 crosses the CANCEL, and wins.
#[test]
fn a_200_crosses_the_cancel() {
    let mut call = Call::ringing();
    let sent = call.cancel();
    assert_eq!(lines(&call.bob(200)), ["200 192.0.2.10:5060"]);
    let late = find(&sent, "CANCEL").reply(481, "x", "");
    assert!(call.world.from(BOB, &late).is_empty());
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §9.2: the busy signal crosses the CANCEL.
#[test]
fn a_486_crosses_the_cancel() {
    let mut call = Call::ringing();
    call.cancel();
    assert_eq!(lines(&call.bob(486)), ["ACK 192.0.2.20:5060", "486 192.0.2.10:5060"]);
    call.acknowledge_failure();
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §9.2: after the final response a CANCEL has no effect, and is answered 200.
#[test]
fn a_cancel_too_late() {
    let mut call = Call::established();
    assert_eq!(lines(&call.cancel()), ["200 192.0.2.10:5060"]);
    let mut call = Call::ringing();
    call.bob(486);
    assert_eq!(lines(&call.cancel()), ["200 192.0.2.10:5060"]);
}

/// RFC 3261 §9.2: a repeated CANCEL is answered again and does nothing again.
#[test]
fn a_repeated_cancel() {
    let mut call = Call::ringing();
    let first = call.cancel();
    let again = call.cancel();
    assert_eq!(lines(&again), ["200 192.0.2.10:5060"]);
    assert_eq!(find(&first, "200").text, again[0].text);
}

/// RFC 3261 §9.2: nothing to cancel is 481.
#[test]
fn a_cancel_for_nothing() {
    let mut world = World::open();
    let sent = world.from(ALICE, &invite("zz").replace("INVITE", "CANCEL"));
    assert_eq!(lines(&sent), ["481 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// A CANCEL from elsewhere with a guessed branch ends nobody's call.
#[test]
fn a_strangers_cancel() {
    let mut call = Call::ringing();
    let sent = call.world.from(MALLORY, &invite("a1").replace("INVITE", "CANCEL"));
    assert_eq!(lines(&sent), [format!("481 {MALLORY}")]);
    assert_eq!(lines(&call.bob(200)), ["200 192.0.2.10:5060"]);
}

/// RFC 3261 §9.1: the callee took the CANCEL and then fell silent; 64*T1 later the INVITE counts as cancelled.
#[test]
fn a_cancelled_callee_falls_silent() {
    let mut call = Call::ringing();
    let sent = call.cancel();
    call.bob_confirms(&sent);
    let sent = call.world.pass(Duration::from_secs(33));
    assert_eq!(find(&sent, "487").line(), "487 192.0.2.10:5060");
    call.acknowledge_failure();
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §16.8: ringing longer than Timer C is cancelled; each 180 sets it back (§16.7 step 2).
#[test]
fn timer_c_fires_after_the_last_180() {
    let mut call = Call::ringing();
    assert!(call.world.pass(Duration::from_secs(180)).is_empty());
    call.bob(180);
    assert!(call.world.pass(Duration::from_secs(180)).is_empty());
    let sent = call.world.pass(Duration::from_secs(2));
    assert_eq!(find(&sent, "CANCEL").line(), "CANCEL 192.0.2.20:5060");
    call.bob_confirms(&sent);
    let sent = call.bob(487);
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060", "408 192.0.2.10:5060"]);
    call.acknowledge_failure();
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §16.8: and if the callee is gone by then, it is a 408.
#[test]
fn timer_c_without_an_answer_is_408() {
    let mut call = Call::ringing();
    let sent = call.world.pass(Duration::from_secs(181 + 33));
    assert_eq!(find(&sent, "408").line(), "408 192.0.2.10:5060");
    call.acknowledge_failure();
    assert!(call.world.is_at_rest());
}
