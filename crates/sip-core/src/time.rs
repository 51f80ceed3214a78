//! Time as the core knows it: told from outside, monotonic, in microseconds. It never reads a clock.

use core::ops::{Add, Sub};
pub use core::time::Duration;

/// A point on the shell's monotonic clock, in microseconds.
///
/// The shell chooses the origin once, at start: the Unix time of that moment. So instants only ever move forward
/// at the monotonic clock's pace (a jump of the wall clock changes nothing), and one written into a nonce or a
/// sealed route still means something after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    pub const ZERO: Instant = Instant(0);
    pub const FAR: Instant = Instant(u64::MAX);

    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Time since `earlier`, zero if `earlier` lies ahead.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, rhs: Duration) -> Instant {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(micros))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, rhs: Instant) -> Duration {
        self.since(rhs)
    }
}
