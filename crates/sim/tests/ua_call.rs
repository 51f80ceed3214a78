//! RFC 3261 §13 to §15 with real user agents: calls placed, answered, refused, cancelled, ended, through the server with
//! Record-Route and directly.

use sim::{Softphone, World, ms, play, play_unseen, sdp, secs};
use sip_core::flow::Transport;
use sip_core::ua::{CallOptions, Command, Event};

fn pair(w: &mut World) -> (Softphone, Softphone) {
    let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
    alice.agrees();
    (alice, bob)
}

/// The same two without a server between them.
fn direct(w: &mut World) -> (Softphone, Softphone) {
    let (alice, bob) = pair(w);
    alice.without_proxy();
    bob.without_proxy();
    (alice, bob)
}

const BOB: &str = "sip:bob@10.0.1.2:5060";

#[test]
fn the_caller_hangs_up() {
    play("ua_call/the_caller_hangs_up", |w| {
        let (alice, bob) = pair(w);
        bob.answers(ms(50), secs(2));
        let call = alice.call("bob");
        alice.hang_up_after(secs(5), call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Ended/Us");
        assert_eq!(bob.told(), "Incoming Established Ended/Peer");
    });
}

#[test]
fn the_callee_hangs_up() {
    play("ua_call/the_callee_hangs_up", |w| {
        let (alice, bob) = pair(w);
        w.require_passwords();
        bob.answers(ms(50), secs(2)).hangs_up(secs(3));
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Challenged/407/SHA-256 Trying Ringing/180 Answered Ended/Peer");
        assert_eq!(bob.told(), "Incoming Established Ended/Us");
    });
}

/// Nobody between them: 100 is the callee's own, after 200 ms (RFC 3261 §17.2.1).
#[test]
fn a_direct_call() {
    play("ua_call/a_direct_call", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(300), secs(2)).hangs_up(secs(3));
        alice.call(BOB);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Ended/Peer");
    });
}

/// The offer comes in the 200, the answer in the ACK (RFC 3264 §4, RFC 3261 §13.2.1).
#[test]
fn without_an_offer() {
    play("ua_call/without_an_offer", |w| {
        let (alice, bob) = pair(w);
        bob.answers(ms(50), secs(1)).hangs_up(secs(3));
        let (call, with) = (alice.new_call(), CallOptions::default());
        alice.after(secs(0), Command::Call { call, to: "bob".into(), body: None, with });
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered/offer Ended/Peer");
        assert_eq!(bob.told(), "Incoming OfferAnswered Established Ended/Us");
        assert!(w.last("ACK").ends_with("s=answer\r\n"), "{}", w.last("ACK"));
    });
}

/// What a callee says, the caller hears with its reason; a refusal of a person is 603.
#[test]
fn refusals() {
    play("ua_call/refusals", |w| {
        let (alice, bob) = pair(w);
        let mut status = 486;
        bob.on(move |event, desk| {
            if let Event::Incoming { call, .. } = event {
                let call = *call;
                let warning = "Warning: 399 bob \"at lunch\"".into();
                desk.after(
                    ms(100),
                    match status {
                        486 => Command::Reject { call, status, headers: vec![warning] },
                        _ => Command::HangUp { call },
                    },
                );
                status += 1;
            }
        });
        alice.call("bob");
        alice.call_after(secs(1), "bob");
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Failed(486 Busy Here (399 bob \"at lunch\")) Trying Failed(603 Decline)"
        );
        assert_eq!(bob.told(), "Incoming Ended/Us Incoming Ended/Us");
    });
}

/// RFC 3261 §9.1, §9.2: CANCEL after ringing.
#[test]
fn cancelled_while_ringing() {
    play("ua_call/cancelled_while_ringing", |w| {
        let (alice, bob) = pair(w);
        bob.answers(ms(50), secs(20));
        let call = alice.call("bob");
        alice.hang_up_after(secs(2), call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Ended/Us");
        assert_eq!(bob.told(), "Incoming Ended/Peer");
    });
}

/// RFC 3261 §9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent": it waits for one.
#[test]
fn cancelled_before_anything_was_heard() {
    play("ua_call/cancelled_before_anything_was_heard", |w| {
        let (alice, bob) = direct(w);
        bob.answers(secs(2), secs(20));
        w.lose("alice -> bob", "INVITE", &[1]);
        let call = alice.call(BOB);
        alice.hang_up_after(ms(100), call);
        w.run();
        // The 100 comes 200 ms after the repeated INVITE, and the CANCEL at once after it.
        assert_eq!(alice.told(), "Trying Ended/Us");
        assert_eq!(bob.told(), "Incoming Ended/Peer");
    });
}

/// The 200 and the CANCEL cross: the call stands, and is ended with BYE (RFC 3261 §9.1, §15).
#[test]
fn the_200_crosses_the_cancel() {
    play("ua_call/the_200_crosses_the_cancel", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1));
        w.delay("alice -> bob", "CANCEL", &[1], ms(300));
        let call = alice.call(BOB);
        alice.hang_up_after(ms(900), call);
        w.run();
        assert_eq!(alice.told(), "Ringing/180 Ended/Us");
        assert_eq!(bob.told(), "Incoming Established Ended/Peer");
        assert_eq!(bob.heard(), "INVITE ACK BYE CANCEL");
    });
}

