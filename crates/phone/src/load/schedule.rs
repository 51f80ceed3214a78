//! Who of the population is due when, with the spread that real phones have. The same plan gives the same times: the
//! randomness is a fixed sequence.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::timer::Nanos;

#[derive(Default)]
pub struct Schedule {
    due: BinaryHeap<Reverse<(Nanos, u32)>>,
    /// Added to every time: pauses that a person made.
    shift: Nanos,
    random: Random,
}

impl Schedule {
    /// Everybody at once.
    pub fn together(users: u32, now: Nanos) -> Self {
        let due = (0..users).map(|user| Reverse((now, user))).collect();
        Self { due, ..Self::default() }
    }

    /// Everybody somewhere in the next `every`: a population that has been there for long.
    pub fn spread(users: u32, now: Nanos, every: Nanos) -> Self {
        let mut schedule = Self::default();
        schedule.due.reserve(users as usize);
        for user in 0..users {
            let at = now + schedule.random.below(every.max(1));
            schedule.due.push(Reverse((at, user)));
        }
        schedule
    }

    pub fn next(&self) -> Option<Nanos> {
        self.due.peek().map(|Reverse((at, _))| at.saturating_add(self.shift))
    }

    /// The first who is due; everything in order of time, then of user.
    pub fn pop(&mut self, now: Nanos) -> Option<u32> {
        self.next().filter(|at| *at <= now)?;
        self.due.pop().map(|Reverse((_, user))| user)
    }

    /// Due again in `pause` and up to `spread` more.
    pub fn push(&mut self, user: u32, now: Nanos, pause: Nanos, spread: Nanos) {
        let at = now + pause + self.random.below(spread.max(1));
        self.due.push(Reverse((at.saturating_sub(self.shift), user)));
    }

    pub fn postpone(&mut self, by: Nanos) {
        self.shift += by;
    }
}

/// SplitMix64: enough to spread times and sizes, for nothing else.
#[derive(Default)]
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, and without, `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_population_spreads_evenly_and_keeps_coming() {
        let mut schedule = Schedule::spread(1_000, 0, 30 * SECOND);
        let (mut now, mut rounds) = (0, vec![0; 1_000]);
        let mut per_tenth = [0; 10];
        while let Some(at) = schedule.next().filter(|at| *at < 300 * SECOND) {
            assert!(at >= now, "in order");
            now = at;
            let user = schedule.pop(now).expect("somebody is due");
            schedule.push(user, now, 24 * SECOND, 12 * SECOND);
            rounds[user as usize] += 1;
            per_tenth[(at / (30 * SECOND)) as usize] += 1;
        }
        // 24 to 36 s after each other, 30 on average: 1000 in each 30 s.
        assert!(rounds.iter().all(|n| (9..=12).contains(n)), "{rounds:?}");
        assert!(per_tenth.iter().all(|n| (900..1_100).contains(n)), "{per_tenth:?}");
    }

    #[test]
    fn a_pause_moves_everybody() {
        let mut schedule = Schedule::together(2, SECOND);
        assert_eq!(schedule.pop(SECOND - 1), None);
        assert_eq!(schedule.pop(SECOND), Some(0));
        schedule.push(0, SECOND, SECOND, 1);
        schedule.postpone(10 * SECOND);
        assert_eq!(schedule.next(), Some(11 * SECOND));
        assert_eq!((schedule.pop(11 * SECOND), schedule.pop(12 * SECOND)), (Some(1), Some(0)));
        schedule.push(1, 20 * SECOND, SECOND, 1);
        assert_eq!(schedule.next(), Some(21 * SECOND));
        assert_eq!(Schedule::together(0, 0).next(), None);
    }
}
