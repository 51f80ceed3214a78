//! `Flow`: an addressable path to a peer (RFC 5626 §3.1's word). It holds no socket; the shell resolves it.

use core::fmt;
use core::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// RFC 3261 §17: on a reliable transport nothing is retransmitted hop by hop.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The token of the Via header (RFC 3261 §20.42).
    pub const fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The value of the `transport` URI parameter (RFC 3261 §19.1.1).
    pub const fn uri_token(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_token())
    }
}

/// Index into `Config::listeners`: which of our addresses the bytes came to or leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ListenerId(pub u16);

/// One accepted or opened stream connection; never reused while the process lives. 0 is no connection: for
/// datagrams, and for "use the open connection to `remote`, or open one".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    pub const NONE: ConnectionId = ConnectionId(0);
    /// Whichever is open to `remote`; none is opened.
    pub const OPEN: ConnectionId = ConnectionId(u64::MAX);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    pub transport: Transport,
    pub listener: ListenerId,
    pub connection: ConnectionId,
    pub remote: SocketAddr,
}

impl Flow {
    pub const fn udp(listener: ListenerId, remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, listener, connection: ConnectionId::NONE, remote }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.remote)
    }
}
