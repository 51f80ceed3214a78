//! RFC 3261 §9 and §16.10: CANCEL in every race.

use sim::{ms, play, secs};

/// The usual case: it rings, the caller gives up.
#[test]
fn while_ringing() {
    play("cancel/while_ringing", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(20));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// Between the proxy's 100 and the callee's first word: the proxy's CANCEL waits for a provisional (§9.1).
#[test]
fn before_the_callee_spoke() {
    play("cancel/before_the_callee_spoke", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(ms(30));
        bob.ring_after(ms(900));
        w.run();
        // The 180 that lets the CANCEL go is a 180 for the caller too.
        assert_eq!(alice.heard(), "100 200 180 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// The callee never says anything: the caller is not kept waiting for longer than 64*T1.
#[test]
fn of_a_silent_callee() {
    play("cancel/of_a_silent_callee", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(ms(100));
        bob.silent();
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 200 487" | "100 200 408"),
            "{}",
            alice.heard()
        );
        assert_eq!(bob.heard(), "INVITE");
    });
}

/// The final response comes first to the proxy, without any provisional: no CANCEL is sent at all.
#[test]
fn final_comes_instead_of_provisional() {
    play("cancel/final_comes_instead_of_provisional", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(ms(100));
        bob.reject_after(ms(700), 486);
        w.run();
        assert_eq!(alice.heard(), "100 200 486");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// An impatient phone sends CANCEL before any response, and its INVITE is delayed: nothing matches, 481.
#[test]
fn overtakes_the_invite() {
    play("cancel/overtakes_the_invite", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("alice -> proxy", "INVITE", &[1], ms(200));
        alice.invite("bob").cancel_blindly_after(ms(50));
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "481 100 486");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// 200 crosses CANCEL between proxy and callee: the call stands and the caller hangs it up.
#[test]
fn crosses_200_behind_the_proxy() {
    play("cancel/crosses_200_behind_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("proxy -> bob", "CANCEL", &[1], ms(100));
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50)).answer_after(ms(2000));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE CANCEL");
    });
}

/// 200 crosses CANCEL between caller and proxy: too late, but the CANCEL still has its 200 (§9.2).
#[test]
fn crosses_200_before_the_proxy() {
    play("cancel/crosses_200_before_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("alice -> proxy", "CANCEL", &[1], ms(100));
        alice.invite("bob").cancel_after(ms(2051));
        bob.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// 486 crosses CANCEL between proxy and callee.
#[test]
fn crosses_486_behind_the_proxy() {
    play("cancel/crosses_486_behind_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("proxy -> bob", "CANCEL", &[1], ms(100));
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50)).reject_after(secs(2), 486);
        w.run();
        assert_eq!(alice.heard(), "100 180 200 486");
        assert_eq!(bob.heard(), "INVITE ACK CANCEL");
    });
}

/// 486 crosses CANCEL between caller and proxy.
#[test]
fn crosses_486_before_the_proxy() {
    play("cancel/crosses_486_before_the_proxy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.delay("alice -> proxy", "CANCEL", &[1], ms(100));
        alice.invite("bob").cancel_after(ms(2051));
        bob.ring_after(ms(50)).reject_after(secs(2), 486);
        w.run();
        assert_eq!(alice.heard(), "100 180 486 200");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// The 487 is lost twice: Timer G of the callee brings it.
#[test]
fn lost_487() {
    play("cancel/lost_487", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("bob -> proxy", "487 INVITE", &[1, 2]);
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// The proxy's CANCEL is lost: Timer E sends it again.
#[test]
fn lost_cancel() {
    play("cancel/lost_cancel", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "CANCEL", &[1, 2]);
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// The 200 to the caller's CANCEL is lost: the repeated CANCEL is answered again and not passed on again.
#[test]
fn lost_200_to_cancel() {
    play("cancel/lost_200_to_cancel", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> alice", "200 CANCEL", &[1]);
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 487 200");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert_eq!(w.sent("proxy", "CANCEL"), 1);
    });
}

/// The callee answers CANCEL but never sends the 487: after 64*T1 the proxy ends the call itself (§9.1).
#[test]
fn no_487() {
    play("cancel/no_487", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50)).never_487();
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 180 200 487" | "100 180 200 408"),
            "{}",
            alice.heard()
        );
        assert_eq!(bob.heard(), "INVITE CANCEL");
        assert!(w.elapsed() < secs(67), "{:?}", w.elapsed());
    });
}

/// The callee does not answer CANCEL either: Timer F, then the same.
#[test]
fn deaf_callee() {
    play("cancel/deaf_callee", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50)).deaf_to_cancel();
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 180 200 487" | "100 180 200 408"),
            "{}",
            alice.heard()
        );
        assert_eq!(w.sent("proxy", "CANCEL"), 11);
    });
}

/// The caller cancels while three phones ring.
#[test]
fn three_forks() {
    play("cancel/three_forks", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let desk = w.device("bob", "desk");
        let soft = w.device("bob", "soft");
        alice.invite("bob").cancel_after(secs(2));
        for phone in [&bob, &desk, &soft] {
            phone.ring_after(ms(50));
        }
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 487");
        for phone in [&bob, &desk, &soft] {
            assert_eq!(phone.heard(), "INVITE CANCEL ACK");
        }
    });
}

/// A CANCEL of nothing: 481 (§9.2, §16.10: no response context).
#[test]
fn of_nothing() {
    play("cancel/of_nothing", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose_all("alice -> proxy", "INVITE");
        alice.invite("bob").cancel_blindly_after(ms(10));
        w.run();
        assert_eq!(alice.heard(), "481 timeout");
        assert_eq!(bob.heard(), "");
    });
}
