//! The transaction layer of one node (RFC 3261 §17, RFC 6026): who owns the four machines, their bytes, their place
//! in memory and their deadlines.
//!
//! ```text
//! invite_client non_invite_client invite_server non_invite_server    decide: state x event -> actions
//! client server                                                      act: match, send, arm, remember, report
//! key branch                                                         §17.2.3 and §17.1.3: whose message this is
//! residue                                                            what is left of a finished one
//! large                                                              §18.1.1: too large for a datagram
//! slot                                                               where they live
//! ```
//!
//! It never routes, never answers by itself and never looks at a body. A finished transaction keeps only what a
//! late retransmission needs; the TU hears of the end of each with `ServerGone` or `ClientGone`, exactly once.

pub mod branch;
mod client;
pub mod invite_client;
pub mod invite_server;
mod key;
pub mod large;
pub mod non_invite_client;
pub mod non_invite_server;
mod residue;
mod server;
mod slot;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use hashbrown::HashTable;
use sip_message::ParseError;

pub use branch::{Branch, BranchParts};
pub use key::{Kind, ServerKey};

use crate::config::Timers;
use crate::flow::Flow;
use crate::output::{ClientToken, Outbox};
use crate::seal::Seal;
use crate::time::Instant;
use crate::timer::{Mark, Owner, TimerQueues};
use client::{ClientSlot, LiveClient};
use residue::{AckResidue, ResponseResidue};
use server::{LiveServer, ServerSlot};
use slot::Slots;

/// The TU's name for what a transaction works for; the layer only repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

/// Names one server transaction of this node; harmless after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId {
    slot: u32,
    generation: u32,
}

/// Names one client transaction of this node; harmless after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId {
    slot: u32,
    generation: u32,
}

impl BranchParts {
    /// The client transaction that a branch of ours names.
    pub const fn token(self) -> ClientToken {
        ClientToken { slot: self.slot, generation: self.generation }
    }
}

impl ClientId {
    pub const fn token(self) -> ClientToken {
        ClientToken { slot: self.slot, generation: self.generation }
    }
}

/// What a request turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Seen before, and answered if there was an answer. Nothing is left to do.
    Retransmission,
    /// An ACK for a failure we sent. Absorbed.
    Ack,
    /// An ACK that no failure of ours waits for: for a 2xx, so it is routed like any request in a dialog.
    AckForTwoXx,
    /// A CANCEL, repeated or not, and the INVITE it means. The TU answers it 200 (§9.2), whatever the INVITE's state.
    Cancel { server: ServerId, context: ContextId },
    /// A CANCEL for nothing we know: 481 (§9.2).
    CancelUnmatched,
    /// Not seen before: `accept` it, or answer without a transaction.
    New(ServerKey),
    /// What it would be matched by cannot be read: 400 if it can be answered at all.
    Unreadable(ParseError),
}

/// What a response turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// For the TU.
    Delivered(Delivered),
    /// Another 2xx of an INVITE that was handed over: to be passed through this server transaction.
    Repeated { server: ServerId },
    /// A repetition, or of a transaction that no TU waits for. Nothing is left to do.
    Absorbed,
    /// A 2xx to an INVITE of ours whose client transaction is gone: the MAC is ours, the call may stand. RFC 6026
    /// §7.3 forbids a proxy to forward what matches nothing, because a forged one could go anywhere; this one is not
    /// forged, so the TU may choose to forward it by Via, or to drop it.
    Stray,
    /// No request of ours asked for it. Drop it.
    Unmatched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub context: ContextId,
    pub fork: u16,
    pub client: ClientId,
}

