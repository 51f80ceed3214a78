//! How many lines a second the log gets about what strangers can cause as often as they like. What is left out is counted,
//! and the next line of its kind says how much it was; the counters miss nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use sip_core::output::Event;
use sip_core::time::Instant;

/// Lines of one kind a second.
const LINES_MAX: u64 = 20;

/// Kinds of events that a peer can cause without proving anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Malformed,
    Rejected,
    AuthFailed,
    LimitHit,
}

impl Trouble {
    pub const COUNT: usize = 4;

    pub const fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Malformed { .. } => Self::Malformed,
            Event::Rejected { .. } => Self::Rejected,
            Event::AuthFailed { .. } => Self::AuthFailed,
            Event::LimitHit { .. } => Self::LimitHit,
            _ => return None,
        })
    }
}

/// The lines of one kind in the current second.
#[derive(Debug, Default)]
pub struct Quota {
    second: AtomicU64,
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl Quota {
    /// Whether one more line may be written, and how many were left out before it. Two threads at the border of a second
    /// may write some lines more.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let second = now.as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_lines_a_second_and_a_count_of_the_rest() {
        let quota = Quota::default();
        let now = Instant::from_secs(1_000);
        let written = (0..1_000).filter(|_| quota.take(now).is_some()).count();
        assert_eq!(written, 20);
        let later = Instant::from_secs(1_001);
        assert_eq!([quota.take(later), quota.take(later)], [Some(980), Some(0)]);
    }
}
