//! `Outbox`: everything a node wants done. There is no other way out; the caller reuses it, turn after turn.

use bytes::Bytes;

use crate::ban;
use crate::config::Aor;
use crate::flow::Flow;
use crate::locate::{Query, Why};
use crate::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Outbox {
    pub transmits: Vec<Transmit>,
    pub asks: Vec<Ask>,
    pub events: Vec<Event>,
}

impl Outbox {
    pub fn clear(&mut self) {
        self.transmits.clear();
        self.asks.clear();
        self.events.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty() && self.asks.is_empty() && self.events.is_empty()
    }

    pub fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.transmits.push(Transmit { flow, bytes, token: None, second: None });
    }
}

/// One message to put on the wire. For streams with `connection` 0 the shell uses the connection it has to
/// `flow.remote`, or opens one.
#[derive(Clone, Debug)]
pub struct Transmit {
    pub flow: Flow,
    pub bytes: Bytes,
    /// Set on requests: a failure comes back as `Input::SendFailed`.
    pub token: Option<ClientToken>,
    /// Where it goes when the connection `flow` names is gone. Only for an ACK, which nobody would miss but the phone.
    pub second: Option<Flow>,
}

/// Names one client transaction of the node that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientToken {
    pub slot: u32,
    pub generation: u32,
}

/// Names one question of the node that asked it, among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId(pub u64);

/// The only way to wait: the shell answers with `Input::Answer` to the node that asked.
#[derive(Clone, Debug)]
pub struct Ask {
    pub id: AskId,
    pub question: Question,
}

#[derive(Clone, Debug)]
pub enum Question {
    /// Make these rows durable, all or none, before the 200 leaves.
    Store(Vec<BindingWrite>),
    /// What the DNS has to say (RFC 3263 §4); by then, nobody waits any longer.
    Resolve { query: Query, until: Instant },
}

/// One row of the location table. The pair (`aor`, `contact`) names it.
#[derive(Clone, Debug, PartialEq)]
pub enum BindingWrite {
    Put(Box<BindingRow>),
    Remove { aor: Aor, contact: Box<str> },
}

/// A binding as it is stored: RFC 3261 §10.2.1, §10.3 step 7.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingRow {
    pub aor: Aor,
    /// The Contact URI exactly as the phone wrote it, without angle brackets.
    pub contact: Box<str>,
    pub call_id: Box<str>,
    pub cseq: u32,
    /// q value in thousandths, 0..=1000 (RFC 3261 §20.10).
    pub q: u16,
    pub expires_at: Instant,
    pub modified_at: Instant,
    /// Where the REGISTER came from.
    pub flow: Flow,
    pub user_agent: Box<str>,
    /// The values of Path, separated by commas (RFC 3327); empty for none.
    pub path: Box<str>,
}

/// What the operator, the metrics and the records are told. The core never logs.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A datagram or a framed message that could not be read; one counter, and an answer only if one was possible.
    Malformed {
        flow: Flow,
        kind: &'static str,
        answered: bool,
    },
    /// A request that a room refused: an error that was a response.
    Rejected {
        flow: Flow,
        status: u16,
        reason: &'static str,
        fault: Fault,
        call_id: Box<str>,
    },
    /// The caller was told where to try instead (RFC 3261 §8.3).
    Redirected {
        flow: Flow,
        call_id: Box<str>,
    },
    /// Wrong or replayed credentials (a first, plain challenge is not an event).
    AuthFailed {
        flow: Flow,
        user: Box<str>,
        why: &'static str,
    },
    BindingAdded {
        aor: Aor,
        contact: Box<str>,
        flow: Flow,
        expires: Duration,
    },
    BindingRefreshed {
        aor: Aor,
        contact: Box<str>,
        flow: Flow,
        expires: Duration,
    },
    BindingRemoved {
        aor: Aor,
        contact: Box<str>,
        why: Removal,
    },
    /// A phone behind a NAT that used to answer pings has stopped.
    BindingSilent {
        aor: Aor,
        contact: Box<str>,
        flow: Flow,
    },
    /// It answers again, or has registered again.
    BindingAnswers {
        aor: Aor,
        contact: Box<str>,
        flow: Flow,
    },
    /// So many pings were sent to phones behind NATs.
    Pinged {
        count: u32,
    },
    PingAnswered,
    /// An INVITE got its final answer. `status` below 300: the call stands.
    CallAnswered {
        call: Box<CallRecord>,
    },
    /// The call is over: refused, cancelled, or ended by BYE.
    CallEnded {
        call: Box<CallRecord>,
        ended_by: EndedBy,
    },
    TransactionTimeout {
        call_id: Box<str>,
        method: Box<str>,
        flow: Flow,
    },
    SendFailed {
        call_id: Box<str>,
        flow: Flow,
    },
    /// A name leads nowhere, and why: the request goes nowhere either.
    Unresolved {
        call_id: Box<str>,
        uri: Box<str>,
        why: Why,
    },
    /// A next hop did not answer (408), or refused (503): another of the same name is tried.
    FailedOver {
        call_id: Box<str>,
        from: Flow,
        to: Flow,
        status: u16,
    },
    /// Somebody who guessed passwords is kept out for a while.
    Banned {
        row: ban::Row,
        flow: Flow,
    },
    /// A gateway has failed a request, with this status or one that stands for its silence, and another one is asked.
    GatewayFailed {
        call_id: Box<str>,
        gateway: Box<str>,
        flow: Flow,
        next: Box<str>,
        status: u16,
    },
    /// A gateway is used again, or not any more.
    GatewayChanged {
        gateway: Box<str>,
        state: &'static str,
        why: Box<str>,
    },
    LimitHit {
        limit: &'static str,
        flow: Option<Flow>,
    },
    StoreFailed {
        why: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The phone asked for it.
    Unregistered,
    Expired,
    /// An operator did it.
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The INVITE never got a 2xx.
    Refused,
    Caller,
    Callee,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct CallRecord {
    pub call_id: Box<str>,
    pub from: Box<str>,
    pub to: Box<str>,
    /// Final status of the INVITE; of the BYE for an ended call.
    pub status: u16,
    /// INVITE received to final answer, or to the end of the call.
    pub duration: Duration,
}

/// Whose fault a refusal is; drives the log level and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    PeerMisbehaved,
    Unsupported,
    Refused,
    Unavailable,
    Ours,
}
