//! RFC 3261 §16.8, §16.9 and Timer C: callees that ring for ever, are dead, or cannot be reached.

use sim::{ms, play, secs};

/// Timer C: rung for three minutes without a final response: CANCEL, and the caller is told (§16.8).
#[test]
fn rings_for_ever() {
    play("callee/rings_for_ever", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50));
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 180 408" | "100 180 487"),
            "{}",
            alice.heard()
        );
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert!(w.elapsed() > secs(180), "{:?}", w.elapsed());
    });
}

/// Each provisional but 100 starts Timer C again (§16.7 step 2): a queue that speaks every minute is not cut off.
#[test]
fn provisionals_restart_timer_c() {
    play("callee/provisionals_restart_timer_c", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(1));
        bob.ring_after(ms(50))
            .say_after(secs(120), 182)
            .say_after(secs(120), 182)
            .say_after(secs(120), 182)
            .answer_after(secs(120));
        w.run();
        assert_eq!(alice.heard_all(), "100 180 182 182 182 200 200");
        assert!(w.elapsed() > secs(480), "{:?}", w.elapsed());
    });
}

/// Timer C with a phone that rings and a phone that is dead.
#[test]
fn timer_c_with_a_dead_fork() {
    play("callee/timer_c_with_a_dead_fork", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let desk = w.device("bob", "desk");
        alice.invite("bob");
        bob.ring_after(ms(50));
        desk.silent();
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 180 408" | "100 180 487"),
            "{}",
            alice.heard()
        );
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert_eq!(desk.heard(), "INVITE");
    });
}

/// The callee dies while it rings: CANCEL at Timer C finds nobody, and still everything ends.
#[test]
fn dies_while_ringing() {
    play("callee/dies_while_ringing", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50));
        bob.dies_after(secs(2));
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 180 408" | "100 180 487"),
            "{}",
            alice.heard()
        );
        assert!(w.elapsed() < secs(181 + 33 + 33), "{:?}", w.elapsed());
    });
}

/// A dead callee: seven INVITEs, then 408 (§16.8, Timer B).
#[test]
fn is_dead() {
    play("callee/is_dead", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.dies_after(ms(0));
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "100 408");
        assert_eq!(w.sent("proxy", "INVITE"), 7);
    });
}

/// A stream that cannot be opened: the transport says so at once, the caller does not wait for Timer B (§16.9, §8.1.3.1).
#[test]
fn cannot_be_reached() {
    play("callee/cannot_be_reached", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        bob.dies_after(ms(0));
        alice.invite("bob").at(ms(10));
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 500" | "100 503" | "100 408" | "100 480"),
            "{}",
            alice.heard()
        );
        assert!(w.elapsed() < secs(40), "{:?}", w.elapsed());
    });
}

/// One of two devices cannot be reached: the other rings as if nothing were.
#[test]
fn one_of_two_cannot_be_reached() {
    play("callee/one_of_two_cannot_be_reached", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        let desk = w.device("bob", "desk");
        bob.dies_after(ms(0));
        alice.invite("bob").at(ms(10)).hang_up_after(secs(2));
        desk.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// A callee in a domain whose name nobody can resolve here: 478.
#[test]
fn cannot_be_resolved() {
    play("callee/cannot_be_resolved", |w| {
        let alice = w.phone("alice");
        alice.invite("sip:bob@somewhere.invalid");
        w.run();
        assert_eq!(alice.heard(), "100 478");
    });
}
