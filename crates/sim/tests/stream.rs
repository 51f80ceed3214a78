//! RFC 3261 §18: streams between phones and the proxy.

use sim::{ms, play, secs};

/// A TCP caller and a UDP callee: no repetition on the one side, Timer A on the other.
#[test]
fn tcp_to_udp() {
    play("stream/tcp_to_udp", |w| {
        let alice = w.tcp_phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "INVITE", &[1]);
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// A UDP caller and a TCP callee, who hangs up.
#[test]
fn udp_to_tcp() {
    play("stream/udp_to_tcp", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// TCP on both sides, in pieces of seven bytes.
#[test]
fn tcp_in_pieces() {
    play("stream/tcp_in_pieces", |w| {
        let alice = w.tcp_phone("alice");
        let bob = w.tcp_phone("bob");
        w.segment = 7;
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// Refused over a stream: one ACK, no repetition anywhere.
#[test]
fn tcp_busy() {
    play("stream/tcp_busy", |w| {
        let alice = w.tcp_phone("alice");
        let bob = w.tcp_phone("bob");
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard_all(), "100 486");
        assert_eq!(bob.heard_all(), "INVITE ACK");
    });
}

/// CANCEL over streams.
#[test]
fn tcp_cancel() {
    play("stream/tcp_cancel", |w| {
        let alice = w.tcp_phone("alice");
        let bob = w.tcp_phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// A phone registers over its stream and is called on it.
#[test]
fn called_on_its_own_stream() {
    play("stream/called_on_its_own_stream", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        w.require_passwords();
        bob.register();
        alice.invite("bob").at(secs(1)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(bob.heard(), "401 200 INVITE ACK BYE");
        let used: Vec<_> =
            w.trace.wires.iter().filter(|x| x.reliable).map(|x| x.connection).collect();
        assert!(used.iter().all(|c| Some(c) == used.first()), "more than one stream: {used:?}");
    });
}

/// The caller's stream breaks while it rings. The response opens another one to where the caller's Via says that it listens
/// (RFC 3261 §18.2.2).
#[test]
fn breaks_while_ringing() {
    play("stream/breaks_while_ringing", |w| {
        let alice = w.tcp_phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).reject_after(secs(2), 486);
        w.run_for(secs(1));
        w.cut(&alice);
        w.run();
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// The callee's stream breaks while it rings (§16.9: like a 503, without waiting for Timer C).
#[test]
fn callee_breaks_while_ringing() {
    play("stream/callee_breaks_while_ringing", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50));
        w.run_for(secs(1));
        bob.dies_after(ms(0));
        w.run_for(ms(1));
        w.cut(&bob);
        w.run();
        assert!(alice.heard().starts_with("100 180 "), "{}", alice.heard());
    });
}

/// bob registered over a stream that is gone. He listens at his Contact: the call opens a new stream to it.
#[test]
fn called_after_its_stream_broke() {
    play("stream/called_after_its_stream_broke", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        bob.register();
        w.run_for(secs(1));
        w.cut(&bob);
        w.run_for(secs(1));
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "200 INVITE ACK BYE");
    });
}
