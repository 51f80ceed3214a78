//! Peers that do what RFC 3261 forbids: nobody else's call may suffer, and nothing may be left behind.

use sim::{ms, play, secs};

/// The callee takes our Via out of its responses: they belong to nobody (§16.7 step 1, §18.1.2).
#[test]
fn via_removed() {
    play("hostile/via_removed", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50))
            .answer_after(secs(1))
            .tampers("Via: SIP/2.0/UDP 10.0.0.1", "X-Via: x");
        w.run();
        assert!(alice.heard().starts_with("100 408"), "{}", alice.heard());
    });
}

/// The callee puts a Via of its own above ours.
#[test]
fn via_added() {
    play("hostile/via_added", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        let added =
            "Via: SIP/2.0/UDP 10.0.1.2:5060;branch=z9hG4bKmine\r\nVia: SIP/2.0/UDP 10.0.0.1";
        bob.ring_after(ms(50)).answer_after(secs(1)).tampers("Via: SIP/2.0/UDP 10.0.0.1", added);
        w.run();
        assert!(alice.heard().starts_with("100 408"), "{}", alice.heard());
    });
}

/// The callee changes our branch: the seal does not fit.
#[test]
fn branch_changed() {
    play("hostile/branch_changed", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(1)).tampers("branch=z9hG4bK", "branch=z9hG4bK0");
        w.run();
        assert!(alice.heard().starts_with("100 408"), "{}", alice.heard());
    });
}

/// A stranger sends responses to a branch he guesses.
#[test]
fn guessed_branch() {
    play("hostile/guessed_branch", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let mallory = w.stranger("mallory");
        alice.invite("bob").hang_up_after(secs(2)).call_id("known");
        bob.ring_after(ms(50)).answer_after(secs(1));
        for n in 0..20 {
            mallory.send_raw_after(
                ms(100 + n),
                &format!(
                    "SIP/2.0 603 Decline\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK00000000000{n}\r\n\
                     Via: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKalice2;rport\r\n\
                     From: <sip:alice@example.com>;tag=falice1\r\nTo: <sip:bob@example.com>;tag=x\r\n\
                     Call-ID: known\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
                ),
            );
        }
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// 486, and then 200 after all: the first final response of a branch counts (§17.1.1.2).
#[test]
fn busy_then_answer() {
    play("hostile/busy_then_answer", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).reject_after(secs(1), 486).answer_after(ms(100)).insists();
        w.run();
        assert!(alice.heard().starts_with("100 180 486"), "{}", alice.heard());
        assert_eq!(w.sent("proxy", "200 INVITE"), 0);
    });
}

/// 603, and then 200 after all.
#[test]
fn decline_then_answer() {
    play("hostile/decline_then_answer", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).reject_after(secs(1), 603).answer_after(ms(100)).insists();
        w.run();
        assert!(alice.heard().starts_with("100 180 603"), "{}", alice.heard());
        assert_eq!(w.sent("proxy", "200 INVITE"), 0);
    });
}

/// 200, and then 486: the call stands.
#[test]
fn answer_then_busy() {
    play("hostile/answer_then_busy", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1)).reject_after(ms(100), 486).insists();
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.sent("proxy", "486 INVITE"), 0);
    });
}

/// 200, and then it rings.
#[test]
fn answer_then_ringing() {
    play("hostile/answer_then_ringing", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(3));
        bob.answer_after(secs(1)).ring_after(ms(100)).progress_after(ms(10)).insists();
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
    });
}

/// 486, and then it rings.
#[test]
fn busy_then_ringing() {
    play("hostile/busy_then_ringing", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.reject_after(ms(100), 486).ring_after(ms(100)).insists();
        w.run();
        assert_eq!(alice.heard(), "100 486");
    });
}

/// A hundred different provisionals in a second: each goes upstream, nothing is stored.
#[test]
fn provisional_storm() {
    play("hostile/provisional_storm", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        let mut plan = bob.ring_after(ms(10));
        for _ in 0..30 {
            plan = plan.say_after(ms(10), 183).say_after(ms(10), 182);
        }
        drop(plan.reject_after(ms(10), 486));
        w.run();
        assert!(alice.heard().ends_with("486"), "{}", alice.heard());
    });
}

