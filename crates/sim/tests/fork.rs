//! RFC 3261 §16.6 and §16.7: one call, several phones of the callee at once, one best response.

use sim::{Phone, World, ms, play, secs};

/// alice, and bob with three phones.
fn family(w: &mut World) -> (Phone, [Phone; 3]) {
    let alice = w.phone("alice");
    let phones = [w.phone("bob"), w.device("bob", "desk"), w.device("bob", "soft")];
    (alice, phones)
}

/// All ring, one answers, the others are cancelled.
#[test]
fn one_answers() {
    play("fork/one_answers", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50));
        desk.ring_after(ms(60)).answer_after(secs(2));
        soft.ring_after(ms(70));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 200");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert_eq!(desk.heard(), "INVITE ACK BYE");
        assert_eq!(soft.heard(), "INVITE CANCEL ACK");
    });
}

/// One answers without ringing, before another said anything: that one's CANCEL waits for its 180.
#[test]
fn one_answers_before_another_spoke() {
    play("fork/one_answers_before_another_spoke", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob").hang_up_after(secs(3));
        bob.answer_after(ms(20));
        desk.ring_after(ms(400));
        soft.busy();
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK");
    });
}

/// Both answer at once: both 200s go upstream, the caller ends one.
#[test]
fn both_answer() {
    play("fork/both_answer", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1));
        desk.ring_after(ms(50)).answer_after(secs(1));
        soft.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 200 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        // The two 200s come in the same instant; the CANCEL left between them.
        assert_eq!(desk.heard(), "INVITE CANCEL ACK BYE");
        assert_eq!(soft.heard(), "INVITE CANCEL ACK");
    });
}

/// One is busy, the other answers: the 486 is kept back.
#[test]
fn one_busy() {
    play("fork/one_busy", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob").hang_up_after(secs(3));
        bob.busy();
        desk.ring_after(ms(50)).answer_after(secs(1));
        soft.reject_after(ms(80), 404);
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// All are busy: one 486.
#[test]
fn all_busy() {
    play("fork/all_busy", |w| {
        let (alice, phones) = family(w);
        alice.invite("bob");
        for phone in &phones {
            phone.busy();
        }
        w.run();
        assert_eq!(alice.heard(), "100 486");
        for phone in &phones {
            assert_eq!(phone.heard(), "INVITE ACK");
        }
    });
}

/// 6xx ends the search: the others are cancelled at once, and the 603 goes upstream when they are done (§16.7 step 5).
#[test]
fn decline_everywhere() {
    play("fork/decline_everywhere", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob");
        bob.ring_after(ms(50)).reject_after(secs(1), 603);
        desk.ring_after(ms(50));
        soft.ring_after(ms(50)).answer_after(secs(20));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 603");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK");
        assert_eq!(soft.heard(), "INVITE CANCEL ACK");
    });
}

/// A 200 arrives between the 6xx and the end of the search: the call stands (§16.7 step 5).
#[test]
fn answer_beats_decline() {
    play("fork/answer_beats_decline", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        w.delay("proxy -> desk", "CANCEL", &[1], ms(200));
        w.delay("proxy -> soft", "CANCEL", &[1], ms(400));
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).reject_after(secs(1), 603);
        desk.ring_after(ms(50)).answer_after(ms(1_100));
        soft.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 200");
    });
}

/// 4xx against 5xx: the lower class wins (§16.7 step 6).
#[test]
fn lowest_class_wins() {
    play("fork/lowest_class_wins", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob");
        bob.reject_after(ms(100), 500);
        desk.reject_after(ms(200), 480);
        soft.reject_after(ms(300), 503);
        w.run();
        assert_eq!(alice.heard(), "100 480");
    });
}

/// Among 4xx those that tell the caller how to try again are preferred (§16.7 step 6).
#[test]
fn helpful_4xx_wins() {
    play("fork/helpful_4xx_wins", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob");
        bob.reject_after(ms(100), 404);
        desk.reject_after(ms(200), 415);
        soft.reject_after(ms(300), 486);
        w.run();
        assert_eq!(alice.heard(), "100 415");
    });
}

