//! `Outbox`: everything a user agent wants done. There is no other way out; the caller reuses it, turn after turn.

use crate::flow::ConnectionId;
use crate::output::{AskId, Transmit};

use super::event::Event;
use super::locate::NextHop;

#[derive(Debug, Default)]
pub struct Outbox {
    pub transmits: Vec<Transmit>,
    /// Names to be resolved (RFC 3263): the shell answers each with `Input::Resolved`.
    pub resolves: Vec<Resolve>,
    pub events: Vec<Event>,
    /// Streams on which our keep-alives are not answered any more (RFC 5626 §4.4.1): the shell closes them
    /// before it sends `transmits`, which would otherwise leave by a stream that leads nowhere.
    pub closes: Vec<ConnectionId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    pub ask: AskId,
    pub hop: NextHop,
}

impl Outbox {
    pub fn clear(&mut self) {
        self.transmits.clear();
        self.resolves.clear();
        self.events.clear();
        self.closes.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
            && self.resolves.is_empty()
            && self.events.is_empty()
            && self.closes.is_empty()
    }
}
