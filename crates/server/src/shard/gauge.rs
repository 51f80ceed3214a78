//! How long a datagram waits before a worker reads it. Nobody stamps them: as long as a batch is not full the queue was
//! empty after it, and nothing waits. Behind full batches the wait is what the queue holds times what one costs. It
//! refuses nothing; what it finds goes into the regulator of the core.

use std::time::Duration;

use sip_core::overload::{Regulator, TARGET};
use sip_core::time::Instant;

/// What the kernel charges for a datagram, about.
const CHARGE: u64 = 2_048;

/// A cost above this was not work but a pause: the machine, or the debugger.
const COST_MAX: u64 = 1_000_000;

#[derive(Debug, Default)]
pub struct Gauge {
    regulator: Regulator,
    /// When the last batch was read, if it was full.
    full_at: Option<Instant>,
    /// Nanoseconds for one datagram, smoothed.
    cost: u64,
    looked_at: Instant,
}

impl Gauge {
    /// A batch was read that was not full. Nothing to do in the usual case.
    pub fn emptied(&mut self, now: Instant) -> Option<u32> {
        self.full_at = None;
        if self.regulator.is_calm() {
            return None;
        }
        self.looked_at = now;
        Some(self.regulator.observe(now, Duration::ZERO))
    }

    /// A full batch of `count` was read; so much (`waiting` of `limit` bytes) is still there.
    pub fn full(&mut self, now: Instant, count: usize, waiting: u32, limit: u32) -> u32 {
        if let Some(before) = self.full_at.replace(now) {
            let nanos = u64::try_from(now.since(before).as_nanos()).unwrap_or(u64::MAX);
            let cost = (nanos / (count as u64).max(1)).min(COST_MAX);
            self.cost = if self.cost == 0 { cost } else { (self.cost * 7 + cost) / 8 };
        }
        self.looked_at = now;
        let datagrams = u64::from(waiting) / CHARGE;
        let wait = Duration::from_nanos(datagrams.saturating_mul(self.cost));
        // A small buffer is full before the wait is long: what it loses nobody chose.
        let full = u64::from(waiting) * 4 / 3;
        let filled = TARGET.mul_f64(full as f64 / f64::from(limit.max(1)));
        self.regulator.observe(now, wait.max(filled))
    }

    /// About once a second: a queue nobody reads from is empty.
    pub fn rest(&mut self, now: Instant) -> Option<u32> {
        if now.since(self.looked_at) < Duration::from_secs(1) {
            return None;
        }
        self.emptied(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_secs(1_000) + Duration::from_micros(micros)
    }

    #[test]
    fn what_waits_times_what_one_costs() {
        let mut gauge = Gauge::default();
        // 64 in 640 us are 10 us each; 4,000 of them wait 40 ms.
        let mut share = 0;
        for n in 0..200 {
            share = gauge.full(at(n * 640), 64, 4_000 * 2_048, 16_000 * 2_048);
        }
        assert_eq!(gauge.cost, 10_000);
        assert!(share > 0);
        assert!(gauge.emptied(at(200 * 640)).is_some());
        let mut calm = Gauge::default();
        for n in 0..200 {
            assert_eq!(calm.full(at(n * 640), 64, 1_000 * 2_048, 16_000 * 2_048), 0, "10 ms");
        }
        assert_eq!(calm.emptied(at(999_999)), None);
    }

    #[test]
    fn a_small_buffer_counts_when_it_is_nearly_full() {
        let mut gauge = Gauge::default();
        let shares: Vec<u32> =
            (0..200).map(|n| gauge.full(at(n * 640), 64, 200_000, 212_992)).collect();
        assert!(shares.last().is_some_and(|share| *share > 0), "100 datagrams wait 1 ms only");
    }

    #[test]
    fn rest_ends_it() {
        let mut gauge = Gauge::default();
        for n in 0..2_000 {
            gauge.full(at(n * 640), 64, 8_000 * 2_048, 16_000 * 2_048);
        }
        assert!(gauge.regulator.share() > 0);
        assert_eq!(gauge.rest(at(2_000 * 640)), None, "it was looked at just now");
        assert!(gauge.rest(at(8_000_000)).is_some_and(|share| share < 1_000));
    }
}
