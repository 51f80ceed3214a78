//! Bytes to SIP messages and back (RFC 3261 §7, §19, §20, §25). Reading is one pass to offsets and allocates nothing
//! beyond the buffer; typed views parse on demand; what was not edited is written byte for byte as it came.
//!
//! It never touches a socket, a clock or a thread, never interprets a body, and never repairs a message in silence.

// The tests that count name this crate as its users do.
#[cfg(test)]
extern crate self as sip_message;

pub mod error;
pub mod frame;
pub mod head;
pub mod header;
pub mod limit;
pub mod message;
pub mod method;
pub mod name;
pub mod peek;
pub mod uri;
pub mod write;

mod brief;
mod byte;
mod check;
mod cursor;
mod edit;
mod line;
#[cfg(test)]
mod linear;
mod parse;

pub use brief::Brief;
pub use check::{Checked, CheckedHead, FirstRoute};
pub use error::{Malformed, ParseError, ParseErrorKind};
pub use head::Head;
pub use header::{CSeq, Contacts, Credentials, NameAddr, Params, Via, unescape_quoted};
pub use message::{Message, Request, Response};
pub use method::Method;
pub use name::Name;
pub use uri::{Host, Scheme, Uri};
