//! What both ends agreed on: all a media stream needs to know about the signalling.

use std::net::{IpAddr, SocketAddr};

use super::format::{Encoding, Format};
use crate::codec::Codec;
use crate::sdp::{Connection, Description, Direction, Media};

/// The result of one offer and its answer, seen from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What we send, and under which payload type.
    pub codec: Codec,
    pub payload_type: u8,
    /// The payload type we send keys under; `None`: the peer does not take any.
    pub telephone_event: Option<u8>,
    /// What may arrive.
    pub receive: Vec<Format>,
    pub remote: Endpoint,
    pub remote_rtcp: Endpoint,
    pub direction: Direction,
    /// Milliseconds of audio the peer would like in each packet.
    pub ptime: Option<u16>,
}

/// Where media goes. The host is mostly an address; a name is left to whoever can resolve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `None`: the host is a name.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn new(connection: &Connection, port: u16) -> Self {
        let host = connection.address.split('/').next().unwrap_or_default().to_owned();
        Self { host, port }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.socket() {
            Some(socket) => socket.fmt(f),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What a media description of the peer says, before it is laid beside ours.
pub(super) struct Remote {
    pub endpoint: Endpoint,
    pub rtcp: Endpoint,
    /// As the peer sees it; what it asks for by `c=0.0.0.0` included.
    pub direction: Direction,
    pub ptime: Option<u16>,
}

impl Remote {
    /// `None`: no `c=` line applies.
    pub fn new(description: &Description, media: &Media) -> Option<Self> {
        let connection = description.connection_of(media)?;
        let mut direction = description.direction_of(media);
        // RFC 3264 §8.4: hold as RFC 2543 had it; "neither RTP nor RTCP should be sent to the peer".
        if connection.ip().is_some_and(|ip| ip.is_unspecified()) {
            direction = direction.and(Direction::SendOnly);
        }
        let rtcp = match media.rtcp() {
            Some(rtcp) => Endpoint::new(rtcp.connection.as_ref().unwrap_or(connection), rtcp.port),
            // RFC 3550 §11: the next higher port.
            None => Endpoint::new(connection, media.port.saturating_add(1)),
        };
        let ptime = media.ptime();
        Some(Self { endpoint: Endpoint::new(connection, media.port), rtcp, direction, ptime })
    }
}

impl Agreement {
    /// The first audio of `peer` that `ours` has too is what we send (RFC 3264 §6.1, §7).
    pub(super) fn new(
        ours: &[Format],
        peer: &[Format],
        remote: Remote,
        direction: Direction,
    ) -> Option<Self> {
        let has = |f: &&Format| ours.iter().any(|o| o.encoding == f.encoding);
        let chosen = peer.iter().filter(has).find_map(|f| Some((f.codec()?, f.payload_type)))?;
        let event = peer.iter().filter(has).find(|f| f.encoding == Encoding::TelephoneEvent);
        Some(Self {
            codec: chosen.0,
            payload_type: chosen.1,
            telephone_event: event.map(|f| f.payload_type),
            receive: ours.to_vec(),
            remote: remote.endpoint,
            remote_rtcp: remote.rtcp,
            direction,
            ptime: remote.ptime,
        })
    }

    /// What a payload type that arrives means.
    pub fn received_as(&self, payload_type: u8) -> Option<Encoding> {
        self.receive.iter().find(|f| f.payload_type == payload_type).map(|f| f.encoding)
    }
}
