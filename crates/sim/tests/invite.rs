//! RFC 3261 §13 and §17 through a stateful proxy: calls whose messages are lost, late, doubled or too many.

use sim::{ms, play, secs};

/// One 200 is lost between proxy and caller: the callee's repetition comes through (§13.3.1.4, §16.7 step 5).
#[test]
fn drop_one_200() {
    play("invite/drop_one_200", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> alice", "200 INVITE", &[1]);
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// One 200 is lost between callee and proxy.
#[test]
fn drop_one_200_behind_the_proxy() {
    play("invite/drop_one_200_behind_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("bob -> proxy", "200 INVITE", &[1]);
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// The ACK is lost twice, on either side of the proxy: each repeated 200 is ACKed again, end to end.
#[test]
fn lost_ack() {
    play("invite/lost_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("alice -> proxy", "ACK", &[1]);
        w.lose("proxy -> bob", "ACK", &[1]);
        alice.invite("bob").hang_up_after(secs(6));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(w.sent("bob", "200 INVITE"), 3);
    });
}

/// No ACK ever: the callee repeats its 200 eleven times, then hangs up (§13.3.1.4).
#[test]
fn no_ack() {
    play("invite/no_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").never_ack();
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE 200");
        assert_eq!(w.sent("proxy", "200 INVITE"), 11);
    });
}

/// The ACK comes five seconds late: until then the 200 repeats.
#[test]
fn late_ack() {
    play("invite/late_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").ack_after(secs(5)).hang_up_after(secs(8));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// A refusal whose ACK is lost on both sides: each hop repeats and ACKs for itself (§17.1.1.3, §17.2.1).
#[test]
fn lost_ack_of_a_refusal() {
    play("invite/lost_ack_of_a_refusal", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "ACK", &[1, 2]);
        w.lose("alice -> proxy", "ACK", &[1, 2, 3]);
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(w.sent("bob", "486 INVITE"), 3);
        assert_eq!(w.sent("proxy", "486 INVITE"), 4);
    });
}

/// The caller never ACKs a refusal: Timer G eleven times, Timer H ends it.
#[test]
fn refusal_never_acked() {
    play("invite/refusal_never_acked", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose_all("alice -> proxy", "ACK");
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(w.sent("proxy", "486 INVITE"), 11);
        assert_eq!(w.sent("bob", "486 INVITE"), 1);
    });
}

/// The INVITE is lost before the proxy: Timer A of the phone.
#[test]
fn lost_invite() {
    play("invite/lost_invite", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("alice -> proxy", "INVITE", &[1, 2]);
        alice.invite("bob").hang_up_after(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// The INVITE is lost behind the proxy: Timer A of the proxy; the caller, who has its 100, repeats nothing.
#[test]
fn lost_invite_behind_the_proxy() {
    play("invite/lost_invite_behind_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "INVITE", &[1, 2, 3]);
        alice.invite("bob").hang_up_after(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.sent("alice", "INVITE"), 1);
        assert_eq!(w.sent("proxy", "INVITE"), 4);
    });
}

/// The proxy's 100 is lost: the repeated INVITE gets the latest response again and is not forwarded twice (§17.2.1).
#[test]
fn lost_100() {
    play("invite/lost_100", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> alice", "100 INVITE", &[1]);
        w.lose("proxy -> alice", "180 INVITE", &[1]);
        alice.invite("bob").hang_up_after(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "180 200 200");
        assert_eq!(w.sent("proxy", "INVITE"), 1);
    });
}

/// The 180 comes after the 200, overtaken on its way: no 1xx goes upstream after the final response.
#[test]
fn ringing_after_answer() {
    play("invite/ringing_after_answer", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("bob -> proxy", "180 INVITE", &[1], ms(500));
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(ms(100));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
    });
}

/// The network delivers everything twice: nobody notices.
#[test]
fn everything_twice() {
    play("invite/everything_twice", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        for way in ["alice -> proxy", "proxy -> bob", "bob -> proxy", "proxy -> alice"] {
            w.repeat(way, "*", &(1..40).collect::<Vec<_>>(), ms(3));
        }
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(w.sent("proxy", "INVITE"), 1);
        assert_eq!(w.sent("proxy", "BYE"), 1);
    });
}

