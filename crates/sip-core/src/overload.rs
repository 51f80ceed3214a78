//! How many new calls a busy server turns away. Not its CPU and not its call rate tell that it has too much to do, but how
//! long a message waits before it is read: above 20 ms new work is refused until the wait is short again. A proportional and
//! an integral part, as in PIE (RFC 8033 §4.2), but in another form: the proportional one lets calls in again at once when
//! nobody waits, so that no time is lost between two refusals. It measures nothing and refuses nothing itself.

use crate::time::{Duration, Instant};

/// How long a message may wait.
pub const TARGET: Duration = Duration::from_millis(20);

/// All of them.
pub const ALL: u32 = 1 << 16;
const WHOLE: i64 = ALL as i64;

/// So many microseconds of a wait that is wrong by [`TARGET`] move the integral part from nothing to everything.
const SLOWNESS: i64 = 500_000;
/// No single look at a long queue counts for more time than this.
const LOOK_MAX: i64 = 50_000;

/// One queue's regulator. Shares are of [`ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Regulator {
    integral: i64,
    share: u32,
    looked_at: Instant,
}

impl Regulator {
    /// A message would wait so long now. The share of new work to refuse.
    pub fn observe(&mut self, now: Instant, wait: Duration) -> u32 {
        let [wait, target, since] = [wait, TARGET, now.since(self.looked_at)]
            .map(|time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(WHOLE * 1_000));
        let wrong = (wait * WHOLE / target - WHOLE).clamp(-WHOLE, WHOLE);
        // Time in which nobody looked was time in which nobody waited.
        let since = if wrong > 0 { since.min(LOOK_MAX) } else { since };
        self.integral = (self.integral + wrong * since / SLOWNESS).clamp(0, WHOLE);
        self.looked_at = now;
        let share = (self.integral + wrong / 2).clamp(0, WHOLE);
        self.share = u32::try_from(share).unwrap_or(0);
        self.share
    }

    /// Nothing is refused, and nothing was lately.
    pub const fn is_calm(&self) -> bool {
        self.integral == 0 && self.share == 0
    }

    pub const fn share(&self) -> u32 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In virtual time: `offered` new calls a second, each of 500 us of work, a refusal of 25 us. What it does in the last seconds, in calls a second, and the longest wait then in ms.
    fn serve(offered: u32, seconds: u64) -> (u64, u64, Regulator) {
        let mut regulator = Regulator::default();
        let mut backlog = 0u64; // us of work that waits
        let (mut done, mut longest, mut refused_part, mut due) = (0u64, 0u64, 0u64, 0u64);
        for ms in 0..seconds * 1_000 {
            let now = Instant::from_secs(1_000) + Duration::from_millis(ms);
            let share = u64::from(regulator.observe(now, Duration::from_micros(backlog)));
            due += u64::from(offered);
            while due >= 1_000 {
                due -= 1_000;
                refused_part += share;
                if refused_part >= u64::from(ALL) {
                    refused_part -= u64::from(ALL);
                    backlog += 25;
                } else {
                    backlog += 500;
                    done += u64::from(ms >= (seconds - 2) * 1_000);
                }
            }
            backlog = backlog.saturating_sub(1_000);
            if ms >= (seconds - 2) * 1_000 {
                longest = longest.max(backlog / 1_000);
            }
        }
        (done / 2, longest, regulator)
    }

    #[test]
    fn below_capacity_nobody_is_refused() {
        let (done, longest, regulator) = serve(1_900, 5);
        assert_eq!((done, regulator.share()), (1_900, 0));
        assert!(longest < 20);
    }

    /// 2,000 a second is what it can do.
    #[test]
    fn above_it_what_can_be_done_is_done() {
        for (factor, least) in [(2, 80), (5, 70), (10, 50)] {
            let (done, longest, _) = serve(2_000 * factor, 5);
            assert!(done * 100 >= 2_000 * least, "{factor} times too much: {done} of 2000");
            assert!(longest <= 60, "{factor} times too much: a wait of {longest} ms");
        }
    }

    #[test]
    fn and_afterwards_all_is_well_soon() {
        let (_, _, mut regulator) = serve(10_000, 5);
        assert!(regulator.share() > ALL / 2);
        let later = Instant::from_secs(1_005);
        for ms in (0..3_000).step_by(10) {
            regulator.observe(later + Duration::from_millis(ms), Duration::ZERO);
        }
        assert!(regulator.is_calm(), "{regulator:?}");
        let (_, _, mut idle) = serve(10_000, 5);
        let share = idle.observe(Instant::from_secs(1_010), Duration::ZERO);
        assert!(share < ALL / 100, "and without being asked meanwhile: {share}");
    }
}
