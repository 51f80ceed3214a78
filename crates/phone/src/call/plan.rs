//! What `call` is to do: whom to call or how to answer, what to say, what to do when, what to expect. No socket, no state.

use std::time::Duration;

use super::leg::Audio;

#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to call; `None`: wait to be called.
    pub call: Option<Outgoing>,
    pub answer: Option<Answering>,
    pub audio: Audio,
    /// Hang up so long after the answer.
    pub talk: Option<Duration>,
    /// What to do when, after the answer, in order of time. For the call we place, and each one we answer.
    pub script: Vec<(Duration, Action)>,
    pub expect: Option<u16>,
    pub expect_audio: bool,
    /// How long to wait for the first response.
    pub timeout: Duration,
    /// `Note::Talking` so often; `None`: never.
    pub show_every: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `sip:bob@example.com`.
    pub uri: String,
    /// As a person wrote it.
    pub name: String,
    /// Whom we wait for, for a failure.
    pub whom: String,
}

/// How incoming calls are answered.
#[derive(Clone, Debug)]
pub struct Answering {
    pub code: u16,
    /// Ring so long before.
    pub delay: Duration,
    /// Leave after so many calls.
    pub count: Option<u32>,
    /// Header lines of a refusal, as `Contact` of a 302.
    pub headers: Vec<Box<str>>,
}

/// Something to do in a call, by the clock or by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Hold,
    Resume,
    /// Hold, or resume when on hold.
    ToggleHold,
    Digits(String),
    Transfer {
        to: String,
        attended: bool,
    },
    HangUp,
}
