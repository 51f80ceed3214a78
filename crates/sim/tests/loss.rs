//! A bad network: one packet in five is lost on every way.

use sim::{Link, ms, play_unseen, secs};

/// 400 calls at 20 % loss: at least 99.5 % of them are answered, and each is over 33 seconds after it began or
/// answered. (A call is four ways long; §17's repetitions make the difference.)
#[test]
fn twenty_percent() {
    let mut answered = 0;
    let mut calls = 0;
    for seed in 1..=8 {
        let world = play_unseen("loss/twenty_percent", seed, |w| {
            w.network.usual =
                Link { latency: ms(20), jitter: ms(10), loss: 200, ..Link::default() };
            for pair in 0..50 {
                let caller = w.phone(&format!("caller{pair}"));
                let callee = w.phone(&format!("callee{pair}"));
                caller.invite(&format!("callee{pair}")).at(ms(pair * 100)).hang_up_after(secs(5));
                callee.ring_after(ms(200)).answer_after(secs(1));
            }
        });
        for phone in world.phones().iter().filter(|p| p.name().starts_with("caller")) {
            calls += 1;
            let times = phone.call_times();
            answered += usize::from(times.iter().any(|t| t.answered.is_some()));
            for t in times {
                let decided = t.answered.or(t.over);
                assert!(
                    decided.is_some_and(|at| at.since(t.began) <= secs(33)),
                    "seed {seed}: {} waited too long: {t:?}",
                    phone.name()
                );
            }
        }
    }
    assert_eq!(calls, 400);
    assert!(answered * 1000 >= calls * 995, "{answered} of {calls}");
}
