//! The adaptive nap: below saturation every datagram is a wake-up of its own and costs twice as much as in a batch.
//! A worker that expects several datagrams soon sleeps until they are there. It never sleeps after a quiet turn, never
//! after a full one, and never longer than its cap: latency is the price, and it is bounded.
//!
//! A sleep ended by a timer costs about two wake-ups by a packet, so a nap must gather at least a handful to pay.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// When to nap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NapRule {
    /// The longest nap; zero turns napping off.
    pub cap: Duration,
    /// Nap only if at least so many datagrams are expected within `cap`.
    pub expected_min: f64,
    /// Nap until about so many should have come.
    pub goal: f64,
    /// After a turn with so many the worker is busy enough.
    pub busy: u32,
}

impl NapRule {
    pub const OFF: NapRule = NapRule { cap: Duration::ZERO, expected_min: 0.0, goal: 0.0, busy: 0 };
    /// About +0.2 ms per pass at 10,000 to 100,000 datagrams a second, for half of the CPU or less; nothing below.
    pub const DEFAULT: NapRule =
        NapRule { cap: Duration::from_micros(300), expected_min: 3.0, goal: 8.0, busy: 32 };
    /// About +0.4 ms per pass, from 6,000 datagrams a second on.
    pub const THROUGHPUT: NapRule =
        NapRule { cap: Duration::from_micros(500), expected_min: 3.0, goal: 12.0, busy: 32 };
}

/// Half-life of the rate estimate, roughly: what is older has no say.
const MEMORY: Duration = Duration::from_millis(2);

struct Rate {
    /// Decayed count of datagrams, and the decayed time (in nanoseconds) in which they came.
    count: f64,
    time: f64,
}

/// One worker's nap. Tell it what was received; call `before_park` from tokio's `on_thread_park`.
pub struct Nap {
    rule: NapRule,
    received: AtomicU32,
    state: Mutex<(Rate, Instant)>,
}

impl Nap {
    pub fn new(rule: NapRule) -> Self {
        let rate = Rate { count: 0.0, time: 1.0 };
        Self { rule, received: AtomicU32::new(0), state: Mutex::new((rate, Instant::now())) }
    }

    /// `count` datagrams came in this turn.
    pub fn received(&self, count: u32) {
        self.received.fetch_add(count, Ordering::Relaxed);
    }

    /// Sleeps if it pays. Call on the worker's own thread, just before it waits for the next event.
    pub fn before_park(&self) {
        if self.rule.cap.is_zero() {
            return;
        }
        let received = self.received.swap(0, Ordering::Relaxed);
        let Ok(mut state) = self.state.lock() else { return };
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(state.1);
        state.1 = now;
        let nap = state.0.nap(&self.rule, elapsed, received);
        drop(state);
        if let Some(nap) = nap {
            thread::sleep(nap);
        }
    }
}

impl Rate {
    /// `received` datagrams in the `elapsed` time since the last park: how long to sleep now, if at all.
    fn nap(&mut self, rule: &NapRule, elapsed: Duration, received: u32) -> Option<Duration> {
        let nanos = elapsed.as_nanos() as f64;
        let keep = 1.0 - (nanos / MEMORY.as_nanos() as f64).min(1.0);
        self.count = self.count * keep + f64::from(received);
        self.time = (self.time * keep + nanos).max(1.0);
        if received == 0 || received >= rule.busy {
            return None;
        }
        let per_nano = self.count / self.time;
        let cap = rule.cap.as_nanos() as f64;
        if per_nano * cap < rule.expected_min {
            return None;
        }
        Some(Duration::from_nanos((rule.goal / per_nano).min(cap) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagrams of an even stream, `gap` apart, one per turn, for a while; the last plan counts.
    fn steady(rule: &NapRule, gap: Duration) -> Option<Duration> {
        let mut rate = Rate { count: 0.0, time: 1.0 };
        (0..1_000).fold(None, |_, _| rate.nap(rule, gap, 1))
    }

    #[test]
    fn a_quiet_worker_never_naps() {
        // 5k/s: one or two datagrams are expected within the cap.
        assert_eq!(steady(&NapRule::DEFAULT, Duration::from_micros(200)), None);
    }

    #[test]
    fn a_medium_load_naps_for_the_goal() {
        // 40k/s, 25 us apart: 8 datagrams take 200 us, 4 take 100 us.
        let nap = steady(&NapRule::DEFAULT, Duration::from_micros(25)).expect("naps");
        assert!((190..=210).contains(&nap.as_micros()), "{nap:?}");
        let rule = NapRule { goal: 4.0, ..NapRule::DEFAULT };
        let nap = steady(&rule, Duration::from_micros(25)).expect("naps");
        assert!((95..=105).contains(&nap.as_micros()), "{nap:?}");
    }

    #[test]
    fn the_cap_holds_and_idle_or_full_turns_do_not_nap() {
        let nap = steady(&NapRule::DEFAULT, Duration::from_micros(60)).expect("naps");
        assert_eq!(nap, Duration::from_micros(300));
        let mut rate = Rate { count: 0.0, time: 1.0 };
        assert_eq!(rate.nap(&NapRule::DEFAULT, Duration::from_micros(10), 32), None);
        assert_eq!(rate.nap(&NapRule::DEFAULT, Duration::from_micros(10), 0), None);
    }

    #[test]
    fn the_rate_forgets_a_burst() {
        let mut rate = Rate { count: 0.0, time: 1.0 };
        assert!(rate.nap(&NapRule::DEFAULT, Duration::from_micros(100), 20).is_some());
        assert_eq!(rate.nap(&NapRule::DEFAULT, Duration::from_millis(5), 1), None);
    }

    #[test]
    fn off_is_off() {
        let nap = Nap::new(NapRule::OFF);
        nap.received(10);
        let before = Instant::now();
        nap.before_park();
        assert!(before.elapsed() < Duration::from_millis(100));
        assert_eq!(nap.received.load(Ordering::Relaxed), 10, "not even counted");
    }
}
