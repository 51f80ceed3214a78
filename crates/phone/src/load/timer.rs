//! Timers of a few fixed lengths, one queue each: arming is a push, firing a pop. Nothing is ever cancelled; who armed a
//! timer checks, when it fires, whether it still means anything. RFC 3261 §17.1.1.2 (Timer A, B), §17.1.2.2 (Timer E, F),
//! §13.3.1.4 (the callee repeating its 2xx).

use std::collections::VecDeque;

/// Nanoseconds since the run began.
pub type Nanos = u64;

pub const MILLI: Nanos = 1_000_000;
/// RFC 3261 §17.1.1.1.
pub const T1: Nanos = 500 * MILLI;

/// What to do when a timer fires, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub slot: u32,
    /// Of the slot's tenant when it was armed.
    pub generation: u32,
    pub kind: Kind,
    /// How often the message has been repeated already.
    pub attempt: u8,
    /// Low bits of the CSeq it belongs to: a request sent anew with credentials has its own timers.
    pub cseq: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Repeat the INVITE (Timer A), or give up (Timer B).
    Invite,
    /// Repeat another request (Timer E), or give up (Timer F).
    Request,
    /// The callee repeats its 200 until the ACK is there.
    Answer,
    /// Time to pick up.
    Ring,
    /// Time to hang up.
    Hold,
    /// What was said last has had time to arrive.
    Drain,
}

/// How long the callee rings, how long the call lasts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    pub ring: Nanos,
    pub hold: Nanos,
}

pub struct Timers {
    /// T1 doubled up to six times, then the three pauses.
    queues: [VecDeque<(Nanos, Alarm)>; 10],
    pauses: Pauses,
}

/// The seven doublings end at 64*T1, the time after which every transaction has failed.
const GUARD: usize = 6;
const RING: usize = 7;
const HOLD: usize = 8;
const DRAIN: usize = 9;
/// Between the last RTP packet and the BYE: five packets.
const DRAIN_TIME: Nanos = 100 * MILLI;

impl Timers {
    pub fn new(pauses: Pauses) -> Self {
        Self { queues: std::array::from_fn(|_| VecDeque::new()), pauses }
    }

    fn push(&mut self, queue: usize, now: Nanos, alarm: Alarm) {
        let length = match queue {
            RING => self.pauses.ring,
            HOLD => self.pauses.hold,
            DRAIN => DRAIN_TIME,
            doublings => T1 << doublings,
        };
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.push_back((now + length, alarm));
        }
    }

    /// The pause before repetition `alarm.attempt + 1`: T1 doubling; everything but an INVITE stops at T2.
    /// False when 64*T1 are over and the message has to be given up.
    pub fn arm_retry(&mut self, now: Nanos, alarm: Alarm) -> bool {
        let attempt = usize::from(alarm.attempt);
        let queue = match alarm.kind {
            // 0.5 1 2 4 8 16: the last one ends 31.5 s after the first request.
            Kind::Invite if attempt > 5 => return false,
            Kind::Invite => attempt,
            // 0.5 1 2 4 4 4 4 4 4 4: the same 31.5 s.
            _ if attempt > 9 => return false,
            // T2, 4 s, is T1 << 3.
            _ => attempt.min(3),
        };
        self.push(queue, now, alarm);
        true
    }

    /// 64*T1 from now.
    pub fn arm_guard(&mut self, now: Nanos, alarm: Alarm) {
        self.push(GUARD, now, alarm);
    }

    pub fn arm_ring(&mut self, now: Nanos, alarm: Alarm) {
        self.push(RING, now, alarm);
    }

    pub fn arm_hold(&mut self, now: Nanos, alarm: Alarm) {
        self.push(HOLD, now, alarm);
    }

    pub fn arm_drain(&mut self, now: Nanos, alarm: Alarm) {
        self.push(DRAIN, now, alarm);
    }

    pub fn pauses(&self) -> Pauses {
        self.pauses
    }

    pub fn next_deadline(&self) -> Option<Nanos> {
        self.queues.iter().filter_map(|queue| queue.front()).map(|(at, _)| *at).min()
    }

    /// One alarm that is due; within a queue in the order of arming.
    pub fn pop(&mut self, now: Nanos) -> Option<Alarm> {
        let due =
            |queue: &&mut VecDeque<(Nanos, Alarm)>| queue.front().is_some_and(|(at, _)| *at <= now);
        self.queues.iter_mut().find(due)?.pop_front().map(|(_, alarm)| alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetitions(kind: Kind) -> Vec<u64> {
        let mut timers = Timers::new(Pauses::default());
        let mut alarm = Alarm { slot: 1, generation: 1, kind, attempt: 0, cseq: 1 };
        let (mut now, mut times) = (0, Vec::new());
        while timers.arm_retry(now, alarm) {
            now = timers.next_deadline().unwrap();
            assert_eq!(timers.pop(now - 1), None);
            assert_eq!(timers.pop(now), Some(alarm));
            times.push(now / MILLI);
            alarm.attempt += 1;
        }
        times
    }

    #[test]
    fn an_invite_doubles_and_the_rest_stops_at_t2() {
        assert_eq!(repetitions(Kind::Invite), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        let others = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(repetitions(Kind::Request), others);
        assert_eq!(repetitions(Kind::Answer), others);
    }

    #[test]
    fn pauses_have_their_own_queues() {
        let mut timers = Timers::new(Pauses { ring: 5, hold: 9 });
        let alarm = |kind| Alarm { slot: 0, generation: 0, kind, attempt: 0, cseq: 0 };
        timers.arm_hold(0, alarm(Kind::Hold));
        timers.arm_ring(0, alarm(Kind::Ring));
        timers.arm_guard(0, alarm(Kind::Invite));
        assert_eq!(timers.pop(5).unwrap().kind, Kind::Ring);
        assert_eq!(timers.pop(9).unwrap().kind, Kind::Hold);
        assert_eq!(timers.next_deadline(), Some(64 * T1));
    }
}
