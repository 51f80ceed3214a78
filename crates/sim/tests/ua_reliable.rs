//! Reliable provisional responses (RFC 3262) and what they carry: PRACK, offers and answers before the call is answered.

use sim::{Softphone, World, ms, play, play_unseen, sdp, secs};
use sip_core::ua::{By, CallOptions, Command, Event, Reliable};

fn pair(w: &mut World) -> (Softphone, Softphone) {
    let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
    alice.agrees();
    bob.agrees();
    (alice, bob)
}

/// Bob plays something (183), rings, answers, hangs up.
fn plays(bob: &Softphone) {
    bob.on(|event, desk| match event {
        Event::Incoming { call, body, .. } => {
            let call = *call;
            let kind = if body.is_some() { "answer" } else { "offer" };
            desk.after(ms(50), Command::Ring { call, status: 183, body: Some(sdp(kind)) });
            desk.after(secs(1), Command::Ring { call, status: 180, body: None });
            desk.after(secs(2), Command::Answer { call, body: Some(sdp("again")) });
        }
        Event::Established { call } => desk.after(secs(1), Command::HangUp { call: *call }),
        _ => {}
    });
}

/// The answer comes reliably in the 183: the 200 has none (RFC 3262 §5, RFC 6337 §2.2).
#[test]
fn the_answer_in_a_183() {
    play("ua_reliable/the_answer_in_a_183", |w| {
        let (alice, bob) = pair(w);
        plays(&bob);
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/183+sdp Ringing/180 Answered Ended/Peer");
        assert!(!w.last("200 INVITE").contains("s=again"), "{}", w.last("200 INVITE"));
    });
}

/// RFC 3262 §3: the 183 is repeated until its PRACK comes; what is repeated is told once.
#[test]
fn the_prack_is_lost() {
    play("ua_reliable/the_prack_is_lost", |w| {
        let (alice, bob) = pair(w);
        plays(&bob);
        w.lose("alice -> proxy", "PRACK", &[1, 2]);
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/183+sdp Ringing/180 Answered Ended/Peer");
        assert!(w.sent("bob", "183 INVITE") > 1);
    });
}

/// RFC 3262 §3: 64*T1 without PRACK, then 504.
#[test]
fn never_pracked() {
    play("ua_reliable/never_pracked", |w| {
        let (alice, bob) = pair(w);
        bob.on(|event, desk| {
            if let Event::Incoming { call, .. } = event {
                let body = Some(sdp("answer"));
                desk.after(ms(50), Command::Ring { call: *call, status: 183, body });
            }
        });
        w.lose_all("alice -> proxy", "PRACK");
        alice.call("bob");
        w.run();
        assert_eq!(bob.told(), "Incoming Ended/NoPrack");
        assert_eq!(alice.told(), "Trying Ringing/183+sdp Failed(504 Server Time-out)");
    });
}

/// The callee's offer in a reliable 183, the answer in its PRACK (RFC 3262 §5); the 200 and the ACK have none.
#[test]
fn the_offer_in_a_183() {
    play("ua_reliable/the_offer_in_a_183", |w| {
        let (alice, bob) = pair(w);
        plays(&bob);
        let (call, with) = (alice.new_call(), CallOptions::default());
        alice.after(secs(0), Command::Call { call, to: "bob".into(), body: None, with });
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/183 Offered Ringing/180 Answered Ended/Peer");
        assert_eq!(bob.told(), "Incoming OfferAnswered Established Ended/Us");
        assert!(w.last("PRACK").ends_with("s=answer\r\n"), "{}", w.last("PRACK"));
    });
}

/// RFC 3311 §5.1: once the first answer came reliably, UPDATE changes the session before the call is answered.
#[test]
fn update_before_the_answer() {
    play("ua_reliable/update_before_the_answer", |w| {
        let (alice, bob) = pair(w);
        plays(&bob);
        let call = alice.call("bob");
        alice.after(ms(500), Command::Offer { call, body: sdp("more"), by: By::Either });
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Ringing/183+sdp OfferAnswered Ringing/180 Answered Ended/Peer"
        );
        assert_eq!(bob.told(), "Incoming Offered Established Ended/Us");
    });
}

/// RFC 3262 §4: required by the caller, every provisional response above 100 is acknowledged.
#[test]
fn required_by_the_caller() {
    play("ua_reliable/required_by_the_caller", |w| {
        let (alice, bob) = pair(w);
        alice.configure(|settings| settings.reliable = Reliable::Required);
        bob.answers(ms(50), secs(1)).hangs_up(secs(1));
        alice.call("bob");
        w.run();
        assert_eq!(w.sent("alice", "PRACK"), 1);
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Ended/Peer");
    });
}

/// RFC 3261 §8.2.2.3: required by the caller and unknown here: 420 names it.
#[test]
fn required_and_unknown() {
    play("ua_reliable/required_and_unknown", |w| {
        let (alice, bob) = pair(w);
        alice.configure(|settings| settings.reliable = Reliable::Required);
        bob.configure(|settings| settings.reliable = Reliable::Never);
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Failed(420 Bad Extension)");
        assert!(w.last("420 INVITE").contains("\r\nUnsupported: 100rel\r\n"));
    });
}

/// RFC 3261 §21.4.16: required by the callee and unknown to the caller: 421.
#[test]
fn required_by_the_callee() {
    play("ua_reliable/required_by_the_callee", |w| {
        let (alice, bob) = pair(w);
        alice.configure(|settings| settings.reliable = Reliable::Never);
        bob.configure(|settings| settings.reliable = Reliable::Required);
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Failed(421 Extension Required)");
    });
}

/// Cancelled between the 183 and the PRACK's answer.
#[test]
fn cancelled_early() {
    play("ua_reliable/cancelled_early", |w| {
        let (alice, bob) = pair(w);
        plays(&bob);
        w.delay("alice -> proxy", "PRACK", &[1], ms(500));
        let call = alice.call("bob");
        alice.hang_up_after(ms(100), call);
        w.run();
        assert_eq!(bob.told(), "Incoming Ended/Peer");
    });
}

/// With a fifth of everything lost and everything reliable, calls come up or fail, and nothing is left over.
#[test]
fn twenty_percent_loss() {
    for seed in 1..40 {
        play_unseen("ua_reliable/twenty_percent_loss", seed, |w| {
            let (alice, bob) = pair(w);
            w.network.usual.loss = 200;
            w.network.usual.duplicate = 100;
            w.network.usual.jitter = ms(30);
            plays(&bob);
            let call = alice.call("bob");
            alice.after(secs(1), Command::Offer { call, body: sdp("more"), by: By::Either });
            alice.hang_up_after(secs(40), call);
            w.run();
            let told = alice.told();
            let over = told.matches("Ended").count() + told.matches(" Failed").count();
            assert_eq!(over, 1, "seed {seed}: {told}");
        });
    }
}
