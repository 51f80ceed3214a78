//! `Settings`: what a user agent is told once, at its start: who it is, where it listens, what it may prove and what it
//! supports. It never changes by itself and holds no state.

pub use crate::auth::client::{Credentials, Secret};
use crate::config::{Listener, Timers};
use crate::time::Duration;

use super::locate::NextHop;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of record, `sip:alice@example.com`: From of every request, and what is registered.
    pub aor: Box<str>,
    /// The display name before it.
    pub display: Option<Box<str>>,
    /// The Contact URI as it is written, `sip:alice@192.0.2.10:5062;transport=tcp`: the shell knows where it is bound.
    pub contact: Box<str>,
    /// Where it sends from. The place in this list is the `ListenerId` of a flow.
    pub listeners: Vec<Listener>,
    /// The outbound proxy: every request without a Route goes there (RFC 3261 §8.1.2).
    pub proxy: Option<NextHop>,
    /// The Request-URI of REGISTER; `None`: the domain of `aor` (RFC 3261 §10.2).
    pub registrar: Option<Box<str>>,
    pub credentials: Vec<Credentials>,
    /// RFC 4028: the session interval we ask for; `None`: we support timers and ask for none.
    pub session_expires: Option<Duration>,
    /// RFC 4028 §5: the shortest interval we agree to; 90 s at least.
    pub min_se: Duration,
    pub reliable: Reliable,
    pub timers: Timers,
    pub user_agent: Option<Box<str>>,
    /// Extra header lines, without their line ends, for every request.
    pub headers: Vec<Box<str>>,
    /// RFC 3261 §8.1.3.4: go where a 3xx points.
    pub follow_redirects: bool,
    /// RFC 5626 §4.4.1: how often a stream is kept open with CRLF while we are registered; zero: never.
    pub keep_alive: Duration,
    /// RFC 5626 §4.1: the `+sip.instance` of this device, `<urn:uuid:...>`, if it has one.
    pub instance: Option<Box<str>>,
    /// Calls at one time. One more INVITE is answered 486; one more `Command::Call` fails.
    pub calls_max: usize,
}

impl Settings {
    /// The usual settings of a phone; the four things every phone must say itself are arguments.
    pub fn new(aor: &str, contact: &str, listeners: Vec<Listener>, proxy: Option<NextHop>) -> Self {
        Self {
            aor: aor.into(),
            display: None,
            contact: contact.into(),
            listeners,
            proxy,
            registrar: None,
            credentials: Vec::new(),
            session_expires: None,
            min_se: Duration::from_secs(90),
            reliable: Reliable::Supported,
            timers: Timers::default(),
            user_agent: None,
            headers: Vec::new(),
            follow_redirects: true,
            keep_alive: Duration::from_secs(95),
            instance: None,
            calls_max: 32,
        }
    }
}

/// Reliable provisional responses (RFC 3262 §3, §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// `100rel` is not offered, and a caller that requires it is answered 420.
    Never,
    /// Offered as Supported; used towards a peer that supports or requires it.
    #[default]
    Supported,
    /// Required of every callee.
    Required,
}