/// Two phones ring: two early dialogs; the one that answers makes the call (RFC 3261 §12.1, §13.2.2.1).
#[test]
fn two_early_dialogs() {
    play("ua_call/two_early_dialogs", |w| {
        let (alice, bob) = pair(w);
        let desk = w.softphone_of("desk", "bob", Transport::Udp, true);
        bob.answers(ms(50), secs(30));
        desk.answers(ms(80), secs(2)).hangs_up(secs(1));
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Ringing/180#1 Answered#1 Ended/Peer");
        assert_eq!(bob.told(), "Incoming Ended/Peer");
        assert_eq!(desk.told(), "Incoming Established Ended/Us");
    });
}

/// Both answer at once: each 200 is acknowledged, the second call ended (RFC 3261 §13.2.2.4).
#[test]
fn two_200s() {
    play("ua_call/two_200s", |w| {
        let (alice, bob) = pair(w);
        let desk = w.softphone_of("desk", "bob", Transport::Udp, true);
        bob.answers(ms(50), secs(1));
        desk.answers(ms(50), secs(1));
        let call = alice.call("bob");
        alice.hang_up_after(secs(4), call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Ringing/180#1 Answered Ended/Us");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK BYE");
    });
}

/// The second 200 is repeated because its ACK was lost; it comes when the call has long ended.
#[test]
fn a_second_200_after_the_end() {
    play("ua_call/a_second_200_after_the_end", |w| {
        let (alice, bob) = pair(w);
        let desk = w.softphone_of("desk", "bob", Transport::Udp, true);
        bob.answers(ms(50), secs(1));
        desk.answers(ms(50), secs(1));
        w.lose("desk -> proxy", "200 INVITE", &[1, 2]);
        let call = alice.call("bob");
        alice.hang_up_after(ms(1_500), call);
        w.run();
        assert_eq!(desk.heard(), "INVITE CANCEL ACK BYE");
        assert_eq!(desk.told(), "Incoming Established Ended/Peer");
    });
}

/// RFC 3261 §13.3.1.4: the 200 is repeated until its ACK comes; each is acknowledged again.
#[test]
fn the_ack_is_lost() {
    play("ua_call/the_ack_is_lost", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1));
        w.lose("alice -> bob", "ACK", &[1, 2]);
        let call = alice.call(BOB);
        alice.hang_up_after(secs(8), call);
        w.run();
        assert_eq!(w.sent("bob", "200 INVITE"), 3);
        assert_eq!(w.sent("alice", "ACK"), 3);
        assert_eq!(bob.told(), "Incoming Established Ended/Peer");
    });
}

/// RFC 3261 §13.3.1.4: 64*T1 without ACK, then BYE.
#[test]
fn never_acknowledged() {
    play("ua_call/never_acknowledged", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1));
        w.lose_all("alice -> bob", "ACK");
        alice.call(BOB);
        w.run();
        assert_eq!(bob.told(), "Incoming Ended/NoAck");
        assert_eq!(alice.told(), "Ringing/180 Answered Ended/Peer");
        assert!(w.last("BYE").contains("Reason: SIP;cause=408"), "{}", w.last("BYE"));
    });
}

/// RFC 3261 §15: the callee hangs up at once; its BYE waits for the ACK.
#[test]
fn hung_up_before_the_ack() {
    play("ua_call/hung_up_before_the_ack", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1)).on(|event, desk| {
            if let Event::Incoming { call, .. } = event {
                desk.after(ms(1_100), Command::HangUp { call: *call });
            }
        });
        w.delay("alice -> bob", "ACK", &[1], ms(400));
        alice.call(BOB);
        w.run();
        assert_eq!(bob.told(), "Incoming Ended/Us");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// Both hang up in the same moment: each BYE is answered 200.
#[test]
fn byes_cross() {
    play("ua_call/byes_cross", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1)).hangs_up(secs(2));
        let call = alice.call(BOB);
        // The ACK arrives at 1.003.
        alice.hang_up_after(ms(3_003), call);
        w.run();
        assert_eq!(alice.told(), "Ringing/180 Answered Ended/Us");
        assert_eq!(bob.told(), "Incoming Established Ended/Us");
        assert_eq!((w.sent("alice", "200 BYE"), w.sent("bob", "200 BYE")), (1, 1));
    });
}

