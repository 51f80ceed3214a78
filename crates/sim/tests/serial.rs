//! RFC 3261 §16.6 and §16.7: contacts of lower q value are tried when those of higher ones have not answered.

use sim::{Phone, World, ms, play, secs};

/// alice, and bob whose desk phone is preferred to his mobile and his answering machine.
fn bob(w: &mut World) -> (Phone, [Phone; 3]) {
    let alice = w.phone("alice");
    w.add_account(0, "bob");
    let phones = [
        w.device_with_q("bob", "desk", 1000),
        w.device_with_q("bob", "mobile", 500),
        w.device_with_q("bob", "machine", 100),
    ];
    (alice, phones)
}

/// Busy, then refused, then answered: each is asked when the one before has spoken.
#[test]
fn one_after_the_other() {
    play("serial/one_after_the_other", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob").hang_up_after(secs(3));
        desk.busy();
        mobile.ring_after(ms(50)).reject_after(secs(2), 480);
        machine.answer_after(ms(100));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// Nobody answers the desk phone: after 20 s it is cancelled, and its 487 is not what alice hears.
#[test]
fn no_answer() {
    play("serial/no_answer", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob").hang_up_after(secs(3));
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK");
        assert_eq!(machine.heard(), "");
    });
}

/// Nobody answers anywhere: the last one rings for as long as the caller likes, and the answer is that of all.
#[test]
fn best_of_all_steps() {
    play("serial/best_of_all_steps", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob");
        desk.reject_after(ms(100), 415);
        mobile.ring_after(ms(50));
        machine.reject_after(secs(1), 500);
        w.run();
        assert_eq!(alice.heard(), "100 180 415");
        assert_eq!(mobile.heard(), "INVITE CANCEL ACK");
    });
}

/// 486 somewhere, then no answer: 486 says more than that nobody came.
#[test]
fn nobody_answers() {
    play("serial/nobody_answers", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob");
        desk.ring_after(ms(50));
        mobile.busy();
        machine.reject_after(secs(1), 503);
        w.run();
        assert_eq!(alice.heard(), "100 180 486");
    });
}

/// 603 decides for the user: nobody else is asked (§16.7 step 5).
#[test]
fn decline() {
    play("serial/decline", |w| {
        let (alice, [desk, mobile, _]) = bob(w);
        alice.invite("bob");
        desk.ring_after(ms(50)).reject_after(secs(1), 603);
        w.run();
        assert_eq!(alice.heard(), "100 180 603");
        assert_eq!(mobile.heard(), "");
    });
}

/// The caller gives up while the second rings: the third is never asked.
#[test]
fn cancelled_in_the_middle() {
    play("serial/cancelled_in_the_middle", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob").cancel_after(secs(25));
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 487");
        assert_eq!(mobile.heard(), "INVITE CANCEL ACK");
        assert_eq!(machine.heard(), "");
    });
}

/// The caller gives up in the very moment in which the step ends.
#[test]
fn cancelled_between_steps() {
    play("serial/cancelled_between_steps", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob").cancel_after(ms(20_010));
        desk.ring_after(ms(50)).deaf_to_cancel();
        mobile.silent();
        w.run();
        assert_eq!(machine.heard(), "");
        assert!(alice.heard().ends_with("487"), "{}", alice.heard());
    });
}

/// The desk phone is picked up just when it is cancelled: that 200 wins, and the mobile stops ringing (§16.7 step 5).
#[test]
fn late_answer_wins() {
    play("serial/late_answer_wins", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        w.delay("proxy -> desk", "CANCEL", &[1], ms(500));
        alice.invite("bob").hang_up_after(secs(3));
        desk.ring_after(ms(50)).answer_after(ms(20_200));
        mobile.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(mobile.heard(), "INVITE CANCEL ACK");
        assert_eq!(machine.heard(), "");
    });
}

/// A dead phone costs the time of its step and no more; Timer B ends it while the next one rings.
#[test]
fn dead_phone() {
    play("serial/dead_phone", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob").hang_up_after(secs(3));
        desk.dies_after(ms(0));
        mobile.ring_after(ms(50)).answer_after(secs(15));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(machine.heard(), "");
    });
}

/// Two of the same q ring together, a third of a lower one afterwards.
#[test]
fn mixed() {
    play("serial/mixed", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        let soft = w.device_with_q("bob", "soft", 1000);
        alice.invite("bob").hang_up_after(secs(3));
        desk.ring_after(ms(50));
        soft.busy();
        mobile.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(soft.heard(), "INVITE ACK");
        assert_eq!(machine.heard(), "");
    });
}

/// Challenges of different steps come in one answer (§16.7 step 7).
#[test]
fn challenges_of_all_steps() {
    play("serial/challenges_of_all_steps", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.password("no use");
        alice.invite("bob");
        desk.reject_after(ms(100), 401)
            .header("WWW-Authenticate: Digest realm=\"desk\", nonce=\"n1\", qop=\"auth\"");
        mobile.busy();
        machine
            .reject_after(ms(100), 407)
            .header("Proxy-Authenticate: Digest realm=\"machine\", nonce=\"n2\", qop=\"auth\"");
        w.run_for(ms(250));
        let answer = w.last("401 INVITE");
        for realm in ["realm=\"desk\"", "realm=\"machine\""] {
            assert!(answer.contains(realm), "{realm} is missing in\n{answer}");
        }
    });
}

/// MESSAGE: nothing can be cancelled, but the next one is asked all the same (RFC 4320 §4.2: never a 408).
#[test]
fn message() {
    play("serial/message", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        desk.answers_requests_with(480);
        mobile.answers_requests_with(0);
        machine.answers_requests_with(200);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
    });
}

/// The last step has no time of its own: Timer C ends it, three minutes after its own INVITE (§16.6 step 11, §16.8).
#[test]
fn timer_c_of_the_last() {
    play("serial/timer_c_of_the_last", |w| {
        let (alice, [desk, mobile, machine]) = bob(w);
        alice.invite("bob");
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50));
        machine.ring_after(ms(50));
        w.run();
        assert_eq!(machine.heard(), "INVITE CANCEL ACK");
        // 20 s and 20 s, and 181 s after the 180 of the last (§16.7 step 2).
        assert!(w.elapsed() > secs(20 + 20 + 181), "{:?}", w.elapsed());
    });
}

/// Other times: as the operator has it.
#[test]
fn other_times() {
    play("serial/other_times", |w| {
        let (alice, [desk, mobile, _]) = bob(w);
        w.configure(|c| c.forking.timeout = secs(3));
        alice.invite("bob").hang_up_after(secs(1));
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
    });
}

/// On streams too: nothing is repeated, and the order is the same.
#[test]
fn over_streams() {
    play("serial/over_streams", |w| {
        let alice = w.tcp_phone("alice");
        w.add_account(0, "bob");
        let desk = w.device_with_q("bob", "desk", 1000);
        let mobile = w.phone_of("mobile", "bob", sip_core::flow::Transport::Tcp, 0, false);
        w.bind_with_q(0, "bob", &mobile.contact(), 300);
        alice.invite("bob").hang_up_after(secs(1));
        desk.busy();
        mobile.ring_after(ms(50)).answer_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}
