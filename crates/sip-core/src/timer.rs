//! Timers without a wheel: one FIFO per RFC duration (RFC 3261 Table 4, RFC 6026 §9).
//!
//! Everything armed for the same delay expires in the order it was armed, so a queue is sorted by construction:
//! arm = push, fire = pop. Nothing is ever taken out of the middle: an owner stops its timers by changing its
//! epoch, and what still lies in a queue under the old epoch is skipped. It holds no callback and no clock.

use core::fmt;
use std::collections::VecDeque;

use crate::config::Timers;
use crate::time::{Duration, Instant};

/// The timers of RFC 3261 Table 4 and RFC 6026, by the RFC's letters. Timer C belongs to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Timer {
    /// INVITE request retransmission, unreliable transport only: T1, doubling.
    A = 0,
    /// INVITE client timeout: 64*T1.
    B = 1,
    /// Wait for response retransmissions: 64*T1.
    D = 2,
    /// Non-INVITE request retransmission: T1, doubling up to T2.
    E = 3,
    /// Non-INVITE client timeout: 64*T1.
    F = 4,
    /// INVITE response retransmission: T1, doubling up to T2.
    G = 5,
    /// Wait for the ACK: 64*T1.
    H = 6,
    /// Wait for ACK retransmissions: T4.
    I = 7,
    /// Wait for non-INVITE request retransmissions: 64*T1.
    J = 8,
    /// Wait for response retransmissions: T4.
    K = 9,
    /// INVITE server in Accepted: 64*T1 (RFC 6026).
    L = 10,
    /// INVITE client in Accepted: 64*T1 (RFC 6026).
    M = 11,
    /// No letter in the RFC: 64*T1 after a CANCEL the INVITE counts as cancelled (RFC 3261 §9.1).
    Cancel = 12,
    /// No letter in the RFC: 6*T1 without a word, and somebody else is tried, if there is anybody (RFC 3263 §4.3).
    Silence = 13,
}

impl Timer {
    const ALL: [Timer; 14] = {
        use Timer::{A, B, Cancel, D, E, F, G, H, I, J, K, L, M, Silence};
        [A, B, D, E, F, G, H, I, J, K, L, M, Cancel, Silence]
    };
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How often a retransmission timer has doubled: the machines count, the queues know how long that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubling(pub u8);

impl Doubling {
    /// RFC 3261 §17.1.2.2: "timer E MUST be set to fire in T2 seconds", without doubling up to it.
    pub const T2: Doubling = Doubling(u8::MAX);

    /// The next interval: twice as long.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Doubling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::T2 => f.write_str("T2"),
            Self(0) => f.write_str("T1"),
            Self(n) => write!(f, "{}*T1", 1u64 << n.min(63)),
        }
    }
}

/// Entries per block: large enough to amortize the allocation, small enough that an idle queue costs little.
const BLOCK: usize = 256;

#[derive(Debug)]
struct Block<T> {
    /// Deadline of the first entry; the others are microseconds after it, so an entry costs 4 bytes of time.
    base: Instant,
    entries: Vec<(u32, T)>,
    popped: usize,
}

/// All waits of one length.
#[derive(Debug)]
pub struct Fifo<T> {
    delay: Duration,
    blocks: VecDeque<Block<T>>,
    /// One empty block kept, so that a steady load allocates nothing.
    spare: Option<Vec<(u32, T)>>,
    last: Instant,
    len: usize,
}

impl<T: Copy> Fifo<T> {
    pub const fn new(delay: Duration) -> Self {
        Self { delay, blocks: VecDeque::new(), spare: None, last: Instant::ZERO, len: 0 }
    }

    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// Entries waiting, stopped ones included.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Waits for `item` until `now` + delay; the deadline is returned.
    pub fn push(&mut self, now: Instant, item: T) -> Instant {
        self.push_at(now + self.delay, item)
    }

    /// A deadline earlier than the last one is moved behind it: the order is what makes this a queue.
    fn push_at(&mut self, deadline: Instant, item: T) -> Instant {
        let deadline = deadline.max(self.last);
        self.last = deadline;
        self.len += 1;
        if let Some(block) = self.blocks.back_mut()
            && block.entries.len() < BLOCK
            && let Ok(offset) = u32::try_from(deadline.0 - block.base.0)
        {
            block.entries.push((offset, item));
            return deadline;
        }
        let mut entries = self.spare.take().unwrap_or_default();
        entries.push((0, item));
        self.blocks.push_back(Block { base: deadline, entries, popped: 0 });
        deadline
    }

