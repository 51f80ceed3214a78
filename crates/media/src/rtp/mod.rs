//! RTP (RFC 3550): the packet, and what a receiver counts about its source.

mod packet;
mod source;

pub use packet::{Extension, HEADER, Malformed, Packet};
pub use source::{Arrival, Source};

/// Whether a datagram on a port that carries both is RTCP (RFC 5761 §4): its packet types are those payload types
/// that RTP keeps free.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}
