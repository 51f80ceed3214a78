//! User agents (RFC 3261 §8): what the server answers about itself, and a whole phone without sound.
//!
//! ```text
//! options reply                             the server as a user agent of its own (§8.2, §11): stateless (§8.2.7)
//! settings command event outbox             what a phone is told, asked and tells: its interface
//! user_agent                                UserAgent: one input in, everything that follows from it out
//! locate                                    where a request goes
//! ```

pub mod command;
pub mod event;
pub mod locate;
pub mod options;
pub mod outbox;
pub mod reply;
pub mod settings;
pub mod user_agent;

pub use command::{Body, By, CallId, CallOptions, Command, Input, RequestId, ResolveFailure};
pub use event::{EndedBy, Event, Failure, RegisteredContact, Registration, Subject};
pub use locate::NextHop;
pub use outbox::{Outbox, Resolve};
pub use settings::{Credentials, Reliable, Secret, Settings};
pub use user_agent::{Sizes, UserAgent};

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
