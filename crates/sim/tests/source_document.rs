//! The call flow of the source document: early media with repeated 183, an answer, both sides hanging up, and a BYE
//! repeated because its 200 was lost.

use sim::{ms, play, secs};

/// INVITE with SDP, 100, 183 with SDP (the second and third retransmitted), 200, ACK, BYE; then the other side's BYE,
/// repeated at +2 s, +4 s and +4 s because its 200 was lost. The proxy is stateful (RFC 3261 §17.2.2): it answers the
/// repetitions itself, and alice sees one BYE.
#[test]
fn the_flow() {
    play("source_document/the_flow", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "200 BYE", &[1, 2, 3]);
        alice.invite("bob").hang_up_after(ms(10_000));
        bob.progress_after(ms(200))
            .repeat_after(secs(1))
            .repeat_after(secs(1))
            .answer_after(secs(2))
            .hang_up_after(ms(9_997))
            .bye_again_after(&[secs(2), secs(6), secs(10)]);
        w.run();
        assert_eq!(alice.heard(), "100 183 200 BYE 200");
        assert_eq!(alice.heard_all(), "100 183 183 183 200 BYE 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE 200");
        assert_eq!(w.sent("bob", "BYE"), 4);
        // One BYE and its 200 towards alice; four times the 200 towards bob.
        assert_eq!(w.sent("alice", "200 BYE"), 1);
        assert_eq!(w.sent("proxy", "BYE"), 2);
    });
}

/// The same with a phone that keeps to Timer E: +0.5, +1, +2, +4, +4 seconds.
#[test]
fn the_flow_with_timer_e() {
    play("source_document/the_flow_with_timer_e", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> bob", "200 BYE", &[1, 2, 3, 4, 5]);
        alice.invite("bob").hang_up_after(ms(10_000));
        bob.progress_after(ms(200)).answer_after(secs(2)).hang_up_after(ms(9_997));
        w.run();
        assert_eq!(alice.heard(), "100 183 200 BYE 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE 200");
        assert_eq!(w.sent("bob", "BYE"), 6);
        assert_eq!(w.sent("alice", "200 BYE"), 1);
    });
}
