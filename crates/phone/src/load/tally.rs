//! What happened in a run: units begun, done and failed, and how long things took. Counters only go up.
//! On a ramp each unit also counts in the step in which it was begun, however late it ends.

use std::collections::BTreeMap;
use std::io;

use super::figure::Figures;
use super::step::Steps;
use super::talk::CallSound;
use super::timer::Nanos;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A final answer that ends the unit.
    Status(u16),
    /// Nothing within 64*T1.
    Timeout,
    /// The challenge could not be answered: no password, or refused again.
    Credentials,
    /// The other's SDP has no PCMU, or no address for it.
    NoSdp,
    /// Packets were sent and one side heard none of them.
    OneWay,
}

#[derive(Default)]
pub struct Tally {
    /// Of the whole run.
    pub whole: Figures,
    pub failures: BTreeMap<Failure, u64>,
    /// Challenges that were answered.
    pub challenges: u64,
    /// Repetitions by the server of what was already handled.
    pub repeats: u64,
    pub send_errors: u64,
    pub send_error: Option<String>,
    /// RTP packets that we sent late ourselves.
    pub late_sound: u64,
    /// RTP packets of no call that is going on.
    pub stray_sound: u64,
    /// Of a ramp.
    pub steps: Option<Steps>,
}

/// All of these take the time at which their unit began.
impl Tally {
    fn count(&mut self, began: Nanos, add: impl Fn(&mut Figures)) {
        add(&mut self.whole);
        if let Some(step) = self.steps.as_mut().and_then(|steps| steps.of(began)) {
            add(&mut step.figures);
        }
    }

    pub fn begin(&mut self, began: Nanos) {
        self.count(began, |f| f.started += 1);
    }

    pub fn succeed(&mut self, began: Nanos) {
        self.count(began, |f| f.ok += 1);
    }

    pub fn fail(&mut self, began: Nanos, failure: Failure) {
        self.count(began, |f| f.failed += 1);
        *self.failures.entry(failure).or_default() += 1;
    }

    pub fn repeat(&mut self, began: Nanos) {
        self.count(began, |f| f.retransmissions += 1);
    }

    /// `took` without the pauses that were asked for.
    pub fn set_up(&mut self, began: Nanos, took: Nanos) {
        self.count(began, |f| f.setup.record(took));
    }

    pub fn rang(&mut self, began: Nanos, took: Nanos) {
        self.count(began, |f| f.dial.record(took));
    }

    pub fn passed(&mut self, began: Nanos, took: Nanos) {
        self.count(began, |f| f.pass.record(took));
    }

    pub fn heard(&mut self, began: Nanos, sound: &CallSound) {
        self.count(began, |f| sound.add_to(&mut f.sound));
    }

    /// It belongs to no unit: it counts where it was met.
    pub fn unexpected(&mut self, now: Nanos) {
        self.count(now, |f| f.unexpected += 1);
    }

    pub fn send_failed(&mut self, error: &io::Error) {
        self.send_errors += 1;
        if self.send_error.is_none() {
            self.send_error = Some(error.to_string());
        }
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "{status}"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Credentials => f.write_str("credentials"),
            Failure::NoSdp => f.write_str("no usable SDP"),
            Failure::OneWay => f.write_str("one-way sound"),
        }
    }
}
