//! RFC 3261 §17.2.3, second half: phones of RFC 2543, whose branches identify nothing.

use sim::{ms, play, secs};

#[test]
fn call() {
    play("old_peer/call", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.speaks_rfc2543();
        bob.speaks_rfc2543();
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

#[test]
fn repeated_invite() {
    play("old_peer/repeated_invite", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.speaks_rfc2543();
        alice.invite("bob").repeat_invite(&[ms(10), ms(20), secs(1)]).hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(w.sent("proxy", "INVITE"), 1);
    });
}

#[test]
fn busy_with_lost_ack() {
    play("old_peer/busy_with_lost_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.speaks_rfc2543();
        w.lose("alice -> proxy", "ACK", &[1]);
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(w.sent("proxy", "486 INVITE"), 2);
    });
}

#[test]
fn cancel() {
    play("old_peer/cancel", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.speaks_rfc2543();
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

#[test]
fn message_with_lost_200() {
    play("old_peer/message_with_lost_200", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.speaks_rfc2543();
        w.lose("proxy -> alice", "200 MESSAGE", &[1]);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(bob.heard_all(), "MESSAGE");
    });
}
