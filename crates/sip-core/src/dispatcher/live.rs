//! `Live`: what all nodes know of one gateway at this moment, in a few numbers that need no lock. It outlives a
//! configuration: a gateway of the same name is the same gateway.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use super::health;
use crate::time::Instant;

/// What the operator wants of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Enabled,
    /// No new calls are given to it; what stands goes on, and its own calls come in.
    Draining,
    /// It is not there: no calls to it, none from it, no probes.
    Disabled,
}

impl Order {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Draining, Self::Disabled];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

/// Whether we are registered with a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Registered {
    #[default]
    Unwanted,
    Trying,
    Yes,
    Failed,
}

impl Registered {
    pub const ALL: [Self; 4] = [Self::Unwanted, Self::Trying, Self::Yes, Self::Failed];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Unwanted => "no",
            Self::Trying => "trying",
            Self::Yes => "yes",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Default)]
pub struct Live {
    health: AtomicU8,
    order: AtomicU8,
    /// Calls being set up or standing.
    calls: AtomicU32,
    /// When the next call may begin, in microseconds of [`Instant`].
    next_call_at: AtomicU64,
    /// Requests it was given, and those it did not serve.
    given: AtomicU64,
    failed: AtomicU64,
    /// Of the last probe that was answered, in microseconds; 0: none was.
    latency: AtomicU32,
    /// Probes that had an outcome, and the last good answer's status; 0 for a failure.
    registered: AtomicU8,
    probes: AtomicU32,
    answer: AtomicU32,
}

/// How many calls one gateway may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// At a time; 0: any number.
    pub calls: u32,
    /// New ones in a second; 0: any number. As many may come at once.
    pub per_second: u32,
}

impl Live {
    pub fn health(&self) -> health::State {
        health::State::ALL.get(usize::from(self.health.load(Relaxed))).copied().unwrap_or_default()
    }

    pub fn set_health(&self, state: health::State) {
        self.health.store(state as u8, Relaxed);
    }

    pub fn order(&self) -> Order {
        Order::ALL.get(usize::from(self.order.load(Relaxed))).copied().unwrap_or_default()
    }

    pub fn set_order(&self, order: Order) {
        self.order.store(order as u8, Relaxed);
    }

    pub fn is_disabled(&self) -> bool {
        self.order() == Order::Disabled
    }

    /// In one word, the operator's before its own: `draining`, `down`.
    pub fn word(&self) -> &'static str {
        match self.order() {
            Order::Enabled => self.health().word(),
            order => order.word(),
        }
    }

    /// Whether it may be given a new request at all.
    pub fn is_available(&self) -> bool {
        self.order() == Order::Enabled && self.health() != health::State::Down
    }

    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    pub fn given(&self) -> u64 {
        self.given.load(Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub fn count_given(&self) {
        self.given.fetch_add(1, Relaxed);
    }

    pub fn count_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub fn latency_us(&self) -> u32 {
        self.latency.load(Relaxed)
    }

    pub fn set_latency_us(&self, latency: u32) {
        self.latency.store(latency, Relaxed);
    }

    pub fn registered(&self) -> Registered {
        let state = usize::from(self.registered.load(Relaxed));
        Registered::ALL.get(state).copied().unwrap_or_default()
    }

    pub fn set_registered(&self, state: Registered) {
        self.registered.store(state as u8, Relaxed);
    }

    /// `status`: 0 for a failure.
    pub fn count_probe(&self, status: u16) {
        self.answer.store(status.into(), Relaxed);
        self.probes.fetch_add(1, Relaxed);
    }

    /// How many probes there were, and what the last was answered with; 0: it failed.
    pub fn probes(&self) -> (u32, u32) {
        (self.probes.load(Relaxed), self.answer.load(Relaxed))
    }

    /// Room for one more call, until the seat is dropped. `None`: it has as many as it may, or begins them too fast.
    pub fn take_seat(self: &Arc<Self>, now: Instant, caps: Caps) -> Option<Seat> {
        let before = self.calls.fetch_add(1, Relaxed);
        let seat = Seat(Arc::clone(self));
        if caps.calls > 0 && before >= caps.calls {
            return None;
        }
        (caps.per_second == 0 || self.is_in_time(now, caps.per_second)).then_some(seat)
    }

    /// A bucket of one second's calls, as the time at which it would be full again.
    fn is_in_time(&self, now: Instant, per_second: u32) -> bool {
        const SECOND: u64 = 1_000_000;
        let each = SECOND / u64::from(per_second.max(1));
        let take = |full_at: u64| {
            let full_at = full_at.max(now.0);
            (full_at + each <= now.0 + SECOND.max(each)).then_some(full_at + each)
        };
        self.next_call_at.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

/// One call's place at a gateway; dropping it gives the place back.
#[derive(Debug)]
pub struct Seat(Arc<Live>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const NOW: Instant = Instant::from_secs(1_800_000_000);

    #[test]
    fn seats_are_given_back() {
        let live = Arc::new(Live::default());
        let caps = Caps { calls: 2, per_second: 0 };
        let one = live.take_seat(NOW, caps).unwrap();
        let two = live.take_seat(NOW, caps).unwrap();
        assert!(live.take_seat(NOW, caps).is_none());
        assert_eq!(live.calls(), 2, "who was refused has no seat");
        drop(one);
        assert!(live.take_seat(NOW, caps).is_some());
        drop(two);
        assert_eq!(live.calls(), 0);
    }

    #[test]
    fn a_second_of_calls_at_once_and_then_at_the_rate() {
        let live = Arc::new(Live::default());
        let caps = Caps { calls: 0, per_second: 10 };
        let at = |ms| NOW + Duration::from_millis(ms);
        let taken = |ms| (0..100).filter(|_| live.take_seat(at(ms), caps).is_some()).count();
        assert_eq!(taken(0), 10);
        assert_eq!(taken(50), 0);
        assert_eq!(taken(100), 1);
        assert_eq!(taken(450), 3);
        assert_eq!(taken(60_000), 10, "what was not used is not saved");
        let slow = Caps { calls: 0, per_second: 1 };
        let live = Arc::new(Live::default());
        assert!(live.take_seat(at(0), slow).is_some() && live.take_seat(at(900), slow).is_none());
        assert!(live.take_seat(at(1_000), slow).is_some());
    }

    #[test]
    fn words_are_read_back() {
        for order in Order::ALL {
            assert_eq!(Order::from_word(order.word()), Some(order));
            let live = Live::default();
            live.set_order(order);
            assert_eq!(live.order(), order);
        }
        assert_eq!(Order::from_word("asleep"), None);
    }
}
