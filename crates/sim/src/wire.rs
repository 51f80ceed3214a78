//! `Trace`: every message that was put on the wire, with its fate. Ladders and checks read this and nothing else.

use std::collections::HashSet;
use std::rc::Rc;

use bytes::Bytes;
use sip_core::flow::ConnectionId;
use sip_core::time::Instant;

use crate::heard::Heard;
use crate::network::{Fate, PlaceId};

#[derive(Clone, Debug)]
pub struct Wire {
    pub sent: Instant,
    pub from: PlaceId,
    /// None: nobody has that address.
    pub to: Option<PlaceId>,
    pub connection: ConnectionId,
    pub reliable: bool,
    pub bytes: Bytes,
    pub message: Rc<Heard>,
    /// When its copies arrive.
    pub arrivals: Fate,
    /// The very same bytes went the same way before.
    pub again: bool,
}

impl Wire {
    /// The first copy's arrival, if it was not lost.
    pub fn arrived(&self) -> Option<Instant> {
        self.arrivals.iter().min().copied()
    }
}

#[derive(Debug, Default)]
pub struct Trace {
    pub wires: Vec<Wire>,
    /// Things that must never happen and were seen while the world ran.
    pub violations: Vec<String>,
    last_moved: Instant,
    seen: HashSet<(PlaceId, Option<PlaceId>, Bytes)>,
}

impl Trace {
    pub fn record(&mut self, mut wire: Wire) {
        wire.again = !self.seen.insert((wire.from, wire.to, wire.bytes.clone()));
        let last = wire.arrivals.iter().max().copied().unwrap_or(wire.sent);
        self.last_moved = self.last_moved.max(last);
        self.wires.push(wire);
    }

    /// When the last message was sent or arrived.
    pub fn last_moved(&self) -> Instant {
        self.last_moved
    }

    pub fn violation(&mut self, at: Instant, what: &str) {
        self.violations.push(format!("at {:.6}: {what}", at.0 as f64 / 1e6));
    }
}
