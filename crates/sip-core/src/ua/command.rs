//! `Input` and `Command`: everything that can happen to a user agent, and what its user may ask of it. There is no
//! other way in. Bodies are opaque here: what is in an offer or an answer is its user's business (RFC 3264).

use bytes::Bytes;

use crate::flow::{ConnectionId, Flow};
use crate::output::{AskId, ClientToken};
use crate::time::Duration;

/// Names one call, ours or theirs; never used again. `UserAgent::new_call` gives one for `Command::Call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// Names one request outside dialogs. `UserAgent::new_request` gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// A message body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub content_type: Box<str>,
    pub bytes: Bytes,
}

impl Body {
    pub fn new(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), bytes: bytes.into() }
    }

    /// A session description (RFC 3264).
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self::new("application/sdp", bytes)
    }
}

#[derive(Clone, Debug)]
pub enum Input {
    /// One whole message: a datagram, or what `sip_message::frame` cut out of a stream. Only CRLFs: a keep-alive or its
    /// answer (RFC 5626 §3.5.1).
    Message {
        flow: Flow,
        bytes: Bytes,
    },
    /// A transmit that carried this token could not be sent (RFC 3261 §18.4).
    SendFailed {
        token: ClientToken,
    },
    /// A stream connection ended, for whatever reason.
    FlowClosed {
        connection: ConnectionId,
    },
    /// The reply to a [`Resolve`](super::outbox::Resolve): where the host can be reached, best first.
    Resolved {
        ask: AskId,
        flows: Result<Vec<Flow>, ResolveFailure>,
    },
    Command(Command),
    /// Time has passed; nothing else happened.
    Tick,
}

/// Why a name leads nowhere, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveFailure {
    pub why: Box<str>,
}

/// How a new offer travels inside a dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    Reinvite,
    /// RFC 3311; also before the call is answered.
    Update,
    /// UPDATE where the dialog is early or a re-INVITE could not be sent, re-INVITE otherwise (RFC 3311 §5.1).
    #[default]
    Either,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// Places a call. No body: an INVITE without an offer; the offer then comes with `Event::Answered`.
    Call {
        call: CallId,
        to: Box<str>,
        body: Option<Body>,
        with: CallOptions,
    },
    /// 101 to 199 to an incoming call. A body makes it early media; it goes reliably where the caller allows it.
    Ring {
        call: CallId,
        status: u16,
        body: Option<Body>,
    },
    /// 200 to an incoming call: the answer, or the offer when the INVITE had none. No body when a reliable provisional
    /// carried the answer.
    Answer {
        call: CallId,
        body: Option<Body>,
    },
    /// 300 to 699 to an incoming call; a 3xx brings its Contact lines in `headers`.
    Reject {
        call: CallId,
        status: u16,
        headers: Vec<Box<str>>,
    },
    /// Ends it: CANCEL, BYE or a refusal, whatever the state asks for. `Event::Ended` follows.
    HangUp {
        call: CallId,
    },
    /// The answer that the ACK carries, after `Event::Answered` with `acknowledge` (RFC 3264 §4: the 200 was the offer).
    Acknowledge {
        call: CallId,
        body: Option<Body>,
    },
    /// A new offer inside the dialog: hold, resume, new media.
    Offer {
        call: CallId,
        body: Body,
        by: By,
    },
    /// The answer to `Event::Offered`, or the offer when that had no body.
    AnswerOffer {
        call: CallId,
        body: Body,
    },
    /// `Event::Offered` is not acceptable: 488 (RFC 3261 §14.2), or another refusal.
    RefuseOffer {
        call: CallId,
        status: u16,
    },
    /// RFC 3515: asks the peer to call `to`; with `replaces`, in place of that other call of ours (attended transfer,
    /// RFC 3891). Progress comes as `Event::ReferProgress`.
    Refer {
        call: CallId,
        to: Box<str>,
        replaces: Option<CallId>,
    },
    /// 202 to `Event::Referred`. Its user then places `Command::Call` with `referred_by: Some(call)`, and the NOTIFYs
    /// with its progress go out by themselves (RFC 3515 §2.4.4).
    AcceptRefer {
        call: CallId,
    },
    RefuseRefer {
        call: CallId,
        status: u16,
    },
    /// INFO inside the dialog (RFC 6086), as old phones send digits.
    Info {
        call: CallId,
        body: Body,
    },
    /// Registers, and keeps the registration until `Unregister`.
    Register {
        expires: Duration,
    },
    /// Removes our binding, or with `all` every binding of the address of record (`Contact: *`).
    Unregister {
        all: bool,
    },
    /// Asks for the bindings and changes none (RFC 3261 §10.2.3): `Event::Registered` lists them.
    QueryBindings,
    /// One request outside dialogs: MESSAGE, OPTIONS or any other but INVITE, ACK, CANCEL and BYE.
    Request {
        request: RequestId,
        method: Box<str>,
        to: Box<str>,
        body: Option<Body>,
        headers: Vec<Box<str>>,
    },
}

/// What only some calls need.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Take over that call of ours at the peer: Replaces (RFC 3891). Seldom used directly: a transfer's Refer-To
    /// brings its own.
    pub replaces: Option<CallId>,
    /// Because of the REFER that was accepted in that call; its Replaces and Referred-By are used.
    pub referred_by: Option<CallId>,
    /// Extra header lines without their line ends.
    pub headers: Vec<Box<str>>,
}
