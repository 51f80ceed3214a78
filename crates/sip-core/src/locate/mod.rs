//! Finding the next hop (RFC 3263): from a URI to the addresses it may lead to, in the order in which they are tried.
//!
//! ```text
//! name     record      the words of the DNS, as far as SIP needs them
//! sought               §4.1 §4.2: what a URI asks for
//! search               §4.1 §4.2: the machine; which question comes next and what an answer means
//! choice               RFC 2782: which of several, the same for every message of a call (§4.4)
//! cache                answers, for as long as they are good
//! failure              §4.3: who has just failed
//! ```
//!
//! It sends no query and waits for nothing: a [`Search`] says which [`Query`] it needs, and whoever holds it asks. The
//! answers of strangers are bounded here before anything is kept: how many, how long, how deep.

pub mod cache;
pub mod choice;
pub mod failure;
pub mod name;
pub mod record;
pub mod search;
pub mod sought;
#[cfg(test)]
pub(crate) mod tests;

pub use name::Name;
pub use record::{Found, Query, Record, RecordKind, Resolution};
pub use search::{Needs, Search, Why};
pub use sought::{Place, Sought};

use core::net::{IpAddr, SocketAddr};

use crate::flow::Transport;

/// Where one try goes (RFC 3263 §4): who is behind it does not matter any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub transport: Transport,
    pub address: SocketAddr,
}

impl core::fmt::Display for Destination {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// An address that means this machine or its own link: what no name of somebody else should lead to.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
    }
}

/// Somewhere a request can be sent to and be one request: not everywhere, not nowhere, not a group.
pub fn is_one_place(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}