/// What the TU must hear that no message tells. The two `Gone` come once for every transaction, last;
/// only one that was handed over ends in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Timer B or F: no final response in time. To be treated as a 408 (§16.7, §8.1.3.1).
    ClientTimeout {
        context: ContextId,
        fork: u16,
    },
    /// No final response 64*T1 after the CANCEL: the INVITE counts as cancelled (§9.1).
    ClientCancelled {
        context: ContextId,
        fork: u16,
    },
    /// The request could not be sent. To be treated as a 503 (§16.9, §8.1.3.1).
    TransportError {
        context: ContextId,
        fork: u16,
    },
    /// Timer H: the failure was never acknowledged (§17.2.1).
    /// Not a word for 6*T1 from somebody of whom that was to be told (§4.3 of RFC 3263); the transaction goes on.
    ClientSilent {
        context: ContextId,
        fork: u16,
    },
    ServerTimeout {
        context: ContextId,
    },
    ServerGone {
        context: ContextId,
    },
    ClientGone {
        context: ContextId,
        fork: u16,
    },
}

/// All transactions of one node.
pub struct TransactionLayer {
    node: u16,
    seal: Seal,
    timers: TimerQueues,
    servers: Slots<ServerSlot>,
    live_servers: Slots<LiveServer>,
    residues: Slots<ResponseResidue>,
    /// Of INVITEs in Accepted, where it is no UDP over IPv4.
    flows: Slots<Flow>,
    /// Server slots by their key.
    index: HashTable<u32>,
    clients: Slots<ClientSlot>,
    live_clients: Slots<LiveClient>,
    acks: Slots<AckResidue>,
    happenings: Vec<Happening>,
    /// For requests too large for a datagram; `None`: they go as one.
    streams: Option<large::Streams>,
}

impl TransactionLayer {
    /// The number of the node it belongs to.
    pub const fn node(&self) -> u16 {
        self.node
    }

    /// `node` goes into every branch; `seal` proves that this process wrote it.
    pub fn new(node: u16, seal: Seal, timers: &Timers) -> Self {
        Self {
            node,
            seal,
            timers: TimerQueues::new(timers),
            servers: Slots::new(),
            live_servers: Slots::new(),
            residues: Slots::new(),
            flows: Slots::new(),
            index: HashTable::new(),
            clients: Slots::new(),
            live_clients: Slots::new(),
            acks: Slots::new(),
            happenings: Vec::new(),
            streams: None,
        }
    }

    /// From now on large requests go by streams where they can (RFC 3261 §18.1.1).
    pub fn carry_large_by(&mut self, streams: large::Streams) {
        self.streams = Some(streams);
    }

    /// Fires what is due by `now` and appends what the TU must hear. To be called at the end of every turn: what
    /// other calls have to tell waits here too.
    pub fn tick(&mut self, now: Instant, out: &mut Outbox, happenings: &mut Vec<Happening>) {
        while let Some(mark) = self.timers.expire(now) {
            if is_stopped(&self.servers, &self.clients, mark) {
                continue;
            }
            let Some(timer) = mark.timer() else { continue };
            match mark.owner() {
                Owner::Server(slot) => self.server_timer(now, slot, timer, out),
                Owner::Client(slot) => self.client_timer(now, slot, timer, out),
            }
        }
        happenings.append(&mut self.happenings);
    }

    /// When `tick` next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.happenings.is_empty() { self.timers.next_deadline() } else { Some(Instant::ZERO) }
    }

    /// Transactions, finished ones included.
    pub fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Transactions that still hold a whole message.
    pub fn live_len(&self) -> usize {
        self.live_servers.len() + self.live_clients.len()
    }

    /// Timers waiting, stopped ones included.
    pub fn timers_len(&self) -> usize {
        self.timers.len()
    }
}

/// Whether the timer's owner is gone or stopped its timers since.
fn is_stopped(servers: &Slots<ServerSlot>, clients: &Slots<ClientSlot>, mark: Mark) -> bool {
    let (generation, epoch) = match mark.owner() {
        Owner::Server(slot) => (servers.generation(slot), servers.at(slot).map(|s| s.epoch)),
        Owner::Client(slot) => (clients.generation(slot), clients.at(slot).map(|c| c.epoch)),
    };
    !epoch.is_some_and(|epoch| mark.is_current(generation, epoch))
}