/// The callee answers the ACK: nobody is told (§17: an ACK has no response).
#[test]
fn answered_ack() {
    play("hostile/answered_ack", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1)).answers_ack();
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// The callee sends the INVITE straight back to us: it must not go round (§16.3 step 4).
#[test]
fn reflected_invite() {
    play("hostile/reflected_invite", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        // Its answer goes back to the reflector with the Via it sent, which is ours.
        w.allowed.push("left with our own Via".to_owned());
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1)).reflects();
        w.run();
        assert!(alice.heard().starts_with("100 180 200"), "{}", alice.heard());
        assert!(w.sent("proxy", "INVITE") < 3, "{}", w.sent("proxy", "INVITE"));
    });
}

/// An INVITE, and a MESSAGE with the same branch: two transactions (§17.2.3: the method counts).
#[test]
fn one_branch_two_methods() {
    play("hostile/one_branch_two_methods", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let text = |method: &str, cseq: u32| {
            format!(
                "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKsame\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n\
                 Call-ID: same\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.0.1.1>\r\nContent-Length: 0\r\n\r\n"
            )
        };
        alice.send_raw_after(ms(0), &text("INVITE", 1));
        alice.send_raw_after(ms(100), &text("MESSAGE", 2));
        alice.send_raw_after(ms(600), &text("ACK", 1));
        bob.reject_after(ms(500), 486);
        w.run();
        assert_eq!(bob.heard(), "INVITE MESSAGE ACK");
        assert_eq!(w.sent("proxy", "200 MESSAGE"), 1);
    });
}

/// A CANCEL whose CSeq is another one than its INVITE's: the branch decides (§9.1, §17.2.3).
#[test]
fn cancel_with_another_cseq() {
    play("hostile/cancel_with_another_cseq", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let text = |method: &str, cseq: u32| {
            format!(
                "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKsame\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n\
                 Call-ID: same\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.0.1.1>\r\nContent-Length: 0\r\n\r\n"
            )
        };
        alice.send_raw_after(ms(0), &text("INVITE", 1));
        alice.send_raw_after(ms(500), &text("CANCEL", 7));
        alice.send_raw_after(ms(1_600), &text("ACK", 1));
        bob.ring_after(ms(50)).reject_after(ms(1_500), 480);
        w.run();
        assert!(bob.heard().starts_with("INVITE"), "{}", bob.heard());
    });
}

/// Not SIP, not quite SIP, not this SIP.
#[test]
fn garbage() {
    play("hostile/garbage", |w| {
        let mallory = w.stranger("mallory");
        // A 400 shows the sender his own CSeq, unreadable as it is.
        w.allowed.push("nobody can read".to_owned());
        for (n, text) in [
            "",
            "\r\n\r\n",
            "hello",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\0\0\0\0",
            "SIP/2.0 200\r\n\r\n",
        ]
        .iter()
        .enumerate()
        {
            mallory.send_raw_after(ms(n as u64), text);
        }
        mallory.send_raw_after(
            secs(1),
            "OPTIONS sip:10.0.0.1 SIP/3.0\r\nVia: SIP/3.0/UDP 10.0.1.1:5060;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:m@elsewhere.net>;tag=a\r\nTo: <sip:10.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
        );
        mallory.send_raw_after(
            secs(2),
            "OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKy\r\nMax-Forwards: 70\r\n\
             From: <sip:m@elsewhere.net>;tag=a\r\nTo: <sip:10.0.0.1>\r\nCall-ID: y\r\nCSeq: one OPTIONS\r\n\r\n",
        );
        w.run();
        assert!(w.sent("proxy", "400 OPTIONS") <= 1);
    });
}

/// Two hundred requests in a second from somebody who proved nothing: about eighty are answered, silence for the rest.
#[test]
fn flood() {
    play("hostile/flood", |w| {
        let mallory = w.stranger("mallory");
        w.configure(|c| c.limits.trusted.clear());
        w.allowed.push("limit exceeded".to_owned());
        for n in 0..200 {
            mallory.send_raw_after(
                ms(n * 5),
                &format!(
                    "OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKf{n};rport\r\n\
                     Max-Forwards: 70\r\nFrom: <sip:m@elsewhere.net>;tag=a\r\nTo: <sip:10.0.0.1>\r\n\
                     Call-ID: flood\r\nCSeq: {n} OPTIONS\r\n\r\n"
                ),
            );
        }
        w.run();
        let answered = w.sent("proxy", "200 OPTIONS");
        assert!((60..=90).contains(&answered), "{answered}");
    });
}
