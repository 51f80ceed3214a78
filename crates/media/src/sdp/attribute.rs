//! The attributes a phone acts on (RFC 8866 §6, RFC 3605), read on demand from the lines that were kept.

use std::net::IpAddr;

use super::{Attribute, Connection, Media};

/// Who sends, from the point of view of the description's author (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other end.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow, seen from one end.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// `a=rtpmap:payload_type encoding/clock_rate[/channels]` (RFC 8866 §6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    pub payload_type: u8,
    pub encoding: &'a str,
    pub clock_rate: u32,
    pub channels: u8,
}

impl<'a> RtpMap<'a> {
    /// Whether there is a payload type and a name. The rate is missing even in messages of RFC 4475; that makes the
    /// format unknown and not the description unreadable.
    pub(super) fn is_named(value: &str) -> bool {
        let words = value.trim().split_once([' ', '\t']);
        words.is_some_and(|(number, map)| {
            payload_type_number(number).is_some() && !map.trim().starts_with('/')
        })
    }

    fn parse(value: &'a str) -> Option<Self> {
        let (payload_type, map) = value.trim().split_once([' ', '\t'])?;
        let mut parts = map.trim().split('/');
        let encoding = parts.next().filter(|name| !name.is_empty())?;
        let clock_rate = parts.next()?.parse().ok()?;
        let channels = match parts.next() {
            // For audio "the number of channels [...] may be omitted if the number of channels is one".
            None => 1,
            // Video may have text here; nobody reads it.
            Some(text) => text.parse().unwrap_or(1),
        };
        Some(Self {
            payload_type: payload_type_number(payload_type)?,
            encoding,
            clock_rate,
            channels,
        })
    }
}

/// `a=rtcp:port [IN IP4 address]` (RFC 3605 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpAttribute {
    pub port: u16,
    pub connection: Option<Connection>,
}

/// A payload type as RTP can carry it: 7 bits.
pub(super) fn payload_type_number(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < 128)
}

pub(super) fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes
        .iter()
        .filter(|a| a.value.is_none())
        .find_map(|a| Direction::ALL.into_iter().find(|d| d.name() == a.name))
}

impl Media {
    /// RTP in any profile: the formats are payload types.
    pub fn is_rtp(&self) -> bool {
        self.transport.split('/').any(|part| part == "RTP")
    }

    /// The value of the first `a=name:value`.
    pub fn attribute<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.attributes.iter().filter(move |a| a.name == name).filter_map(Attribute::value_str)
    }

    /// The payload types of `m=`, most preferred first (RFC 3264 §5.1).
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|f| payload_type_number(f))
    }

    pub fn rtp_map(&self, payload_type: u8) -> Option<RtpMap<'_>> {
        self.values("rtpmap").filter_map(RtpMap::parse).find(|map| map.payload_type == payload_type)
    }

    /// What follows `a=fmtp:FORMAT `.
    pub fn format_parameters(&self, format: &str) -> Option<&str> {
        self.values("fmtp").find_map(|value| {
            let value = value.trim();
            let (name, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
            (name == format).then(|| rest.trim())
        })
    }

    /// `a=ptime`, in milliseconds.
    pub fn ptime(&self) -> Option<u16> {
        self.attribute("ptime")?.trim().parse().ok()
    }

    /// The direction this media description states itself.
    pub fn direction(&self) -> Option<Direction> {
        direction(&self.attributes)
    }

    pub fn rtcp(&self) -> Option<RtcpAttribute> {
        let mut words = self.attribute("rtcp")?.split_ascii_whitespace();
        let port = words.next()?.parse().ok()?;
        let connection = match (words.next(), words.next(), words.next()) {
            (Some(_), Some(_), Some(address)) => {
                Some(Connection::new(address.parse::<IpAddr>().ok()?))
            }
            _ => None,
        };
        Some(RtcpAttribute { port, connection })
    }
}
