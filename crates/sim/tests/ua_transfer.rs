//! Transfer: REFER and its NOTIFYs (RFC 3515), blind and attended, and Replaces (RFC 3891).

use sim::{Softphone, World, ms, play, secs};
use sip_core::ua::{CallOptions, Command, Event};

/// alice, bob and carol; everybody answers after a while and does what a REFER asks.
fn three(w: &mut World) -> [Softphone; 3] {
    let phones = ["alice", "bob", "carol"].map(|name| w.softphone(name));
    for phone in &phones {
        phone.answers(ms(50), ms(500)).obeys_referrals();
    }
    phones
}

/// Hangs up once the peer reports that the transfer has come to its end.
fn leaves_when_done(phone: &Softphone) {
    phone.on(|event, desk| {
        if let Event::ReferDone { call, .. } = event {
            desk.after(ms(10), Command::HangUp { call: *call });
        }
    });
}

/// Hangs up every answered call of its own making after a while.
fn hangs_up_own_calls(phone: &Softphone) {
    phone.on(|event, desk| {
        if let Event::Answered { call, .. } = event {
            desk.after(secs(3), Command::HangUp { call: *call });
        }
    });
}

/// alice calls bob and sends him on to carol.
#[test]
fn blind() {
    play("ua_transfer/blind", |w| {
        let [alice, bob, carol] = three(w);
        leaves_when_done(&alice);
        hangs_up_own_calls(&bob);
        let call = alice.call("bob");
        let to = "sip:carol@example.com".into();
        alice.after(secs(2), Command::Refer { call, to, replaces: None });
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Ringing/180 Answered ReferProgress/100 ReferProgress/180 ReferProgress/200 \
             ReferDone/200 Ended/Us"
        );
        assert_eq!(
            bob.told(),
            "Incoming Established Referred Trying Ringing/180 Answered Ended/Peer Ended/Us"
        );
        assert_eq!(carol.told(), "Incoming Established Ended/Peer");
        let invite = w.last("INVITE");
        assert!(invite.contains("Referred-By: <sip:alice@example.com>"), "{invite}");
    });
}

/// alice talks to bob, asks carol, and connects the two: bob's INVITE replaces alice's call at carol.
#[test]
fn attended() {
    play("ua_transfer/attended", |w| {
        let [alice, bob, carol] = three(w);
        leaves_when_done(&alice);
        hangs_up_own_calls(&bob);
        let first = alice.call("bob");
        let second = alice.call_after(secs(2), "carol");
        let to = "sip:carol@example.com".into();
        alice.after(secs(4), Command::Refer { call: first, to, replaces: Some(second) });
        w.run();
        assert_eq!(
            carol.told(),
            "Incoming Established Incoming/replacing Established Ended/Replaced Ended/Peer"
        );
        assert!(alice.told().ends_with("ReferDone/200 Ended/Us"), "{}", alice.told());
        assert!(bob.told().contains("Referred/attended"), "{}", bob.told());
    });
}

/// The target is busy: the transferor hears it and keeps the call.
#[test]
fn the_target_is_busy() {
    play("ua_transfer/the_target_is_busy", |w| {
        let [alice, bob, _] = three(w);
        let dave = w.softphone("dave");
        dave.on(|event, desk| {
            if let Event::Incoming { call, .. } = event {
                let (status, headers) = (486, Vec::new());
                desk.after(ms(50), Command::Reject { call: *call, status, headers });
            }
        });
        let call = alice.call("bob");
        alice.after(secs(2), Command::Refer { call, to: "dave".into(), replaces: None });
        alice.hang_up_after(secs(5), call);
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Ringing/180 Answered ReferProgress/100 ReferProgress/486 ReferDone/486 \
             Ended/Us"
        );
        assert!(bob.told().contains("Failed(486 Busy Here)"), "{}", bob.told());
    });
}

/// RFC 3515 §2.4.2: the transferee declines.
#[test]
fn declined() {
    play("ua_transfer/declined", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        bob.answers(ms(50), ms(500)).on(|event, desk| {
            if let Event::Referred { call, .. } = event {
                desk.after(ms(50), Command::RefuseRefer { call: *call, status: 603 });
            }
        });
        let call = alice.call("bob");
        alice.after(secs(2), Command::Refer { call, to: "carol".into(), replaces: None });
        alice.hang_up_after(secs(3), call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered ReferDone(603 Decline) Ended/Us");
    });
}

/// The transferor hangs up without waiting: no report, and nothing left.
#[test]
fn the_transferor_leaves_at_once() {
    play("ua_transfer/the_transferor_leaves_at_once", |w| {
        let [alice, bob, carol] = three(w);
        hangs_up_own_calls(&bob);
        let call = alice.call("bob");
        alice.after(secs(2), Command::Refer { call, to: "carol".into(), replaces: None });
        alice.hang_up_after(ms(2_100), call);
        w.run();
        assert!(alice.told().contains("ReferDone(the call ended before the transfer)"));
        assert_eq!(carol.told(), "Incoming Established Ended/Peer");
    });
}

/// RFC 3891 §3: a Replaces that fits no call is 481.
#[test]
fn replaces_nothing() {
    play("ua_transfer/replaces_nothing", |w| {
        let [alice, _, carol] = three(w);
        let call = alice.new_call();
        let headers = vec!["Replaces: nothing;to-tag=a;from-tag=b".into()];
        let with = CallOptions { headers, ..CallOptions::default() };
        let body = Some(sim::sdp("offer"));
        alice.after(secs(0), Command::Call { call, to: "carol".into(), body, with });
        w.run();
        assert_eq!(alice.told(), "Trying Failed(481 Call/Transaction Does Not Exist)");
        assert_eq!(carol.told(), "");
    });
}

/// Nobody places the call that was asked for: the subscription ends by itself (RFC 3515 §2.4.7).
#[test]
fn the_transferee_does_nothing() {
    play("ua_transfer/the_transferee_does_nothing", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        bob.answers(ms(50), ms(500)).on(|event, desk| {
            if let Event::Referred { call, .. } = event {
                desk.after(ms(50), Command::AcceptRefer { call: *call });
            }
        });
        let call = alice.call("bob");
        alice.after(secs(2), Command::Refer { call, to: "carol".into(), replaces: None });
        alice.hang_up_after(secs(300), call);
        w.run();
        assert!(alice.told().contains("ReferProgress/100 ReferProgress/100 ReferDone/100"));
        assert!(w.last("NOTIFY").contains("terminated;reason=timeout"));
    });
}
