//! The phone's clock: Unix time at the start of the process, moved forward by the monotonic clock alone. It never jumps.

use std::time::{Instant as Monotonic, SystemTime};

use sip_core::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    started: Monotonic,
}

impl Clock {
    pub fn start() -> Self {
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let micros = u64::try_from(unix.as_micros()).unwrap_or(0);
        Self { origin: Instant(micros), started: Monotonic::now() }
    }

    pub fn now(&self) -> Instant {
        self.origin + self.started.elapsed()
    }

    /// The same point for tokio's timers.
    pub fn monotonic(&self, at: Instant) -> tokio::time::Instant {
        (self.started + at.since(self.origin)).into()
    }
}

/// `14:02:11.004`, of the day in UTC.
pub fn time_of_day(at: Instant) -> String {
    let ms = at.as_millis() % 86_400_000;
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Milliseconds with their fraction.
pub fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day() {
        assert_eq!(time_of_day(Instant::from_secs(86_400 * 3 + 3_723)), "01:02:03.000");
        assert_eq!(time_of_day(Instant(86_399_999_000)), "23:59:59.999");
    }
}
