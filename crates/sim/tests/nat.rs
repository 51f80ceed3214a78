//! RFC 3581 and RFC 5626 §5: phones that do not know their own address.

use sim::{ms, play, secs};

/// The caller is behind a NAT: responses follow the packet, not the Via.
#[test]
fn caller() {
    play("nat/caller", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// The callee is behind a NAT: the call goes where its REGISTER came from, and so do ACK and BYE.
#[test]
fn callee() {
    play("nat/callee", |w| {
        let alice = w.phone("alice");
        let bob = w.natted_phone("bob");
        w.require_passwords();
        bob.register();
        alice.invite("bob").at(secs(1)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(bob.heard(), "401 200 INVITE ACK BYE");
        assert_eq!(alice.heard(), "407 100 180 200 200");
    });
}

/// Both are, and the callee hangs up: the caller is reached although its Contact leads nowhere.
#[test]
fn both() {
    play("nat/both", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.natted_phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// Cancelled and refused calls behind NATs.
#[test]
fn cancelled() {
    play("nat/cancelled", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.natted_phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}
