//! How many lines a second one kind of trouble may fill. Whoever sends packets decides how often it happens, and must not decide
//! how fast a disk fills. It counts what it holds back, and never touches the counters.

use std::sync::atomic::{AtomicU64, Ordering};

use sip_core::time::Instant;

/// Enough for tools that read the log for attackers.
const LINES_MAX: u64 = 20;

#[derive(Debug, Default)]
pub struct Throttle {
    /// The second, and below it the lines wanted in it.
    wanted: AtomicU64,
    held: AtomicU64,
}

impl Throttle {
    /// May one more line be written? If so: how many were held back since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let second = now.as_secs() << 32;
        let next = |wanted: u64| if wanted >> 32 << 32 == second { wanted + 1 } else { second | 1 };
        let before =
            self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |w| Some(next(w)));
        let count = before.map_or(1, next) - second;
        if count > LINES_MAX {
            self.held.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.held.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_a_second_and_the_rest_as_a_number() {
        let throttle = Throttle::default();
        let mut now = Instant::from_secs(1_800_000_000);
        let admitted = |now| (0..1_000).filter_map(|_| throttle.admit(now)).collect::<Vec<_>>();
        assert_eq!(admitted(now), [0; 20]);
        now = now + Duration::from_secs(1);
        let second = admitted(now);
        assert_eq!((second.len(), second[0], second[1]), (20, 980, 0));
        now = now + Duration::from_secs(3600);
        assert_eq!(throttle.admit(now), Some(980));
        assert_eq!(throttle.admit(now), Some(0));
    }
}
