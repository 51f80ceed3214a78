//! Session timers (RFC 4028): agreed on, refreshed at half time, too small, and nobody refreshing.

use sim::{Softphone, World, ms, play, secs};
use sip_core::ua::{CallId, Event};

/// alice wants a refresh this often, or does not care; she hangs up in the end.
fn call(w: &mut World, interval: u64, hang_up: u64) -> (Softphone, Softphone, CallId) {
    let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
    alice.agrees();
    bob.answers(ms(50), secs(1));
    let interval = Some(secs(interval)).filter(|interval| !interval.is_zero());
    alice.configure(|settings| settings.session_expires = interval);
    let call = alice.new_call();
    alice.hang_up_after(secs(hang_up), call);
    (alice, bob, call)
}

fn place(alice: &Softphone, call: CallId) {
    let with = sip_core::ua::CallOptions::default();
    let body = Some(sim::sdp("offer"));
    alice.after(secs(0), sip_core::ua::Command::Call { call, to: "bob".into(), body, with });
}

/// RFC 4028 §7.2, §10: the caller refreshes at half time, with UPDATE, as long as the call lasts.
#[test]
fn the_caller_refreshes() {
    play("ua_timer/the_caller_refreshes", |w| {
        let (alice, bob, call) = call(w, 120, 150);
        place(&alice, call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered SessionTimer/120/ours Ended/Us");
        assert_eq!(bob.told(), "Incoming SessionTimer/120/theirs Established Ended/Peer");
        assert!(w.last("200 UPDATE").contains("Session-Expires: 120;refresher=uac"));
    });
}

/// RFC 4028 §9: only the callee wants a timer, so it does the work.
#[test]
fn the_callee_refreshes() {
    play("ua_timer/the_callee_refreshes", |w| {
        let (alice, bob, call) = call(w, 0, 150);
        bob.configure(|settings| settings.session_expires = Some(secs(200)));
        place(&alice, call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered SessionTimer/200/theirs Ended/Us");
        assert_eq!(w.sent("bob", "UPDATE"), 1);
    });
}

/// RFC 4028 §7.3: 422 names what the callee agrees to, and the caller asks again.
#[test]
fn too_small() {
    play("ua_timer/too_small", |w| {
        let (alice, bob, call) = call(w, 120, 10);
        bob.configure(|settings| settings.min_se = secs(600));
        place(&alice, call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered SessionTimer/600/ours Ended/Us");
        assert!(w.last("422 INVITE").contains("\r\nMin-SE: 600\r\n"));
    });
}

/// RFC 4028 §10: the refresher is gone; the other one ends the call a little before the end of the interval.
#[test]
fn nobody_refreshes() {
    play("ua_timer/nobody_refreshes", |w| {
        let (alice, bob, call) = call(w, 120, 1_000);
        place(&alice, call);
        alice.phone.dies_after(secs(20));
        w.allowed.push("alice".to_owned());
        w.run_for(secs(200));
        assert_eq!(bob.told(), "Incoming SessionTimer/120/theirs Established Ended/SessionTimer");
        let ended = bob.events().last().map(|(at, _)| *at);
        // 1.002 + 120 - 32, and 64*T1 for the BYE that nobody answers.
        assert_eq!(ended, Some(sim::world::START + ms(1_002 + 88_000 + 32_000)));
    });
}

/// The refresh gets no answer: the dialog is lost (RFC 4028 §10, RFC 3261 §12.2.1.2).
#[test]
fn the_refresh_is_not_answered() {
    play("ua_timer/the_refresh_is_not_answered", |w| {
        let (alice, bob, call) = call(w, 600, 1_000);
        place(&alice, call);
        bob.phone.dies_after(secs(20));
        w.allowed.push("bob".to_owned());
        w.run_for(secs(400));
        assert!(alice.told().ends_with("Ended/Lost"), "{}", alice.told());
    });
}

/// A peer that takes no UPDATE is refreshed with a re-INVITE that repeats the description (RFC 4028 §7.4).
#[test]
fn refreshed_by_reinvite() {
    play("ua_timer/refreshed_by_reinvite", |w| {
        let (alice, _bob, call) = call(w, 120, 100);
        let carol = w.phone("carol");
        carol.incoming().answer_after(ms(50)).header("Session-Expires: 120;refresher=uac");
        let with = sip_core::ua::CallOptions::default();
        let body = Some(sim::sdp("offer"));
        alice.after(secs(0), sip_core::ua::Command::Call { call, to: "carol".into(), body, with });
        w.run();
        assert!(
            alice.events().iter().any(|(_, e)| matches!(e, Event::OfferAnswered { .. })),
            "{}",
            alice.told()
        );
        assert_eq!(w.sent("alice", "INVITE"), 2);
    });
}