/// A phone gone mad repeats its INVITE thirty times in three seconds: one call.
#[test]
fn retransmission_storm() {
    play("invite/retransmission_storm", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let storm: Vec<_> = (1..30).map(|n| ms(n * 100 + 7)).collect();
        alice.invite("bob").repeat_invite(&storm).hang_up_after(secs(4));
        bob.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(w.sent("proxy", "INVITE"), 1);
    });
}

/// A storm of INVITEs into a call that was refused: each gets the 486 again until the ACK, none after it.
#[test]
fn storm_after_refusal() {
    play("invite/storm_after_refusal", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").repeat_invite(&[ms(10), ms(20), ms(30), secs(3)]);
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(bob.heard_all(), "INVITE ACK");
    });
}

/// The INVITE is repeated after the 486 left and before its ACK came: it gets the 486 again (§17.2.1).
#[test]
fn repetition_between_refusal_and_ack() {
    play("invite/repetition_between_refusal_and_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").repeat_invite(&[ms(3)]);
        bob.busy();
        w.run();
        assert_eq!(alice.heard_all(), "100 486 486");
        assert_eq!(w.sent("proxy", "INVITE"), 1);
    });
}

/// A late INVITE repetition after the answer is absorbed (RFC 6026 §7.1).
#[test]
fn repetition_after_answer() {
    play("invite/repetition_after_answer", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").repeat_invite(&[secs(5), secs(20)]).hang_up_after(secs(30));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(bob.heard_all(), "INVITE ACK BYE");
        assert_eq!(alice.heard_all(), "100 180 200 200");
    });
}

/// A 200 that crosses Timer B: the callee spoke for the first time 32.5 s after the INVITE.
#[test]
fn late_200() {
    play("invite/late_200", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.answer_after(ms(32_500));
        w.run();
        // Nobody ACKs it: bob ends its side with a BYE, which reaches a phone that knows no such call.
        assert_eq!(alice.heard(), "100 408 BYE");
        assert_eq!(w.sent("proxy", "200 INVITE"), 0);
    });
}

/// Two phones behind a forking proxy downstream both answer: both 200s go upstream (§16.7 step 5); the caller keeps
/// the first and ends the second.
#[test]
fn several_2xx_on_one_branch() {
    play("invite/several_2xx_on_one_branch", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1)).other_says_after(ms(5), 200);
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200 200 200");
        assert_eq!(w.sent("alice", "ACK"), 2);
        assert_eq!(w.sent("alice", "BYE"), 2);
    });
}

/// Early media: several provisionals of two early dialogs, then one answers.
#[test]
fn several_early_dialogs() {
    play("invite/several_early_dialogs", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50))
            .other_says_after(ms(50), 183)
            .progress_after(ms(100))
            .answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 183 183 200 200");
    });
}

/// The callee's own 100 stays where it is (§16.7 step 5).
#[test]
fn trying_of_the_callee() {
    play("invite/trying_of_the_callee", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(1));
        bob.incoming().say_after(ms(5), 100).ring_after(ms(900)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.sent("proxy", "100 INVITE"), 1);
        assert_eq!(w.sent("proxy", "INVITE"), 1);
    });
}

/// The offer comes in the 200 and the answer in the ACK: the ACK's body goes through (RFC 3665 §3.6's second half).
#[test]
fn sdp_in_ack() {
    play("invite/sdp_in_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").sdp_in_ack();
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
    });
}

/// Both hang up at the same moment: two BYEs cross, both are answered.
#[test]
fn byes_cross() {
    play("invite/byes_cross", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(ms(3_002));
        bob.answer_after(ms(50)).hang_up_after(ms(3_000));
        w.run();
        assert_eq!(alice.heard(), "100 200 BYE 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE 200");
    });
}

/// A phone calls itself a user that does not exist, and one that has no device now.
#[test]
fn nobody_home() {
    play("invite/nobody_home", |w| {
        let alice = w.phone("alice");
        w.unregistered("carol");
        alice.invite("nobody");
        w.run();
        assert_eq!(alice.heard(), "404");
        alice.invite("carol").at(secs(1));
        w.run();
        assert_eq!(alice.heard(), "404 480");
    });
}
