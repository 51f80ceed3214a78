//! `Event`: what a user agent tells its user. One `match` on it is a phone. Nothing here is a message: the words of a
//! failure say what, which and why.

use core::fmt;
use core::net::SocketAddr;

use crate::config::Algorithm;
use crate::flow::Flow;
use crate::time::Duration;

use super::command::{Body, CallId, RequestId};

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An INVITE for us: `Ring`, `Answer` or `Reject` it. Without a body its user makes the offer in `Answer`.
    /// `replaces`: it takes the place of that call, which ends once this one is answered (RFC 3891 §3).
    Incoming {
        call: CallId,
        from: Box<str>,
        to: Box<str>,
        body: Option<Body>,
        replaces: Option<CallId>,
        /// Every header, name and value, in order.
        headers: Vec<(Box<str>, Box<str>)>,
    },
    /// 100: the next hop has the INVITE.
    Trying {
        call: CallId,
    },
    /// 101 to 199. `early` numbers the early dialogs of a forked INVITE from 0, in order of appearance.
    Ringing {
        call: CallId,
        status: u16,
        reason: Box<str>,
        body: Option<Body>,
        early: usize,
    },
    /// 200 to our INVITE. `acknowledge`: the body is the offer, `Command::Acknowledge` must bring the answer.
    /// `early` as in `Ringing`: which of the early dialogs it was.
    Answered {
        call: CallId,
        body: Option<Body>,
        acknowledge: bool,
        early: usize,
    },
    /// Somebody asked for credentials, and they were given.
    Challenged {
        subject: Subject,
        code: u16,
        realm: Box<str>,
        algorithm: Algorithm,
    },
    /// A 3xx was followed to this URI.
    Redirected {
        subject: Subject,
        to: Box<str>,
    },
    /// The caller's ACK came: the call we answered stands.
    Established {
        call: CallId,
    },
    /// Our call was not answered.
    Failed {
        call: CallId,
        why: Failure,
    },
    /// The call is over. Nothing more is told of it, and its name means nothing any more.
    Ended {
        call: CallId,
        by: EndedBy,
        reason: Option<Box<str>>,
    },
    /// A new offer from the peer (re-INVITE, UPDATE, PRACK or a reliable provisional): `AnswerOffer` or `RefuseOffer`.
    /// No body: the peer asks us to offer.
    Offered {
        call: CallId,
        body: Option<Body>,
    },
    /// The answer to our offer, in whatever message it came.
    OfferAnswered {
        call: CallId,
        body: Body,
    },
    /// Our new offer was refused; the session goes on as before (RFC 3261 §14.1).
    OfferRefused {
        call: CallId,
        why: Failure,
    },
    /// The peer asks us to call `to`: `AcceptRefer` or `RefuseRefer`. `replaces`: the transfer is attended, and that
    /// call of ours, if it is one, is the other leg.
    Referred {
        call: CallId,
        to: Box<str>,
        by: Option<Box<str>>,
        attended: bool,
    },
    /// A NOTIFY of our REFER: how the peer's new call stands (RFC 3515 §2.4.5).
    ReferProgress {
        call: CallId,
        status: u16,
        reason: Box<str>,
    },
    /// Our REFER has come to its end: accepted and reported with the last status, or failed.
    ReferDone {
        call: CallId,
        outcome: Result<u16, Failure>,
    },
    /// INFO from the peer.
    InfoReceived {
        call: CallId,
        body: Option<Body>,
    },
    /// The answer to our INFO.
    InfoAnswered {
        call: CallId,
        outcome: Result<(), Failure>,
    },
    /// RFC 4028: an interval was agreed on; `ours`: we refresh.
    SessionTimer {
        call: CallId,
        interval: Duration,
        ours: bool,
    },
    Registered(Box<Registration>),
    RegistrationFailed {
        why: Failure,
        retry: Option<Duration>,
    },
    Unregistered,
    MessageReceived {
        from: Box<str>,
        to: Box<str>,
        body: Option<Body>,
        call_id: Box<str>,
    },
    /// A provisional or final answer to a `Command::Request`.
    Response {
        request: RequestId,
        status: u16,
        reason: Box<str>,
        body: Option<Body>,
        headers: Vec<(Box<str>, Box<str>)>,
        /// Who answered.
        from: Flow,
        /// From the request to this answer, challenges and redirections included.
        took: Duration,
    },
    RequestFailed {
        request: RequestId,
        why: Failure,
    },
}

