//! Offer and answer (RFC 3264) for one audio stream, pure: who may speak next, what is said, what was agreed. All
//! other media are refused with port 0. It opens no port and resolves no name; it is told where we listen.

mod agreement;
mod description;
mod error;
mod format;
mod negotiation;
mod state;

#[cfg(test)]
mod tests;

pub use crate::sdp::Direction;
pub use agreement::{Agreement, Endpoint};
pub use error::{AnswerError, OfferError, OutOfOrder, Refusal};
pub use format::{Encoding, Format};
pub use negotiation::{Capability, Negotiation};
pub use state::{Event, State};
