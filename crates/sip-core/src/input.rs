//! `Input`: everything that can happen to a node. There is no other way in.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Config;
use crate::flow::{ConnectionId, Flow};
use crate::locate::Resolution;
use crate::nat::keepalive::Watched;
use crate::output::{AskId, ClientToken};

#[derive(Debug)]
pub enum Input {
    /// One whole message: a datagram, or what `sip_message::frame` cut out of a stream.
    Message {
        flow: Flow,
        bytes: Bytes,
    },
    /// A stream connection ended, for whatever reason.
    FlowClosed {
        connection: ConnectionId,
    },
    /// A transmit that carried this token could not be sent (RFC 3261 §18.4, §17.1.4).
    SendFailed {
        token: ClientToken,
    },
    /// ICMP says that a datagram that carried this token never reached `remote` (RFC 3261 §18.4).
    Unreachable {
        token: ClientToken,
        remote: SocketAddr,
    },
    /// The reply to an [`Ask`](crate::output::Ask).
    Answer {
        ask: AskId,
        answer: Answer,
    },
    Command(Command),
    /// A new configuration, whole.
    Config(Arc<Config>),
    /// Time has passed; nothing else happened.
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The write is durable.
    Stored,
    /// The write did not happen, and why, in words for the operator's log.
    StoreFailed(String),
    Resolved(Resolution),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Refuse new calls with 503 and finish what is under way.
    Drain,
    /// Ping these bindings, which were not registered here but found at the start.
    Watch(Vec<Watched>),
    /// This node asks the gateways, for all `nodes` of them.
    Tend { nodes: usize },
    /// Ask this gateway now.
    Probe { gateway: Box<str> },
}
