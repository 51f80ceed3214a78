//! The figures that limits are set on: of a whole run, or of one step of a ramp. They only go up.

use super::histogram::Histogram;

#[derive(Default)]
pub struct Figures {
    /// Units begun.
    pub started: u64,
    pub ok: u64,
    pub failed: u64,
    /// Messages of ours that had to be repeated.
    pub retransmissions: u64,
    /// Messages that are not ours, cannot be read, or make no sense now.
    pub unexpected: u64,
    /// Unit begun to unit successful, without pauses: a call's set-up, a registration, an answer to OPTIONS or MESSAGE.
    pub setup: Histogram,
    /// INVITE to 180.
    pub dial: Histogram,
    /// One way through the proxy: sent by one phone, received by the other.
    pub pass: Histogram,
}

impl Figures {
    pub fn finished(&self) -> u64 {
        self.ok + self.failed
    }

    /// Forgets the warm-up: latencies start anew, counters go on.
    pub fn restart_clocks(&mut self) {
        self.setup = Histogram::default();
        self.dial = Histogram::default();
        self.pass = Histogram::default();
    }
}
