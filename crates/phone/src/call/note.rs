//! What happens in `call`, as it happens, and what is to be said of a call when it is over. Words are the command line's.

use sip_core::config::Algorithm;
use sip_core::time::{Duration, Instant};
use sip_core::ua::EndedBy;

use crate::failure::Trouble;
use crate::media::stream::Figures;

use super::leg::Leg;

/// One line of what happens.
#[derive(Clone, Debug)]
pub struct Note {
    pub at: Instant,
    /// Numbers the calls of this program from 0.
    pub call: usize,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Calling {
        name: String,
        whom: String,
    },
    Challenged {
        code: u16,
        algorithm: Algorithm,
    },
    Redirected {
        to: String,
    },
    Trying,
    Ringing {
        code: u16,
        reason: String,
    },
    Incoming {
        from: String,
        replaces: bool,
    },
    Rejected {
        code: u16,
    },
    Answered {
        codec: Option<String>,
        remote: Option<String>,
        ours: bool,
    },
    Talking {
        talked: Duration,
        figures: Figures,
    },
    Held {
        by_us: bool,
    },
    Resumed {
        by_us: bool,
    },
    HoldRefused {
        why: String,
    },
    KeysSent {
        keys: String,
    },
    KeyHeard {
        key: char,
    },
    TransferAsked {
        to: String,
        attended: bool,
    },
    TransferProgress {
        code: u16,
        reason: String,
    },
    TransferDone {
        code: u16,
    },
    TransferFailed {
        why: String,
    },
    Referred {
        to: String,
        attended: bool,
    },
    /// A MESSAGE; it was answered.
    Text {
        from: String,
        text: String,
    },
    Warning {
        words: String,
    },
    Ended(Box<Report>),
}

/// What there is to say about one call that is over.
#[derive(Clone, Debug)]
pub struct Report {
    pub call: usize,
    pub peer: String,
    pub call_id: String,
    /// The final status.
    pub code: Option<u16>,
    pub ring: Option<Duration>,
    pub answer: Option<Duration>,
    pub talk: Option<Duration>,
    pub figures: Option<Figures>,
    /// Keys that came.
    pub keys: String,
    pub by: Option<EndedBy>,
    pub reason: Option<String>,
    /// Why it is a failure, if it is one.
    pub trouble: Option<Trouble>,
}

impl Report {
    pub fn new(call: usize, leg: &Leg, by: Option<EndedBy>, reason: Option<String>) -> Self {
        let since = |at: Option<Instant>| at.map(|at| at.since(leg.moments.begun));
        let talk = leg.moments.answered.zip(leg.moments.ended).map(|(from, to)| to.since(from));
        Self {
            call,
            peer: leg.peer.clone(),
            call_id: leg.call_id.clone(),
            code: leg.code,
            ring: since(leg.moments.ringing),
            answer: since(leg.moments.answered),
            talk,
            figures: leg.figures(),
            keys: leg.keys.clone(),
            by,
            reason,
            trouble: None,
        }
    }
}