    /// The next entry, due or not.
    pub fn front(&self) -> Option<(Instant, T)> {
        let block = self.blocks.front()?;
        let &(offset, item) = block.entries.get(block.popped)?;
        Some((Instant(block.base.0.saturating_add(offset.into())), item))
    }

    pub fn pop(&mut self) -> Option<(Instant, T)> {
        let front = self.front()?;
        self.len -= 1;
        let block = self.blocks.front_mut()?;
        block.popped += 1;
        if block.popped == block.entries.len()
            && let Some(mut block) = self.blocks.pop_front()
        {
            block.entries.clear();
            self.spare.get_or_insert(block.entries);
        }
        Some(front)
    }

    /// The next entry if its time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.front().filter(|&(deadline, _)| deadline <= now)?;
        self.pop()
    }

    /// When this queue next wants to be looked at.
    pub fn deadline(&self) -> Option<Instant> {
        self.front().map(|(deadline, _)| deadline)
    }

    /// Drops stopped entries from the front, so that nobody is woken for them. Each is dropped once: O(1) per timer.
    pub fn trim(&mut self, is_stopped: impl Fn(T) -> bool) {
        while self.front().is_some_and(|(_, item)| is_stopped(item)) {
            self.pop();
        }
    }
}

/// Whom a queued timer belongs to, and in which epoch of its life: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Slot, and in the top bit which table it is of.
    owner: u32,
    /// Generation of the slot (20 bits), epoch (8), timer (4).
    stamp: u32,
}

const SERVER: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client(u32),
    Server(u32),
}

impl Mark {
    pub const fn new(owner: Owner, generation: u32, epoch: u8, timer: Timer) -> Self {
        let owner = match owner {
            Owner::Client(slot) => slot,
            Owner::Server(slot) => slot | SERVER,
        };
        Self { owner, stamp: generation << 12 | (epoch as u32) << 4 | timer as u32 }
    }

    pub const fn owner(self) -> Owner {
        if self.owner & SERVER == 0 {
            Owner::Client(self.owner)
        } else {
            Owner::Server(self.owner & !SERVER)
        }
    }

    pub fn timer(self) -> Option<Timer> {
        Timer::ALL.get((self.stamp & 0xf) as usize).copied()
    }

    /// Still of the slot's present life and epoch?
    pub const fn is_current(self, generation: u32, epoch: u8) -> bool {
        self.stamp >> 4 == (generation << 12 | (epoch as u32) << 4) >> 4
    }
}

/// Waits that only free memory are rounded up to multiples of this, so that one wake-up serves many. The RFC's
/// figure is a least value there (RFC 3261 §17.1.1.2: "at least 32 seconds").
pub const LINGER_STEP: Duration = Duration::from_millis(20);

const DOUBLINGS: usize = 7;
const T2: usize = DOUBLINGS;
const T1_X64: usize = DOUBLINGS + 1;
const LINGER_T1_X64: usize = DOUBLINGS + 2;
const LINGER_T4: usize = DOUBLINGS + 3;
const SILENCE: usize = DOUBLINGS + 4;
const QUEUES: usize = DOUBLINGS + 5;

/// In T1: the request has been sent three times by then (at 0, 1 and 3 T1).
const SILENCE_T1: u32 = 6;

/// The queues of one node's transactions.
#[derive(Debug)]
pub struct TimerQueues {
    queues: [Fifo<Mark>; QUEUES],
    /// Deadline at the front of each queue, `FAR` for none: looked at every turn, so side by side.
    fronts: [Instant; QUEUES],
    t1: Duration,
    t2: Duration,
}

impl TimerQueues {
    pub fn new(timers: &Timers) -> Self {
        let Timers { t1, t2, t4, .. } = *timers;
        let queues = core::array::from_fn(|queue| {
            Fifo::new(match queue {
                T2 => t2,
                T1_X64 | LINGER_T1_X64 => t1 * 64,
                LINGER_T4 => t4,
                SILENCE => t1 * SILENCE_T1,
                doublings => t1 * (1 << doublings),
            })
        });
        Self { queues, fronts: [Instant::FAR; QUEUES], t1, t2 }
    }

