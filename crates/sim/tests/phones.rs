//! The phones themselves, without a server between them: what they are worth as a second opinion.

use sim::{ms, play, secs};

/// RFC 3665 §3.1: successful session establishment, phone to phone.
#[test]
fn straight_call() {
    play("phones/straight_call", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.outbound_proxy(bob.address()).invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(2)).hang_up_after(secs(3));
        w.run();
        assert_eq!(alice.heard(), "180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// Timers A and B: seven INVITEs in 32 seconds, then nobody is there.
#[test]
fn nobody_there() {
    play("phones/nobody_there", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.dies_after(ms(0));
        alice.outbound_proxy(bob.address()).invite("bob");
        w.run();
        assert_eq!(alice.heard(), "timeout");
    });
}

/// The 2xx repeats until its ACK arrives: RFC 3261 §13.3.1.4.
#[test]
fn answer_repeats_until_ack() {
    play("phones/answer_repeats_until_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("bob -> alice", "200 INVITE", &[1, 2]);
        w.lose("alice -> bob", "ACK", &[1]);
        alice.outbound_proxy(bob.address()).invite("bob").hang_up_after(secs(5));
        bob.ring_after(ms(50)).answer_after(ms(500));
        w.run();
        assert_eq!(alice.heard(), "180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// A refusal repeats by Timer G until the ACK.
#[test]
fn busy_repeats_until_ack() {
    play("phones/busy_repeats_until_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("alice -> bob", "ACK", &[1, 2]);
        alice.outbound_proxy(bob.address()).invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "486");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// CANCEL waits for a provisional response.
#[test]
fn cancel() {
    play("phones/cancel", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.outbound_proxy(bob.address()).invite("bob").cancel_after(ms(10));
        bob.ring_after(ms(300));
        w.run();
        assert_eq!(alice.heard(), "180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}
