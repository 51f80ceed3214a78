//! What happened in a run: units begun, done and failed, and how long things took. Counters only go up.

use std::collections::BTreeMap;
use std::io;

use super::histogram::Histogram;
use super::timer::Nanos;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A final answer that ends the unit.
    Status(u16),
    /// Nothing within 64*T1.
    Timeout,
    /// The challenge could not be answered: no password, or refused again.
    Credentials,
}

#[derive(Default)]
pub struct Tally {
    pub started: u64,
    pub ok: u64,
    pub failed: u64,
    pub failures: BTreeMap<Failure, u64>,
    /// Messages of ours that had to be repeated.
    pub retransmissions: u64,
    /// Challenges that were answered.
    pub challenges: u64,
    /// Messages that are not ours, cannot be read, or make no sense now.
    pub unexpected: u64,
    /// Repetitions by the server of what was already handled.
    pub repeats: u64,
    pub send_errors: u64,
    pub send_error: Option<String>,
    /// Unit begun to unit successful, without pauses: a call's set-up, a registration, an answer to OPTIONS.
    pub setup: Histogram,
    /// INVITE to 180.
    pub dial: Histogram,
    /// One way through the proxy: sent by one phone, received by the other.
    pub pass: Histogram,
}

impl Tally {
    pub fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        *self.failures.entry(failure).or_default() += 1;
    }

    pub fn finished(&self) -> u64 {
        self.ok + self.failed
    }

    pub fn send_failed(&mut self, error: &io::Error) {
        self.send_errors += 1;
        if self.send_error.is_none() {
            self.send_error = Some(error.to_string());
        }
    }

    pub fn passed(&mut self, sent: Nanos, now: Nanos) {
        self.pass.record(now.saturating_sub(sent));
    }

    /// Forgets the warm-up: latencies start anew, counters go on.
    pub fn restart_clocks(&mut self) {
        self.setup = Histogram::default();
        self.dial = Histogram::default();
        self.pass = Histogram::default();
    }
}
