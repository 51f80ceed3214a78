//! A session description (RFC 4566, RFC 8866): what it says as types, and everything else kept as it came.
//!
//! Reading checks what a phone acts on (`v= o= c= m= a=rtpmap a=fmtp`) and is lenient with the rest: lines may end
//! in LF, `s=` and `t=` may be missing, unknown lines are kept. It never guesses a value it could not read.

mod attribute;
mod error;
mod parse;
mod write;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use attribute::{Direction, RtcpAttribute, RtpMap};
pub use error::{ParseError, ParseErrorKind};

/// A body longer than this many bytes is refused unread.
pub const BODY_MAX: usize = 16 * 1024;
/// Media descriptions in one body.
pub const MEDIA_MAX: usize = 32;

/// A whole session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub origin: Origin,
    /// `s=`.
    pub name: Text,
    /// `c=` of the session: for every media description without its own.
    pub connection: Option<Connection>,
    /// `i= u= e= p= b= t= r= z= k=` and letters nobody knows, in the order they came.
    pub others: Vec<Line>,
    pub attributes: Vec<Attribute>,
    pub media: Vec<Media>,
}

/// `o=`: who made the description, and which version of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub username: String,
    /// Digits by the grammar; text, because some are longer than any integer.
    pub session_id: String,
    pub version: String,
    pub net_type: String,
    pub address_type: String,
    pub address: String,
}

/// `c=`: where media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub net_type: String,
    pub address_type: String,
    /// An address, a name, or an address with `/ttl`.
    pub address: String,
}

/// One `m=` line and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image`, ...
    pub kind: String,
    /// 0: this stream is refused, or ended (RFC 3264 §6, §8.2).
    pub port: u16,
    /// The number after `port/`.
    pub port_count: Option<u16>,
    /// `RTP/AVP`, `UDP/TLS/RTP/SAVPF`, ...
    pub transport: String,
    /// For RTP transports payload types, below 128.
    pub formats: Vec<String>,
    pub connection: Option<Connection>,
    /// Further `c=`, `i= b= k=` and letters nobody knows, in the order they came.
    pub others: Vec<Line>,
    pub attributes: Vec<Attribute>,
}

/// `a=name` or `a=name:value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: Option<Text>,
}

/// A line that is kept and not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub letter: char,
    pub value: Text,
}

/// Text of somebody else, in any character set, without CR, LF and NUL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None` if it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&[u8]> for Text {
    /// Leaves out what would end the line.
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n' | 0)).collect())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Description {
    /// Reads a body.
    ///
    /// # Errors
    /// The first line that cannot be understood, by its number.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        parse::description(body)
    }

    /// The body, in the order of RFC 8866 §5, every line with CRLF.
    pub fn write(&self) -> Vec<u8> {
        write::description(self)
    }

    /// Where the media of `media` goes: its own `c=`, else the session's (RFC 8866 §5.7).
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction of `media` as its author sees it: its own, else the session's, else `sendrecv` (RFC 8866 §6.7).
    pub fn direction_of(&self, media: &Media) -> Direction {
        media.direction().or(attribute::direction(&self.attributes)).unwrap_or(Direction::SendRecv)
    }
}

impl Origin {
    pub fn new(session_id: u64, version: u64, address: IpAddr) -> Self {
        Self {
            username: "-".to_owned(),
            session_id: session_id.to_string(),
            version: version.to_string(),
            net_type: "IN".to_owned(),
            address_type: address_type(address).to_owned(),
            address: address.to_string(),
        }
    }
}

impl Connection {
    pub fn new(address: IpAddr) -> Self {
        Self {
            net_type: "IN".to_owned(),
            address_type: address_type(address).to_owned(),
            address: address.to_string(),
        }
    }

    /// The address without its `/ttl`; `None` if it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.split('/').next()?.parse().ok()
    }
}

const fn address_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

impl Attribute {
    /// `a=name`.
    pub fn flag(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }

    /// `a=name:value`.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }

    fn value_str(&self) -> Option<&str> {
        self.value.as_ref().and_then(Text::as_str)
    }
}
