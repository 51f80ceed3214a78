//! Timer C (RFC 3261 §16.6 step 11, §16.8): how long an INVITE may ring. One entry per live fork and not one more: a
//! list in deadline order through a slab, so that setting it back for each 180 costs two links and no memory. It never
//! decides what an expiry means.

use slab::Slab;

use crate::time::Instant;
use crate::transaction::ContextId;

const NONE: u32 = u32::MAX;

/// Names an armed timer. Good until it fires or is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

#[derive(Debug)]
struct Entry {
    context: ContextId,
    fork: u16,
    deadline: Instant,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Debug)]
pub struct TimerC {
    entries: Slab<Entry>,
    /// All wait equally long, so the order in which they were armed is the order in which they fire.
    ends: Ends,
}

impl Default for TimerC {
    fn default() -> Self {
        Self { entries: Slab::new(), ends: Ends { first: NONE, last: NONE } }
    }
}

impl TimerC {
    pub fn arm(&mut self, deadline: Instant, context: ContextId, fork: u16) -> TimerId {
        let entry = Entry { context, fork, deadline, before: NONE, after: NONE };
        let id = u32::try_from(self.entries.insert(entry)).unwrap_or(NONE);
        self.link(id);
        TimerId(id)
    }

    /// RFC 3261 §16.7 step 2: a provisional response sets Timer C back.
    pub fn reset(&mut self, timer: TimerId, deadline: Instant) {
        self.unlink(timer.0);
        if let Some(entry) = self.entries.get_mut(timer.0 as usize) {
            entry.deadline = deadline;
            self.link(timer.0);
        }
    }

    pub fn stop(&mut self, timer: TimerId) {
        if self.entries.contains(timer.0 as usize) {
            self.unlink(timer.0);
            self.entries.remove(timer.0 as usize);
        }
    }

    /// The next one that is due. It is gone then.
    pub fn pop(&mut self, now: Instant) -> Option<(ContextId, u16)> {
        let first = self.ends.first;
        self.entries.get(first as usize).filter(|entry| entry.deadline <= now)?;
        self.unlink(first);
        let entry = self.entries.try_remove(first as usize)?;
        Some((entry.context, entry.fork))
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.entries.get(self.ends.first as usize).map(|entry| entry.deadline)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn link(&mut self, id: u32) {
        let before = self.ends.last;
        self.ends.last = id;
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = id,
            None => self.ends.first = id,
        }
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.before = before;
            entry.after = NONE;
        }
    }

    fn unlink(&mut self, id: u32) {
        let Some(entry) = self.entries.get(id as usize) else { return };
        let (before, after) = (entry.before, entry.after);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = after,
            None => self.ends.first = after,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = before,
            None => self.ends.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pops(timers: &mut TimerC, now: u64) -> Vec<u16> {
        core::iter::from_fn(|| timers.pop(Instant(now)).map(|(_, fork)| fork)).collect()
    }

    #[test]
    fn fires_in_order_and_a_provisional_sets_it_back() {
        let mut timers = TimerC::default();
        let ids: Vec<TimerId> =
            (0..4).map(|n| timers.arm(Instant(100 + n), ContextId(1), n as u16)).collect();
        timers.reset(ids[0], Instant(200));
        timers.stop(ids[2]);
        assert_eq!(timers.next_deadline(), Some(Instant(101)));
        assert_eq!(pops(&mut timers, 100), []);
        assert_eq!(pops(&mut timers, 150), [1, 3]);
        assert_eq!(timers.len(), 1, "a thousand 180s leave one entry");
        assert_eq!(pops(&mut timers, 200), [0]);
        assert!(timers.is_empty());
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn one_alone_is_both_ends() {
        let mut timers = TimerC::default();
        let id = timers.arm(Instant(1), ContextId(1), 0);
        timers.reset(id, Instant(2));
        timers.reset(id, Instant(3));
        timers.stop(id);
        timers.stop(id);
        timers.arm(Instant(9), ContextId(1), 7);
        assert_eq!(pops(&mut timers, 9), [7]);
    }
}