    fn queue_of(&self, timer: Timer, doubling: Doubling) -> usize {
        use Timer::{A, B, Cancel, D, E, F, G, H, I, J, K, L, M, Silence};
        let doublings = usize::from(doubling.0);
        match timer {
            A => doublings.min(DOUBLINGS - 1),
            // RFC 3261 §17.1.2.2, §17.2.1: MIN(2*interval, T2).
            E | G if doublings >= DOUBLINGS || self.t1 * (1 << doublings) >= self.t2 => T2,
            E | G => doublings,
            B | F | H | Cancel => T1_X64,
            D | J | L | M => LINGER_T1_X64,
            I | K => LINGER_T4,
            Silence => SILENCE,
        }
    }

    /// `doubling` counts only for A, E and G.
    pub fn arm(
        &mut self,
        now: Instant,
        timer: Timer,
        doubling: Doubling,
        owner: Owner,
        generation: u32,
        epoch: u8,
    ) {
        let index = self.queue_of(timer, doubling);
        let mark = Mark::new(owner, generation, epoch, timer);
        let Some(queue) = self.queues.get_mut(index) else { return };
        let mut deadline = now + queue.delay;
        if (LINGER_T1_X64..SILENCE).contains(&index) {
            let step = LINGER_STEP.as_micros() as u64;
            deadline = Instant(deadline.0.div_ceil(step).saturating_mul(step));
        }
        let deadline = queue.push_at(deadline, mark);
        if let Some(front) = self.fronts.get_mut(index) {
            *front = (*front).min(deadline);
        }
    }

    /// The earliest timer that is due by `now`; its owner decides whether it still runs.
    pub fn expire(&mut self, now: Instant) -> Option<Mark> {
        let (index, &front) = self.fronts.iter().enumerate().min_by_key(|&(_, front)| *front)?;
        if front > now {
            return None;
        }
        let queue = self.queues.get_mut(index)?;
        let (_, mark) = queue.pop()?;
        self.fronts[index] = queue.deadline().unwrap_or(Instant::FAR);
        Some(mark)
    }

