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
    /// Of calls that have ended.
    pub sound: Sound,
}

/// The RTP of calls with sound, both directions together.
#[derive(Default)]
pub struct Sound {
    /// Packets.
    pub sent: u64,
    /// Each counted once.
    pub received: u64,
    pub lost: u64,
    pub duplicates: u64,
    /// Of each stream in the end (RFC 3550 §6.4.1).
    pub jitter: Histogram,
    /// The share that the worst call lost, 0 to 1.
    pub worst: f64,
    /// Streams of which nothing arrived.
    pub silent: u64,
}

impl Sound {
    /// 0 to 1.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64
    }
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
