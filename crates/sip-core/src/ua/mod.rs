//! The server as a user agent of its own (RFC 3261 §8.2, §11): what it answers about itself, and how it answers at
//! all. Everything here is stateless (§8.2.7): the same request gets the same answer, tag included.

pub mod options;
pub mod refusal;
pub mod reply;

use sip_message::{Method, Request};

use crate::rejection::Rejection;

/// RFC 3261 §20.5: the methods the server itself takes. It forwards any.
pub const ALLOW: &str = "OPTIONS, REGISTER, ACK, CANCEL";

/// A request addressed to the server itself that it cannot serve (RFC 3261 §8.2.1).
pub fn refuse(request: &Request) -> Rejection {
    match request.method() {
        Method::Other(_) => Rejection::not_implemented(ALLOW),
        _ => Rejection::method_not_allowed(ALLOW),
    }
}
