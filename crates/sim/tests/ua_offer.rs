//! Offers inside a dialog (RFC 3261 §14, RFC 3311, RFC 3264): hold and resume, UPDATE, glare, refusals.

use sim::{Softphone, World, ms, play, play_unseen, sdp, secs};
use sip_core::ua::{By, CallId, Command, Event};

/// A call from alice to bob through the server, answered after a second; bob hangs up after ten.
fn call(w: &mut World) -> (Softphone, Softphone, CallId) {
    let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
    alice.agrees();
    bob.answers(ms(50), secs(1)).hangs_up(secs(10));
    let call = alice.call("bob");
    (alice, bob, call)
}

/// Who has been called offers something this long after the call came up.
fn offers(phone: &Softphone, after: core::time::Duration, by: By) {
    phone.on(move |event, desk| {
        if let Event::Established { call } = event {
            let call = *call;
            desk.after(after, Command::Offer { call, body: sdp("hold"), by });
        }
    });
}

#[test]
fn hold_and_resume() {
    play("ua_offer/hold_and_resume", |w| {
        let (alice, bob, call) = call(w);
        alice.after(secs(3), Command::Offer { call, body: sdp("hold"), by: By::Either });
        alice.after(secs(5), Command::Offer { call, body: sdp("resume"), by: By::Either });
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Ringing/180 Answered OfferAnswered OfferAnswered Ended/Peer"
        );
        assert_eq!(bob.told(), "Incoming Established Offered Offered Ended/Us");
    });
}

/// Both sides hold: also the callee's re-INVITE goes the recorded way.
#[test]
fn the_callee_holds() {
    play("ua_offer/the_callee_holds", |w| {
        let (alice, bob, _) = call(w);
        offers(&bob, secs(2), By::Reinvite);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Offered Ended/Peer");
        assert_eq!(bob.told(), "Incoming Established OfferAnswered Ended/Us");
    });
}

/// RFC 3311: the same without an INVITE transaction.
#[test]
fn by_update() {
    play("ua_offer/by_update", |w| {
        let (alice, bob, call) = call(w);
        alice.after(secs(3), Command::Offer { call, body: sdp("hold"), by: By::Update });
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered OfferAnswered Ended/Peer");
        assert_eq!(bob.told(), "Incoming Established Offered Ended/Us");
    });
}

/// RFC 3261 §14.1, §14.2: both offer at once, both get 491, and try again in different windows: the callee first.
#[test]
fn glare() {
    play("ua_offer/glare", |w| {
        let (alice, bob, call) = call(w);
        // The ACK reaches bob at 1.005.
        alice.after(ms(3_005), Command::Offer { call, body: sdp("a"), by: By::Reinvite });
        offers(&bob, secs(2), By::Reinvite);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Offered OfferAnswered Ended/Peer");
        assert_eq!(bob.told(), "Incoming Established OfferAnswered Offered Ended/Us");
        assert_eq!((w.sent("alice", "491 INVITE"), w.sent("bob", "491 INVITE")), (1, 1));
    });
}

/// The windows of RFC 3261 §14.1 for many seeds: 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other.
#[test]
fn the_windows_of_glare() {
    for seed in 1..20 {
        let world = play_unseen("ua_offer/the_windows_of_glare", seed, |w| {
            let (alice, bob, call) = call(w);
            let lead = sip_core::time::Duration::from_micros(seed);
            alice
                .after(ms(3_005) + lead, Command::Offer { call, body: sdp("a"), by: By::Reinvite });
            offers(&bob, secs(2) + lead, By::Reinvite);
            w.run();
        });
        let offers = |name: &str| -> Vec<u64> {
            let wires = world.trace.wires.iter().filter(|w| world.name(w.from) == name);
            let sent = wires.filter(|w| w.message.method == "INVITE" && w.message.is_request());
            sent.map(|w| w.sent.as_millis()).collect()
        };
        let (alice, bob) = (offers("alice"), offers("bob"));
        let (by_owner, by_other) = (alice[2] - alice[1], bob[1] - bob[0]);
        assert!((2_100..=4_010).contains(&by_owner), "seed {seed}: {by_owner}");
        assert!(by_other <= 2_010, "seed {seed}: {by_other}");
    }
}

