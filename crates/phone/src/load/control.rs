//! What a person may change while a run is going on: its pace, a pause, its end. Keys and signals write it, the loop
//! reads it once a turn; it decides nothing.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering::Relaxed};

/// How a run was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    Not,
    /// Finish what is begun, then the result.
    Soon,
    /// Leave at once.
    Now,
}

#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicU8,
    interrupted: AtomicBool,
    /// Times 10 % faster, or slower when negative.
    faster: AtomicI32,
    paused: AtomicBool,
}

/// `+` and `-` end here: 1.1^50 is more than a hundredfold.
const FASTER_MAX: i32 = 50;

impl Control {
    /// Finish what is begun: `q`, SIGUSR1. A result like any other.
    pub fn finish(&self) {
        self.stop.fetch_max(Stop::Soon as u8, Relaxed);
    }

    /// Leave at once: `Q`, SIGTERM.
    pub fn leave(&self) {
        self.interrupted.store(true, Relaxed);
        self.stop.store(Stop::Now as u8, Relaxed);
    }

    /// SIGINT: the first time finish, the second time leave.
    pub fn interrupt(&self) {
        match self.interrupted.swap(true, Relaxed) {
            false => self.finish(),
            true => self.leave(),
        }
    }

    pub fn stop(&self) -> Stop {
        match self.stop.load(Relaxed) {
            0 => Stop::Not,
            1 => Stop::Soon,
            _ => Stop::Now,
        }
    }

    /// Cut short by somebody, not merely ended early.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    pub fn faster(&self) {
        self.turn(1);
    }

    pub fn slower(&self) {
        self.turn(-1);
    }

    fn turn(&self, by: i32) {
        let add = |n: i32| Some((n + by).clamp(-FASTER_MAX, FASTER_MAX));
        let _ = self.faster.fetch_update(Relaxed, Relaxed, add);
    }

    /// What the planned pace is multiplied with.
    pub fn scale(&self) -> f64 {
        1.1_f64.powi(self.faster.load(Relaxed))
    }

    pub fn toggle_pause(&self) {
        self.paused.fetch_xor(true, Relaxed);
    }

    pub fn paused(&self) -> bool {
        self.paused.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interruption_finishes_and_two_leave() {
        let control = Control::default();
        assert_eq!((control.stop(), control.interrupted()), (Stop::Not, false));
        control.finish();
        control.finish();
        assert_eq!((control.stop(), control.interrupted()), (Stop::Soon, false));
        control.interrupt();
        assert_eq!((control.stop(), control.interrupted()), (Stop::Soon, true));
        control.interrupt();
        assert_eq!(control.stop(), Stop::Now);
        control.finish();
        assert_eq!(control.stop(), Stop::Now, "what was left is not taken up again");
    }

    #[test]
    fn the_pace_goes_by_tenths_and_comes_back() {
        let control = Control::default();
        assert_eq!(control.scale().to_bits(), 1.0_f64.to_bits());
        control.faster();
        assert!((control.scale() - 1.1).abs() < 1e-9);
        control.slower();
        control.slower();
        assert!((control.scale() - 1.0 / 1.1).abs() < 1e-9);
        (0..1_000).for_each(|_| control.faster());
        assert!(control.scale() < 120.0);
        control.toggle_pause();
        assert!(control.paused());
        control.toggle_pause();
        assert!(!control.paused());
    }
}