/// 401 of one and 407 of another: one response with both challenges (§16.7 step 7).
#[test]
fn challenges_are_collected() {
    play("fork/challenges_are_collected", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.password("no use");
        alice.invite("bob");
        bob.reject_after(ms(100), 401)
            .header("WWW-Authenticate: Digest realm=\"bob\", nonce=\"n1\", qop=\"auth\"");
        desk.reject_after(ms(200), 407)
            .header("Proxy-Authenticate: Digest realm=\"desk\", nonce=\"n2\", qop=\"auth\"");
        soft.reject_after(ms(300), 401)
            .header("WWW-Authenticate: Digest realm=\"soft\", nonce=\"n3\", qop=\"auth\"");
        w.run_for(ms(400));
        let finals: Vec<_> = ["401 INVITE", "407 INVITE"]
            .into_iter()
            .filter(|label| w.sent("proxy", label) > 0)
            .collect();
        assert_eq!(finals.len(), 1, "{finals:?}");
        let answer = finals.first().map(|label| {
            let wires = w.trace.wires.iter().rev();
            let found =
                wires.filter(|x| w.name(x.from) == "proxy").find(|x| x.message.label() == *label);
            found.map_or(String::new(), |x| String::from_utf8_lossy(&x.bytes).into_owned())
        });
        let answer = answer.unwrap_or_default();
        for realm in ["realm=\"bob\"", "realm=\"desk\"", "realm=\"soft\""] {
            assert!(answer.contains(realm), "{realm} is missing in\n{answer}");
        }
    });
}

/// 503 means "I, this host, cannot": upstream it is 500 (§16.7 step 6).
#[test]
fn no_503_upstream() {
    play("fork/no_503_upstream", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob");
        for phone in [&bob, &desk, &soft] {
            phone.reject_after(ms(100), 503).header("Retry-After: 60");
        }
        w.run();
        assert_eq!(alice.heard(), "100 500");
    });
}

/// One never says anything, the others refuse: after Timer B there is a best response, the refusal.
#[test]
fn one_is_dead() {
    play("fork/one_is_dead", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob");
        bob.busy();
        desk.silent();
        soft.reject_after(ms(100), 480);
        w.run();
        assert!(
            matches!(alice.heard().as_str(), "100 486" | "100 480" | "100 408"),
            "{}",
            alice.heard()
        );
        assert_eq!(w.sent("proxy", "INVITE"), 9);
    });
}

/// One is dead, another answers: nobody waits, and no CANCEL goes to the dead one, who never spoke.
#[test]
fn dead_phone_does_not_delay() {
    play("fork/dead_phone_does_not_delay", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        alice.invite("bob").hang_up_after(secs(3));
        bob.dies_after(ms(0));
        desk.ring_after(ms(50)).answer_after(secs(1));
        soft.busy();
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// A cancelled phone answers just then: its 200 goes upstream too (RFC 6026 §8.4), and the caller ends it.
#[test]
fn loser_answers_too_late() {
    play("fork/loser_answers_too_late", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        w.delay("proxy -> desk", "CANCEL", &[1], ms(300));
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1));
        desk.ring_after(ms(50)).answer_after(ms(1_100));
        soft.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 200 200 200");
        assert_eq!(desk.heard(), "INVITE ACK BYE CANCEL");
    });
}

/// The second binding leads to the same phone: it sees the same call twice and refuses one as merged (§8.2.2.2).
#[test]
fn merged() {
    play("fork/merged", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.also_listens_on(5070);
        w.bind("bob", "sip:bob@10.0.1.2:5070");
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.sent("bob", "482 INVITE"), 1);
    });
}

/// MESSAGE to three phones: the first 2xx wins, and the others are not cancelled: only INVITE can be (§9.1).
#[test]
fn message_to_three() {
    play("fork/message_to_three", |w| {
        let (alice, [bob, desk, soft]) = family(w);
        bob.answers_requests_with(200);
        desk.answers_requests_with(480);
        soft.answers_requests_with(200);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
        assert_eq!(w.sent("proxy", "CANCEL"), 0);
    });
}
