//! What is known of the way to one phone behind a NAT: what was asked, what was answered, how long it took. It never asks
//! and never removes a binding: some phones answer no OPTIONS at all and ring all the same, so silence alone proves
//! nothing. Only one that used to answer and has stopped counts as silent.

use core::hash::BuildHasher as _;

use foldhash::quality::FixedState;

use crate::time::{Duration, Instant};

/// Pings in a row without an answer before a phone that used to answer is silent.
pub const MISSES_MAX: u8 = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Tells this binding from others of its user, and from one that was made anew.
    key: u32,
    answered: u32,
    failed: u32,
    /// Microseconds; 0: never measured.
    round_trip: u32,
    /// Seconds of [`Instant`]; 0: never heard of but by its REGISTER.
    heard_at: u32,
    /// In a row, up to [`MISSES_MAX`].
    misses: u8,
    /// A ping has been sent and not been answered.
    waiting: bool,
}

/// What an operator is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub state: State,
    pub answered: u32,
    pub failed: u32,
    pub round_trip: Option<Duration>,
    /// The last answer.
    pub heard_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has answered nothing yet, and perhaps never will.
    Unknown,
    Answers,
    /// It used to.
    Silent,
}

/// What a ping or an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    FellSilent,
    AnswersAgain,
}

impl Health {
    pub fn new(contact: &str, call_id: &str) -> Self {
        Self {
            key: Self::key_of(contact, call_id),
            answered: 0,
            failed: 0,
            round_trip: 0,
            heard_at: 0,
            misses: 0,
            waiting: false,
        }
    }

    /// Not secret and not sealed: a user could only confuse his own bindings.
    pub fn key_of(contact: &str, call_id: &str) -> u32 {
        FixedState::with_seed(0).hash_one((contact, call_id)) as u32
    }

    pub const fn key(&self) -> u32 {
        self.key
    }

    pub const fn is_silent(&self) -> bool {
        self.answered > 0 && self.misses >= MISSES_MAX
    }

    /// A ping goes out: the one before counts as failed if nobody answered it.
    pub fn ping(&mut self) -> Change {
        let was_silent = self.is_silent();
        if self.waiting {
            self.failed = self.failed.saturating_add(1);
            self.misses = self.misses.saturating_add(1).min(MISSES_MAX);
        }
        self.waiting = true;
        if self.is_silent() && !was_silent { Change::FellSilent } else { Change::None }
    }

    /// Somebody answered a ping sent at `sent_at`, whatever the answer says: there is a way to the phone and back.
    pub fn answered(&mut self, now: Instant, sent_at: Instant) -> Change {
        let was_silent = self.is_silent();
        // Of a ping that was given up: it still says that the phone is there.
        self.answered = self.answered.saturating_add(1);
        self.round_trip = u32::try_from(now.since(sent_at).as_micros()).unwrap_or(u32::MAX).max(1);
        self.heard_at = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.misses = 0;
        self.waiting = false;
        if was_silent { Change::AnswersAgain } else { Change::None }
    }

    /// It has registered again: the way is good, perhaps another one.
    pub fn renewed(&mut self) -> Change {
        let was_silent = self.is_silent();
        self.misses = 0;
        self.waiting = false;
        if was_silent { Change::AnswersAgain } else { Change::None }
    }

    pub fn report(&self) -> Report {
        let state = match self.answered {
            0 => State::Unknown,
            _ if self.is_silent() => State::Silent,
            _ => State::Answers,
        };
        let filled = |n: u32| (n > 0).then_some(u64::from(n));
        Report {
            state,
            answered: self.answered,
            failed: self.failed,
            round_trip: filled(self.round_trip).map(Duration::from_micros),
            heard_at: filled(self.heard_at).map(Instant::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_secs(1_800_000_000);

    fn at(millis: u64) -> Instant {
        START + Duration::from_millis(millis)
    }

    #[test]
    fn one_that_never_answers_is_never_silent() {
        let mut health = Health::new("sip:a@10.0.0.7", "c");
        for _ in 0..100 {
            assert_eq!(health.ping(), Change::None);
        }
        assert!(!health.is_silent());
        let report = health.report();
        assert_eq!((report.state, report.answered, report.failed), (State::Unknown, 0, 99));
        assert_eq!((report.round_trip, report.heard_at), (None, None));
    }

    #[test]
    fn three_in_a_row_and_back() {
        let mut health = Health::new("sip:a@10.0.0.7", "c");
        health.ping();
        assert_eq!(health.answered(at(40), START), Change::None);
        assert_eq!(health.report().round_trip, Some(Duration::from_millis(40)));
        assert_eq!(health.report().heard_at, Some(START));
        // Asked four times: three went unanswered.
        let changes: Vec<Change> = (0..6).map(|_| health.ping()).collect();
        use Change::{FellSilent, None};
        assert_eq!(changes, [None, None, None, FellSilent, None, None]);
        assert!(health.is_silent());
        assert_eq!(health.answered(at(90_000), at(89_900)), Change::AnswersAgain);
        assert_eq!(health.report().state, State::Answers);
        assert_eq!(health.report().failed, 5);
    }

    #[test]
    fn a_registration_is_a_sign_of_life() {
        let mut health = Health::new("sip:a@10.0.0.7", "c");
        health.ping();
        health.answered(at(1), START);
        for _ in 0..9 {
            health.ping();
        }
        assert!(health.is_silent());
        assert_eq!(health.renewed(), Change::AnswersAgain);
        assert_eq!(health.renewed(), Change::None);
        assert_eq!(health.report().state, State::Answers);
        assert_eq!(health.ping(), Change::None);
    }

    #[test]
    fn keys_differ() {
        let key = |contact, call_id| Health::new(contact, call_id).key();
        assert_eq!(key("a", "b"), key("a", "b"));
        assert_ne!(key("a", "b"), key("a", "c"));
        assert_ne!(key("a", "b"), key("c", "b"));
    }
}