/// RFC 3261 §12.2.1.2: a BYE that nobody answers ends the call all the same.
#[test]
fn the_peer_is_gone() {
    play("ua_call/the_peer_is_gone", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1));
        let call = alice.call(BOB);
        alice.hang_up_after(secs(8), call);
        bob.phone.dies_after(secs(5));
        w.allowed.push("bob".to_owned());
        w.run();
        assert_eq!(alice.told(), "Ringing/180 Answered Ended/Us");
    });
}

/// RFC 3261 §8.1.3.1: silence is a 408 and a broken way a 503, and each is told for what it was.
#[test]
fn nobody_answers() {
    play("ua_call/nobody_answers", |w| {
        let alice = w.softphone_of("alice", "alice", Transport::Udp, true);
        alice.without_proxy();
        alice.call("sip:bob@10.0.1.99:5060");
        alice.call_after(secs(33), "sip:bob@10.0.1.99:5060;transport=tcp");
        alice.call_after(secs(34), "sip:bob@nowhere.invalid");
        alice.call_after(secs(34), "sips:bob@example.com");
        alice.call_after(secs(34), "sip:bob@[2001:db8::9]");
        w.run();
        assert_eq!(
            alice.told(),
            "Failed(no answer to INVITE from udp:10.0.1.99:5060) \
             Failed(INVITE could not be sent to tcp:10.0.1.99:5060) \
             Failed(nowhere.invalid leads nowhere: no such name) \
             Failed(sips:bob@example.com needs a transport or an address family that we have not) \
             Failed(sip:bob@[2001:db8::9] needs a transport or an address family that we have not)"
        );
    });
}

/// RFC 3263 §4.3: the first address of a name does not answer, the second does.
#[test]
fn the_second_address_of_a_name() {
    play("ua_call/the_second_address_of_a_name", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(1)).hangs_up(secs(1));
        let addresses = ["10.0.1.99:5060".parse().unwrap(), bob.phone.address()];
        alice.knows("bobs.example.org", &addresses);
        alice.call("sip:bob@bobs.example.org");
        w.run();
        assert_eq!(alice.told(), "Ringing/180 Answered Ended/Peer");
    });
}

/// One call fits, the second is busy (§8.2, 486); ours beyond the bound is not placed.
#[test]
fn one_call_too_many() {
    play("ua_call/one_call_too_many", |w| {
        let (alice, bob) = pair(w);
        bob.configure(|settings| settings.calls_max = 1).answers(ms(50), secs(30));
        let first = alice.call("bob");
        alice.call_after(secs(1), "bob");
        bob.call_after(secs(2), "alice");
        alice.hang_up_after(secs(3), first);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Trying Failed(486 Busy Here) Ended/Us");
        assert!(bob.told().contains("Failed(the limit calls_max is reached)"), "{}", bob.told());
    });
}

/// Registered and called over streams, both ways.
#[test]
fn over_tcp() {
    play("ua_call/over_tcp", |w| {
        let alice = w.softphone_of("alice", "alice", Transport::Tcp, false);
        let bob = w.softphone_of("bob", "bob", Transport::Tcp, false);
        alice.register(600).agrees();
        bob.register(600).answers(ms(50), secs(1)).hangs_up(secs(2));
        alice.call_after(secs(1), "bob");
        w.run_for(secs(10));
        assert!(alice.told().ends_with("Trying Ringing/180 Answered Ended/Peer"));
        for phone in [&alice, &bob] {
            phone.after(secs(0), Command::Unregister { all: false });
        }
        w.run();
    });
}

/// RFC 3261 §13.3.1: an INVITE that says how long it is good for.
#[test]
fn the_invite_expires() {
    play("ua_call/the_invite_expires", |w| {
        let (alice, bob) = direct(w);
        bob.answers(ms(50), secs(60));
        let call = alice.new_call();
        let with = CallOptions { headers: vec!["Expires: 5".into()], ..CallOptions::default() };
        let body = Some(sdp("offer"));
        alice.after(secs(0), Command::Call { call, to: BOB.into(), body, with });
        w.run();
        assert_eq!(alice.told(), "Ringing/180 Failed(487 Request Terminated)");
        assert_eq!(bob.told(), "Incoming Ended/Peer");
    });
}

/// A fifth of everything is lost, with passwords, through the server: calls come up and end, nothing is left over.
#[test]
fn twenty_percent_loss() {
    for seed in 1..40 {
        play_unseen("ua_call/twenty_percent_loss", seed, |w| {
            let (alice, bob) = pair(w);
            w.network.usual.loss = 200;
            w.require_passwords();
            bob.answers(ms(100), secs(3));
            for at in 0..3 {
                let call = alice.call_after(secs(at * 40), "bob");
                alice.hang_up_after(secs(at * 40 + 20), call);
            }
            w.run();
            let (told, ended) = (alice.told(), bob.told());
            let over = told.matches("Ended").count() + told.matches("Failed").count();
            assert_eq!(over, 3, "seed {seed}: {told}");
            assert_eq!(ended.matches("Incoming").count(), ended.matches("Ended").count());
        });
    }
}
