//! User agents (RFC 3261 §8): what the server answers about itself, and a whole phone without sound.
//!
//! ```text
//! options reply refusal                     the server as a user agent of its own (§8.2, §11): stateless (§8.2.7)
//! settings command event outbox             what a phone is told, asked and tells: its interface
//! user_agent stack                          UserAgent: one input in, everything that follows from it out
//! draft exchange outcome redirect locate    a request of ours through all its tries, until its owner hears of it
//! admit served reason                       a request of others: checked (§8.2), answered
//! calls call/ alarm                         INVITE and everything inside its dialogs
//! registration/ single                      REGISTER (§10), requests without a dialog
//! mint headers                              names nobody can guess; lines that many messages share
//! ```

mod admit;
mod alarm;
mod call;
mod calls;
pub mod command;
mod draft;
pub mod event;
mod exchange;
mod headers;
pub mod locate;
mod mint;
pub mod options;
pub mod outbox;
mod outcome;
mod reason;
mod redirect;
pub mod refusal;
pub(crate) mod registration;
pub mod reply;
mod served;
pub mod settings;
mod single;
mod stack;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
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
