//! Calls through gateways, and what happens when one of them fails or is full: RFC 3261 §16.6, §16.7, §21.5.4.

use super::*;

/// The Request-URI names the gateway, the number is the caller's; the call is counted as long as it stands.
#[test]
fn call_through_a_gateway() {
    play("gateway/call", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(5));
        a.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(secs(3));
        assert!(w.last("INVITE").starts_with(&format!("INVITE sip:+15551234@{} ", a.address())));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (1, 0));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!((a.heard(), b.heard().as_str()), ("INVITE ACK BYE".into(), ""));
        assert_eq!(calls_at(w, "carrier-a"), 0);
    });
}

/// 503 from the first: the second is asked at once, and alice hears only of him.
#[test]
fn failover_on_503() {
    play("gateway/failover_on_503", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(3));
        a.reject_after(ms(20), 503);
        b.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.servers()[0].shared.gateways.live("carrier-a").failed(), 1);
    });
}

/// No word from the first for two seconds: the second is asked, and what the first may say later is cancelled.
#[test]
fn failover_on_silence() {
    play("gateway/failover_on_silence", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(3));
        a.silent();
        b.answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// A 100 is no silence: the first is waited for as long as a call may ring.
#[test]
fn a_word_is_enough() {
    play("gateway/a_word_is_enough", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(1));
        a.incoming().say_after(ms(10), 100).answer_after(secs(10));
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 200 200".into(), ""));
    });
}

/// Silence of the last one is waited out: he is not cancelled for nobody's sake.
#[test]
fn the_last_one_is_waited_for() {
    play("gateway/the_last_one_is_waited_for", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(1));
        a.reject_after(ms(20), 503);
        b.incoming().answer_after(secs(5));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!(b.heard(), "INVITE ACK BYE", "and no CANCEL");
    });
}

/// What the callee says is no failure of the gateway: 486 goes to alice, and nobody else is asked.
#[test]
fn busy_is_an_answer() {
    play("gateway/busy_is_an_answer", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.busy();
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 486".into(), ""));
    });
}

/// Who has let the phone ring is not replaced, whatever he says then.
#[test]
fn no_failover_after_ringing() {
    play("gateway/no_failover_after_ringing", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.ring_after(ms(20)).reject_after(secs(1), 503);
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 180 500".into(), ""));
    });
}

/// Nobody is in service: 503 with a time, and nobody is asked.
#[test]
fn all_down() {
    play("gateway/all_down", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        order(w, "carrier-a", Order::Disabled);
        order(w, "carrier-b", Order::Draining);
        alice.invite(ABROAD);
        w.run();
        assert_eq!(alice.heard(), "503");
        assert_eq!(line(&w.last("503 INVITE"), "Retry-After"), ["10"]);
        assert_eq!(a.heard() + &b.heard(), "");
    });
}

/// Both fail: alice hears the better of the two, and never a 503 that is not ours.
#[test]
fn both_fail() {
    play("gateway/both_fail", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.reject_after(ms(20), 503);
        b.reject_after(ms(20), 404);
        w.run();
        assert_eq!(alice.heard(), "100 404");
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// A gateway that is drained keeps its call and gets no other.
#[test]
fn drain() {
    play("gateway/drain", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(20));
        alice.invite(ABROAD).at(secs(5)).hang_up_after(secs(3));
        a.answer_after(ms(100)).reinvite_after(secs(8));
        b.answer_after(ms(100));
        w.run_for(secs(4));
        order(w, "carrier-a", Order::Draining);
        w.run();
        assert_eq!(b.heard(), "INVITE ACK BYE");
        assert!(a.heard().ends_with("BYE"), "{}", a.heard());
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// Each call goes to who has the fewest that stand.
#[test]
fn least_calls() {
    play("gateway/least_calls", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.algorithm = Algorithm::LeastCalls);
        for (at, lasts) in [(0, 60), (5, 60), (10, 2), (20, 60)] {
            alice.invite(ABROAD).at(secs(at)).hang_up_after(secs(lasts));
        }
        for phone in [&a, &b] {
            phone.answer_after(ms(100));
            phone.answer_after(ms(100));
        }
        w.run_for(secs(30));
        let (one, other) = (calls_at(w, "carrier-a"), calls_at(w, "carrier-b"));
        assert_eq!(one + other, 3);
        assert!(one.abs_diff(other) == 1, "{one} and {other}");
        w.run();
    });
}

/// Two calls in a second and one at a time: what is more goes to the other carrier, and then nowhere.
#[test]
fn caps() {
    let world = play_unseen("gateway/caps", 1, |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            p.gateways[0].caps = Caps { calls: 0, per_second: 2 };
            p.gateways[1].caps = Caps { calls: 1, per_second: 0 };
        });
        for n in 0..5 {
            alice.invite(ABROAD).at(ms(n * 10)).hang_up_after(secs(10));
        }
        alice.invite(ABROAD).at(secs(2)).hang_up_after(secs(1));
        for phone in [&a, &b] {
            for _ in 0..3 {
                phone.answer_after(ms(100));
            }
        }
        w.run();
        assert_eq!(a.heard().matches("INVITE").count(), 3, "two at once, and one later");
        assert_eq!(b.heard().matches("INVITE").count(), 1);
        assert_eq!(alice.heard().matches("503").count(), 2);
    });
    assert_eq!((calls_at(&world, "carrier-a"), calls_at(&world, "carrier-b")), (0, 0));
}

/// A BYE that never comes: the call is counted until its session timer has run out (RFC 4028 §10), else for `call_max`.
#[test]
fn a_call_without_its_bye() {
    play_unseen("gateway/no_bye", 1, |w| {
        w.allowed.push("calls: 1".to_owned());
        let (alice, [a, b]) = pstn(w, |p| p.gateways[1].call_max = secs(600));
        alice.invite(ABROAD);
        alice.invite(ABROAD).at(ms(10));
        a.answer_after(ms(100)).header("Session-Expires: 90;refresher=uac");
        a.reject_after(ms(1), 503);
        b.answer_after(ms(100));
        w.run_for(secs(100));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (1, 1));
        w.run_for(secs(30));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 1));
        w.run_for(secs(500));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}
