//! How fast everybody is back after a restart: who is, when the last one was, and how many at best. It only counts.

use std::time::Duration;

use super::timer::{MILLI, Nanos};

/// The peak is that of a tenth of a second.
const TENTH: Nanos = 100 * MILLI;

#[derive(Default)]
pub struct Storm {
    users: u32,
    began: Nanos,
    back: u32,
    /// Refused for good: no retry would help.
    refused: u32,
    last: Nanos,
    /// The running tenth of a second, and how many came back in it.
    tenth: (Nanos, u32),
    best: u32,
}

/// What a report says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StormEnd {
    pub users: u32,
    pub back: u32,
    /// From the beginning until the last one was back.
    pub time: Duration,
    /// Registrations a second in the best tenth of a second.
    pub peak: f64,
}

impl Storm {
    pub fn new(users: u32, now: Nanos) -> Self {
        Self { users, began: now, last: now, ..Self::default() }
    }

    pub fn is_back(&mut self, now: Nanos) {
        self.back += 1;
        self.last = now;
        let tenth = now.saturating_sub(self.began) / TENTH;
        if self.tenth.0 != tenth {
            self.tenth = (tenth, 0);
        }
        self.tenth.1 += 1;
        self.best = self.best.max(self.tenth.1);
    }

    pub fn is_refused(&mut self) {
        self.refused += 1;
    }

    /// Nobody is left to wait for.
    pub fn is_over(&self) -> bool {
        self.back + self.refused >= self.users
    }

    pub fn end(&self) -> StormEnd {
        let time = Duration::from_nanos(self.last.saturating_sub(self.began));
        // A storm shorter than a tenth of a second has no better one than itself.
        let mean = f64::from(self.back) / time.as_secs_f64().max(1e-9);
        let best = f64::from(self.best) * 10.0;
        let peak = if self.back == 0 { 0.0 } else { best.max(mean) };
        StormEnd { users: self.users, back: self.back, time, peak }
    }
}

impl StormEnd {
    pub fn missing(&self) -> u32 {
        self.users - self.back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_back_ends_it_and_the_best_tenth_is_the_peak() {
        let mut storm = Storm::new(100, 5 * TENTH);
        for n in 0..60 {
            storm.is_back(5 * TENTH + n * MILLI);
        }
        assert!(!storm.is_over());
        for n in 0..39 {
            storm.is_back(8 * TENTH + n * MILLI);
        }
        storm.is_refused();
        assert!(storm.is_over());
        let end = storm.end();
        assert_eq!((end.back, end.missing(), end.time), (99, 1, Duration::from_millis(338)));
        assert!((end.peak - 600.0).abs() < 1e-9);
    }

    #[test]
    fn nobody_and_everybody_within_a_moment() {
        let storm = Storm::new(1, 0);
        assert_eq!(storm.end().peak.to_bits(), 0);
        let mut storm = Storm::new(2, 0);
        storm.is_back(MILLI);
        storm.is_back(2 * MILLI);
        assert!((storm.end().peak - 1_000.0).abs() < 1e-6);
    }
}
