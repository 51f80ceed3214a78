//! The shell's clock: Unix time at the start of the process, moved forward by the monotonic clock alone. A jump of the
//! wall clock changes nothing afterwards.

use std::time::{Duration, Instant as Monotonic, SystemTime};

use sip_core::time::Instant;

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

    /// Since the start of the process.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The same point for tokio's timers.
    pub fn monotonic(&self, at: Instant) -> Monotonic {
        self.started + at.since(self.origin)
    }
}