    /// Called when an owner stopped its retransmission and timeout timers: drops what is stopped at the front.
    pub fn trim(&mut self, doubling: Doubling, is_stopped: impl Fn(Mark) -> bool) {
        let doubled = match usize::from(doubling.0) {
            doublings if doublings < DOUBLINGS => doublings,
            _ => T2,
        };
        for index in [doubled, T1_X64, SILENCE] {
            if let (Some(queue), Some(front)) =
                (self.queues.get_mut(index), self.fronts.get_mut(index))
                && *front != Instant::FAR
            {
                queue.trim(&is_stopped);
                *front = queue.deadline().unwrap_or(Instant::FAR);
            }
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.fronts.iter().min().copied().filter(|&front| front != Instant::FAR)
    }

    /// Entries waiting, stopped ones included.
    pub fn len(&self) -> usize {
        self.queues.iter().map(Fifo::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    fn queues() -> TimerQueues {
        TimerQueues::new(&Timers::default())
    }

    fn fires_at(timer: Timer, doubling: Doubling) -> u64 {
        let mut queues = queues();
        queues.arm(Instant(7), timer, doubling, Owner::Client(3), 1, 0);
        queues.next_deadline().map_or(0, |at| at.0)
    }

    #[test]
    fn an_entry_is_twelve_bytes() {
        assert_eq!(size_of::<(u32, Mark)>(), 12);
    }

    #[test]
    fn order_holds_over_blocks() {
        let mut fifo = Fifo::new(Duration::from_millis(500));
        for n in 0..1000u32 {
            fifo.push(Instant(u64::from(n) * MS), n);
        }
        assert_eq!(fifo.len(), 1000);
        assert_eq!(fifo.pop_due(Instant(499 * MS)), None);
        for n in 0..1000u32 {
            assert_eq!(
                fifo.pop_due(Instant(2_000 * MS)),
                Some((Instant((u64::from(n) + 500) * MS), n))
            );
        }
        assert!(fifo.is_empty() && fifo.front().is_none());
    }

    #[test]
    fn hours_between_two_entries_do_not_wrap() {
        let mut fifo = Fifo::new(Duration::ZERO);
        fifo.push(Instant::from_secs(1), 'a');
        fifo.push(Instant::from_secs(100_000), 'b');
        assert_eq!(fifo.pop(), Some((Instant::from_secs(1), 'a')));
        assert_eq!(fifo.pop(), Some((Instant::from_secs(100_000), 'b')));
    }

    #[test]
    fn a_clock_that_steps_back_keeps_the_order() {
        let mut fifo = Fifo::new(Duration::ZERO);
        fifo.push(Instant(10), 1);
        assert_eq!(fifo.push(Instant(5), 2), Instant(10));
    }

    #[test]
    fn durations_are_table_4() {
        assert_eq!(fires_at(Timer::A, Doubling(0)), 7 + 500 * MS);
        assert_eq!(fires_at(Timer::A, Doubling(4)), 7 + 8_000 * MS);
        assert_eq!(fires_at(Timer::E, Doubling(2)), 7 + 2_000 * MS);
        assert_eq!(fires_at(Timer::E, Doubling(3)), 7 + 4_000 * MS);
        assert_eq!(fires_at(Timer::E, Doubling(6)), 7 + 4_000 * MS);
        assert_eq!(fires_at(Timer::E, Doubling::T2), 7 + 4_000 * MS);
        assert_eq!(fires_at(Timer::H, Doubling(0)), 7 + 32_000 * MS);
        assert_eq!(fires_at(Timer::Silence, Doubling(0)), 7 + 3_000 * MS);
        // Rounded up: 32 s and 5 s are the least.
        assert_eq!(fires_at(Timer::L, Doubling(0)), 32_020 * MS);
        assert_eq!(fires_at(Timer::K, Doubling(0)), 5_020 * MS);
    }

    #[test]
    fn other_t1_and_t2_are_obeyed() {
        let timers = Timers {
            t1: Duration::from_millis(100),
            t2: Duration::from_millis(300),
            ..Timers::default()
        };
        let mut queues = TimerQueues::new(&timers);
        for (timer, doubling, expected) in [
            (Timer::E, Doubling(1), 200),
            (Timer::E, Doubling(2), 300),
            (Timer::A, Doubling(2), 400),
            (Timer::B, Doubling(0), 6_400),
        ] {
            queues.arm(Instant::ZERO, timer, doubling, Owner::Client(0), 0, 0);
            assert_eq!(queues.next_deadline(), Some(Instant(expected * MS)), "{timer}");
            assert!(queues.expire(Instant(expected * MS)).is_some());
        }
    }

    #[test]
    fn the_earliest_comes_first_whatever_its_queue() {
        let mut queues = queues();
        queues.arm(Instant::ZERO, Timer::B, Doubling(0), Owner::Client(1), 1, 0);
        queues.arm(Instant::ZERO, Timer::A, Doubling(0), Owner::Server(2), 1, 9);
        let mark = queues.expire(Instant::FAR);
        assert_eq!(mark.map(Mark::owner), Some(Owner::Server(2)));
        assert_eq!(mark.and_then(Mark::timer), Some(Timer::A));
        assert!(mark.is_some_and(|m| m.is_current(1, 9) && !m.is_current(1, 8)));
        assert!(mark.is_some_and(|m| !m.is_current(2, 9)));
        assert_eq!(queues.expire(Instant::FAR).and_then(Mark::timer), Some(Timer::B));
        assert_eq!(queues.expire(Instant::FAR), None);
        assert_eq!(queues.next_deadline(), None);
    }

    #[test]
    fn stopped_timers_wake_nobody() {
        let mut queues = queues();
        queues.arm(Instant::ZERO, Timer::A, Doubling(0), Owner::Client(1), 1, 0);
        queues.arm(Instant::ZERO, Timer::B, Doubling(0), Owner::Client(1), 1, 0);
        queues.trim(Doubling(0), |mark| !mark.is_current(1, 1));
        assert_eq!(queues.next_deadline(), None);
        assert!(queues.is_empty());
    }
}
