//! How many new calls a busy server turns away. Not its CPU and not its call rate tell that it has too much to do, but how
//! long a message waits before it is read: above 20 ms new work is refused until the wait is short again. The rule is that
//! of PIE (RFC 8033 §4.2): the share that is refused follows the wait and the way it changes. It measures nothing and
//! refuses nothing itself.

use crate::time::{Duration, Instant};

/// How long a message may wait.
pub const TARGET: Duration = Duration::from_millis(20);

/// How often the share changes.
const STEP: Duration = Duration::from_millis(10);

/// All of them.
pub const ALL: u32 = 1 << 16;

/// In parts of [`ALL`] per microsecond and step: 10 ms too much adds 5 % a step, and so does a wait that grew by 2 ms.
const FOR_THE_WAIT: i64 = 21;
const FOR_ITS_CHANGE: i64 = 21 * 5 / 13;
/// 1/32 less each step when nobody waits: from everything to nothing in some three seconds.
const EASE: u32 = 32;

/// One queue's regulator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Regulator {
    share: u32,
    last: i64,
    /// The longest wait since the last step.
    worst: i64,
    stepped_at: Instant,
}

impl Regulator {
    /// A message would wait so long now. The share of new work to refuse, of [`ALL`].
    pub fn observe(&mut self, now: Instant, wait: Duration) -> u32 {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX).min(1_000_000);
        let since = now.since(self.stepped_at);
        // What was long ago says nothing about now.
        self.worst = if since > STEP * 4 { wait } else { self.worst.max(wait) };
        if since < STEP {
            return self.share;
        }
        let target = i64::try_from(TARGET.as_micros()).unwrap_or(0);
        let change =
            (self.worst - target) * FOR_THE_WAIT + (self.worst - self.last) * FOR_ITS_CHANGE;
        let share = i64::from(self.share) + change.clamp(-i64::from(ALL / 20), i64::from(ALL / 5));
        self.share = u32::try_from(share.clamp(0, i64::from(ALL))).unwrap_or(0);
        if self.worst == 0 {
            // Whoever was not asked for a while has missed that many steps.
            let steps = since.as_micros() / STEP.as_micros();
            for _ in 0..steps.min(512) {
                self.share -= self.share.div_ceil(EASE);
            }
        }
        self.last = self.worst;
        self.worst = 0;
        self.stepped_at = now;
        self.share
    }

    pub const fn share(&self) -> u32 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of 100 units a millisecond... in virtual time: `offered` new calls a second, each of 500 us of work,
    /// a refusal of 25 us. What it does in the last seconds, in calls a second, and the longest wait then in ms.
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
        assert!(regulator.share() < ALL / 100, "{}", regulator.share());
        let (_, _, mut idle) = serve(10_000, 5);
        let share = idle.observe(Instant::from_secs(1_010), Duration::ZERO);
        assert!(share < ALL / 100, "and without being asked meanwhile: {share}");
    }
}
