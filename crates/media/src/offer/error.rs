//! Why an offer or an answer cannot be used, with the response and the Warning code it earns (RFC 3261 §20.43).

use std::net::IpAddr;

use super::{Event, State};
use crate::sdp::MEDIA_MAX;

/// Somebody spoke out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct OutOfOrder {
    pub state: State,
    pub event: Event,
}

impl OutOfOrder {
    /// The response a request with this offer earns (RFC 3261 §14.2, RFC 3311 §5.2): 491 when ours is under way, 500
    /// with a Retry-After of 0 to 10 seconds when the peer's last one is. `None`: the mistake is ours.
    pub const fn status(self) -> Option<u16> {
        match (self.state, self.event) {
            (State::OfferSent, Event::ReceiveOffer) => Some(491),
            (State::OfferReceived, Event::ReceiveOffer) => Some(500),
            _ => None,
        }
    }

    const fn words(self) -> &'static str {
        match (self.state, self.event) {
            (State::OfferSent, Event::ReceiveOffer) => "our offer is still waiting for its answer",
            (State::OfferReceived, Event::ReceiveOffer) => {
                "the peer offers again before its last offer was answered"
            }
            (State::OfferSent, _) => "our offer must be answered first",
            (State::OfferReceived, _) => "the peer's offer must be answered first",
            (State::Stable, _) => "no offer is waiting",
        }
    }
}

/// Why an offer is refused with 488 (RFC 3261 §21.4.26).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the offer has no audio: it offers {offered}")]
    NoAudio { offered: String },
    #[error("the offer has audio only over {offered}; we speak RTP/AVP")]
    Transport { offered: String },
    #[error("no common codec: offered {offered}; ours are {ours}")]
    NoCommonCodec { offered: String, ours: String },
    #[error("the audio stream has no c= line, neither of its own nor of the session")]
    NoConnection,
    #[error("audio to {offered} cannot be reached from {ours}: one is IPv4, the other IPv6")]
    AddressFamily { offered: IpAddr, ours: IpAddr },
    #[error(
        "the offer takes back media descriptions: {offered} m= lines, before there were {before}"
    )]
    MediaRemoved { offered: usize, before: usize },
}

impl Refusal {
    pub const fn status(&self) -> u16 {
        488
    }

    /// The warn-code that says the same.
    pub const fn warning(&self) -> u16 {
        match self {
            Self::NoConnection => 300,
            Self::AddressFamily { .. } => 301,
            Self::Transport { .. } => 302,
            Self::NoAudio { .. } => 304,
            Self::NoCommonCodec { .. } => 305,
            Self::MediaRemoved { .. } => 399,
        }
    }
}

/// An offer that cannot be taken or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("a description cannot have more than {MEDIA_MAX} media, and all are taken")]
    MediaTooMany,
}

impl OfferError {
    /// The response to the request that carried the offer; `None` if the mistake is ours.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::OutOfOrder(error) => error.status(),
            Self::Refused(refusal) => Some(refusal.status()),
            Self::MediaTooMany => None,
        }
    }
}

/// An answer that does not fit our offer. The call has to end: nothing was agreed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    #[error(
        "the answer has {answered} m= lines, the offer had {offered} (RFC 3264 §6 wants as many)"
    )]
    MediaCount { offered: usize, answered: usize },
    #[error("the answer to our audio is of kind {0}")]
    MediaKind(String),
    #[error("the peer refused the audio stream (port 0)")]
    AudioRefused,
    #[error("the answer has none of the codecs offered: answered {answered}; offered {offered}")]
    NoCommonCodec { answered: String, offered: String },
    #[error("the answer has no c= line for the audio stream")]
    NoConnection,
    #[error("the answer wants audio at {answered}, which cannot be reached from {ours}")]
    AddressFamily { answered: IpAddr, ours: IpAddr },
}