/// RFC 3311 §5.2: UPDATE meets UPDATE.
#[test]
fn updates_meet() {
    play("ua_offer/updates_meet", |w| {
        let (alice, bob, call) = call(w);
        alice.after(ms(3_005), Command::Offer { call, body: sdp("a"), by: By::Update });
        offers(&bob, secs(2), By::Update);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Offered OfferAnswered Ended/Peer");
        assert_eq!(bob.told(), "Incoming Established OfferAnswered Offered Ended/Us");
    });
}

/// RFC 3261 §14.2: what is not acceptable is 488, and the session goes on.
#[test]
fn refused() {
    play("ua_offer/refused", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        bob.on(|event, desk| match event {
            Event::Incoming { call, .. } => {
                let body = Some(sdp("answer"));
                desk.after(ms(50), Command::Answer { call: *call, body });
            }
            Event::Offered { call, .. } => {
                desk.after(ms(50), Command::RefuseOffer { call: *call, status: 488 });
            }
            _ => {}
        });
        let call = alice.call("bob");
        alice.after(secs(2), Command::Offer { call, body: sdp("hold"), by: By::Either });
        alice.hang_up_after(secs(4), call);
        w.run();
        assert_eq!(alice.told(), "Trying Answered OfferRefused(488 Not Acceptable Here) Ended/Us");
    });
}

/// The peer has lost the dialog (it was restarted): 481, and the call is over (RFC 3261 §12.2.1.2, §14.1).
#[test]
fn the_dialog_is_lost() {
    play("ua_offer/the_dialog_is_lost", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        bob.answers(ms(50), secs(1));
        let call = alice.call("bob");
        // Bob's BYE is lost on every try: alice does not know that bob's side is over.
        w.lose_all("bob -> proxy", "BYE");
        bob.hangs_up(secs(1));
        alice.after(secs(40), Command::Offer { call, body: sdp("hold"), by: By::Either });
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Ringing/180 Answered \
             OfferRefused(481 Call/Transaction Does Not Exist) Ended/Lost"
        );
    });
}

/// The answer to a re-INVITE is repeated until its ACK (RFC 3261 §14.2, §13.3.1.4), and each is acknowledged.
#[test]
fn the_ack_of_a_reinvite_is_lost() {
    play("ua_offer/the_ack_of_a_reinvite_is_lost", |w| {
        let (alice, bob, call) = call(w);
        w.lose("alice -> proxy", "ACK", &[2, 3]);
        alice.after(secs(3), Command::Offer { call, body: sdp("hold"), by: By::Either });
        w.run();
        assert_eq!(w.sent("bob", "200 INVITE"), 4);
        assert_eq!(bob.told(), "Incoming Established Offered Ended/Us");
    });
}

/// Hang up while an offer is open: the peer's request is ended with 487 (RFC 3261 §15.1.2).
#[test]
fn hung_up_over_an_offer() {
    play("ua_offer/hung_up_over_an_offer", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        bob.on(|event, desk| {
            if let Event::Incoming { call, .. } = event {
                let body = Some(sdp("answer"));
                desk.after(ms(50), Command::Answer { call: *call, body });
                desk.after(secs(3), Command::HangUp { call: *call });
            }
        });
        let call = alice.call("bob");
        alice.after(secs(2), Command::Offer { call, body: sdp("hold"), by: By::Either });
        w.run();
        assert!(alice.told().contains("Ended/Peer"), "{}", alice.told());
        assert_eq!(w.sent("bob", "487 INVITE"), 1);
    });
}
