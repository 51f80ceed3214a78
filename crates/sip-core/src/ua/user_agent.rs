//! `UserAgent`: a whole phone without sound. One input in, everything that follows from it out. It never blocks, never
//! reads a clock and never looks into a body.

use crate::output;
use crate::time::Instant;

use super::command::{CallId, Input, RequestId};
use super::outbox::Outbox;
use super::settings::Settings;

pub struct UserAgent {
    settings: Settings,
    names: u32,
    /// Reused from turn to turn.
    wire: output::Outbox,
}

/// What each table holds; all zero when nothing is under way. A registration that stands is not under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Finished ones, which linger for late retransmissions, included.
    pub transactions: usize,
    pub timers: usize,
    /// Requests of ours that wait for a name or an answer.
    pub exchanges: usize,
    /// Requests of others that wait for our answer, or for the end of their transaction.
    pub served: usize,
    pub calls: usize,
    pub alarms: usize,
    pub resolves: usize,
}

impl UserAgent {
    /// `seed`: 16 random bytes; every tag, branch, Call-ID and cnonce follows from it.
    pub fn new(settings: Settings, _seed: [u8; 16]) -> Self {
        Self { settings, names: 0, wire: output::Outbox::default() }
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A name for a call that is to be placed.
    pub const fn new_call(&mut self) -> CallId {
        self.names += 1;
        CallId(self.names)
    }

    /// A name for a request that is to be sent.
    pub const fn new_request(&mut self) -> RequestId {
        self.names += 1;
        RequestId(self.names)
    }

    /// Feeds one input; everything that follows from it is in `out` on return.
    pub fn handle(&mut self, _now: Instant, _input: Input, out: &mut Outbox) {
        out.transmits.append(&mut self.wire.transmits);
    }

    /// When `handle` wants to be called at the latest.
    pub const fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub fn sizes(&self) -> Sizes {
        Sizes::default()
    }
}