/// What an event about a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Call(CallId),
    Registration,
    Request(RequestId),
}

/// What a registrar said.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Of our binding; zero after a query that found none of ours.
    pub expires: Duration,
    /// Every binding of the address of record, ours included.
    pub contacts: Vec<RegisteredContact>,
    /// The address our request came from, as the first hop saw it (RFC 3581): another than ours is a NAT.
    pub seen: Option<SocketAddr>,
    pub flow: Flow,
    /// Requests sent until it was accepted.
    pub round_trips: u32,
    pub took: Duration,
    /// `None`: nobody asked for credentials.
    pub algorithm: Option<Algorithm>,
    /// This was a refresh.
    pub again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredContact {
    pub uri: Box<str>,
    pub expires: Duration,
    pub ours: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    Us,
    Peer,
    /// RFC 4028 §10: nobody refreshed the session.
    SessionTimer,
    /// RFC 3261 §13.3.1.4: our 200 was never acknowledged.
    NoAck,
    /// RFC 3891: another call took its place.
    Replaced,
    /// RFC 3262 §3: our reliable provisional was never acknowledged.
    NoPrack,
    /// RFC 3261 §12.2.1.2: the peer does not know the dialog any more, or does not answer.
    Lost,
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// A final response of 300 to 699. `explanation`: its Warning or Reason header, as written.
    Status {
        code: u16,
        reason: Box<str>,
        explanation: Option<Box<str>>,
        retry_after: Option<Duration>,
    },
    /// Nobody answered for 64*T1 (RFC 3261 §8.1.3.1: as if 408).
    Timeout {
        method: Box<str>,
        flow: Flow,
    },
    /// It could not be sent (RFC 3261 §8.1.3.1: as if 503).
    Transport {
        method: Box<str>,
        flow: Flow,
    },
    /// The name of the next hop leads nowhere.
    Unresolvable {
        host: Box<str>,
        why: Box<str>,
    },
    /// No listener of ours reaches there: another transport or address family.
    Unreachable {
        uri: Box<str>,
    },
    /// The credentials were given and not accepted. They are not tried again.
    CredentialsRefused {
        code: u16,
        realm: Box<str>,
        user: Box<str>,
    },
    /// Nothing configured proves us to this realm.
    NoCredentials {
        code: u16,
        realm: Box<str>,
    },
    /// A challenge from somebody who is not our proxy or registrar. It was not answered: the answer could be used to
    /// guess our password.
    ChallengeNotTrusted {
        realm: Box<str>,
        flow: Flow,
    },
    /// A challenge with no algorithm or scheme that we know.
    ChallengeUnknown {
        code: u16,
    },
    /// A 3xx to where the request has been already.
    RedirectLoop {
        uri: Box<str>,
    },
    RedirectsTooMany,
    /// A bound was hit; which.
    Limit {
        limit: &'static str,
    },
    /// The command does not fit the state; why.
    NotPossible {
        why: &'static str,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, reason, explanation, .. } => {
                write!(f, "{code} {reason}")?;
                explanation.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
            }
            Self::Timeout { method, flow } => write!(f, "no answer to {method} from {flow}"),
            Self::Transport { method, flow } => write!(f, "{method} could not be sent to {flow}"),
            Self::Unresolvable { host, why } => write!(f, "{host} leads nowhere: {why}"),
            Self::Unreachable { uri } => {
                write!(f, "{uri} needs a transport or an address family that we have not")
            }
            Self::CredentialsRefused { code, realm, user } => {
                write!(f, "{code}: {realm} refused the password of {user}")
            }
            Self::NoCredentials { code, realm } => {
                write!(f, "{code}: {realm} asks for a password, and none is known for it")
            }
            Self::ChallengeNotTrusted { realm, flow } => write!(
                f,
                "{flow} asks for the password of {realm}, and is neither our proxy nor our registrar"
            ),
            Self::ChallengeUnknown { code } => {
                write!(f, "{code}: it asks for a kind of proof other than digest SHA-256 or MD5")
            }
            Self::RedirectLoop { uri } => write!(f, "redirected in a circle, back to {uri}"),
            Self::RedirectsTooMany => f.write_str("redirected too often"),
            Self::Limit { limit } => write!(f, "the limit {limit} is reached"),
            Self::NotPossible { why } => f.write_str(why),
        }
    }
}

impl core::error::Error for Failure {}
