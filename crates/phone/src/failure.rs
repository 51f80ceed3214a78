//! What a person reads when it did not work: what, which, why and what next, and the exit code of `ringway help
//! exit-codes`. One table for all programs of the phone; it decides nothing else.

use std::fmt;
use std::io;
use std::time::Duration;

use sip_core::flow::Flow;
use sip_core::ua::Failure;

use crate::engine::Engine;
use crate::target::TargetError;
use crate::transport::BindError;

/// The kind of a failure: stable names for `--json`, and an exit code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for cannot be: a transport that is not built, a contradiction.
    Usage,
    /// A name that leads nowhere.
    Unresolvable,
    /// Nobody listens there, by ICMP or by TCP.
    ConnectionRefused,
    /// No way there, or the stream broke.
    Unreachable,
    PortInUse,
    /// A file that is no sound, or cannot be read or written.
    File,
    /// Nobody said anything in time.
    NoAnswer,
    /// Asked for a password again after it was given.
    CredentialsRefused,
    /// Asked for a password, and there is none.
    NoCredentials,
    /// 403.
    Forbidden,
    /// Another final answer of 300 or more.
    Refused,
    /// Another final answer than the one expected.
    Unexpected,
    /// `--expect-audio`: nothing came.
    NoAudio,
    /// `--expect-audio`: sound in one direction only.
    OneWayAudio,
    /// The call ended otherwise than it should.
    Ended,
    /// There is no such user in the store.
    NoUser,
    /// No server runs, and there is no store.
    NoServer,
    /// What is no fault of the network or the peer.
    Internal,
}

impl Kind {
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Refused | Self::Unexpected | Self::NoAudio | Self::OneWayAudio | Self::Ended => 1,
            Self::NoUser | Self::Internal => 1,
            Self::Usage | Self::File => 2,
            Self::NoAnswer => 3,
            Self::Unresolvable | Self::ConnectionRefused | Self::Unreachable | Self::PortInUse => 4,
            Self::CredentialsRefused | Self::NoCredentials | Self::Forbidden => 5,
            Self::NoServer => 6,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Unresolvable => "unresolvable",
            Self::ConnectionRefused => "connection-refused",
            Self::Unreachable => "unreachable",
            Self::PortInUse => "port-in-use",
            Self::File => "file",
            Self::NoAnswer => "no-answer",
            Self::CredentialsRefused => "credentials-refused",
            Self::NoCredentials => "no-credentials",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Unexpected => "unexpected",
            Self::NoAudio => "no-audio",
            Self::OneWayAudio => "one-way-audio",
            Self::Ended => "ended",
            Self::NoUser => "no-user",
            Self::NoServer => "no-server",
            Self::Internal => "internal",
        }
    }
}

/// A failure in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    /// The final status, where there was one.
    pub code: Option<u16>,
    /// What did not work, and which: `call to bob@example.com`.
    pub what: String,
    pub why: String,
    pub next: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.what, self.why, self.next)
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    pub fn new(
        kind: Kind,
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { kind, code: None, what: what.into(), why: why.into(), next: next.into() }
    }

    pub const fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// What the agent said about a request. `what`: `call to bob@example.com`.
    pub fn of(what: &str, failure: &Failure, engine: &Engine) -> Self {
        let (kind, next) = match failure {
            Failure::Status { code, reason, explanation, retry_after } => {
                return Self::status(what, *code, reason, explanation.as_deref(), *retry_after);
            }
            Failure::Transport { flow, .. } => {
                return unsent(what, flow, engine.trouble(flow.remote));
            }
            Failure::Unresolvable { host, why } => return unresolvable(what, host, why),
            Failure::CredentialsRefused { .. }
            | Failure::NoCredentials { .. }
            | Failure::ChallengeNotTrusted { .. }
            | Failure::ChallengeUnknown { .. } => return credentials(what, failure),
            Failure::Timeout { flow, .. } => (Kind::NoAnswer, silence_hint(flow)),
            Failure::Unreachable { .. } => {
                (Kind::Unreachable, "choose our side with --bind ADDRESS".to_owned())
            }
            Failure::RedirectLoop { .. } | Failure::RedirectsTooMany => {
                (Kind::Refused, "run again with -v to see who redirects to whom".to_owned())
            }
            Failure::Limit { .. } | Failure::NotPossible { .. } => {
                (Kind::Internal, "run again with -v to see the messages".to_owned())
            }
        };
        Self::new(kind, what, failure.to_string(), next)
    }

    /// A final answer of 300 or more, in words for the person who asked.
    pub fn status(
        what: &str,
        code: u16,
        reason: &str,
        explanation: Option<&str>,
        retry_after: Option<Duration>,
    ) -> Self {
        let kind = match code {
            401 | 407 => Kind::CredentialsRefused,
            403 => Kind::Forbidden,
            _ => Kind::Refused,
        };
        let (meaning, next) = meaning(code);
        let mut why = format!("{code} {reason}: {meaning}");
        if let Some(explanation) = explanation {
            why.push_str(&format!(" ({explanation})"));
        }
        let next = match retry_after {
            Some(after) => format!("{next}; it asks to be left alone for {} s", after.as_secs()),
            None => next.to_owned(),
        };
        Self { code: Some(code), ..Self::new(kind, what, why, next) }
    }

    /// Silence for as long as the caller wanted to wait.
    pub fn silence(what: &str, whom: &str, waited: &str) -> Self {
        let why = format!("no answer from {whom} in {waited}");
        let next = "is a SIP server there, and does a firewall drop UDP? Try tcp:HOST, or a longer --timeout";
        Self::new(Kind::NoAnswer, what, why, next)
    }

    pub fn unresolvable(what: &str, host: &str, why: &str) -> Self {
        unresolvable(what, host, why)
    }

    pub fn bind(what: &str, error: &BindError) -> Self {
        let why = error.to_string();
        match error.error.kind() {
            io::ErrorKind::AddrInUse => {
                let next = "somebody has this port (ss -lntup): stop it, or choose another port";
                Self::new(Kind::PortInUse, what, why, next)
            }
            io::ErrorKind::AddrNotAvailable => Self::new(
                Kind::Unreachable,
                what,
                why,
                "this machine has no such address (ip addr)",
            ),
            io::ErrorKind::PermissionDenied => Self::new(
                Kind::Unreachable,
                what,
                why,
                "ports below 1024 need CAP_NET_BIND_SERVICE",
            ),
            _ => Self::new(Kind::Unreachable, what, why, "choose our side with --bind ADDRESS"),
        }
    }

    pub fn target(error: &TargetError) -> Self {
        let text = error.to_string();
        let (why, next) = text.split_once("; ").unwrap_or((&text, "see --help"));
        let what = match error {
            TargetError::NotBuilt(name) => format!("transport {name}"),
            TargetError::Unreadable { .. } => "the address".to_owned(),
        };
        Self::new(Kind::Usage, what, why, next)
    }

    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::new(Kind::Internal, what, error.to_string(), "see ulimit -n and the kernel's log")
    }
}

fn unresolvable(what: &str, host: &str, why: &str) -> Trouble {
    let why = format!("no such host {host}: {why}");
    let next = "check the name, or name the server with --proxy HOST";
    Trouble::new(Kind::Unresolvable, what, why, next)
}

fn silence_hint(flow: &Flow) -> String {
    let other = match flow.transport {
        sip_core::flow::Transport::Udp => "tcp",
        sip_core::flow::Transport::Tcp => "udp",
    };
    format!("is a SIP server there, and does a firewall drop it? Try {other}:{}", flow.remote)
}

/// A request that never left, or got lost with its stream.
fn unsent(what: &str, flow: &Flow, error: Option<&io::Error>) -> Trouble {
    let (kind, why, next) = match error {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
            Kind::ConnectionRefused,
            format!("connection refused by {flow}: nobody listens there"),
            "is the server running, and is the port right?".to_owned(),
        ),
        Some(error) => (Kind::Unreachable, format!("{flow}: {error}"), silence_hint(flow)),
        None => (Kind::Unreachable, format!("it could not be sent to {flow}"), silence_hint(flow)),
    };
    Trouble::new(kind, what, why, next)
}

fn credentials(what: &str, failure: &Failure) -> Trouble {
    let (kind, code, why, next) = match failure {
        Failure::CredentialsRefused { code, realm, user } => (
            Kind::CredentialsRefused,
            Some(*code),
            format!("{code} again after answering: {realm} refused the password of {user}"),
            format!("check name and password (ringway user passwd {user}); --user if they differ"),
        ),
        Failure::NoCredentials { code, realm } => (
            Kind::NoCredentials,
            Some(*code),
            format!("{code}: {realm} asks for a password, and we have none for it"),
            "say who you are: --as USER, or --from USER@DOMAIN with --password-env NAME".to_owned(),
        ),
        Failure::ChallengeNotTrusted { .. } => (
            Kind::NoCredentials,
            None,
            failure.to_string(),
            "if you trust it, name it with --proxy".to_owned(),
        ),
        _ => (
            Kind::CredentialsRefused,
            None,
            failure.to_string(),
            "let the server offer SHA-256 or MD5".to_owned(),
        ),
    };
    Trouble { code, ..Trouble::new(kind, what, why, next) }
}

const fn meaning(code: u16) -> (&'static str, &'static str) {
    match code {
        300..=399 => ("it says to ask elsewhere", "call the address it names (-v shows it)"),
        401 | 407 => ("the password was not accepted", "check name and password"),
        403 => (
            "the server knows the request and forbids it",
            "say who you are (--as USER, --from USER@DOMAIN); the server's log names the rule",
        ),
        404 => ("there is no such user", "check the name (ringway user list)"),
        408 => (
            "the server got no answer from the other phone",
            "is that phone reachable? ringway regs list",
        ),
        415 | 488 | 606 => (
            "the other side wants no media we offer (PCMU, PCMA, telephone-event)",
            "its settings must allow G.711",
        ),
        420 | 421 => {
            ("an extension is missing on one side", "see its Unsupported or Require header with -v")
        }
        480 => (
            "nobody answers for that user now: no phone is registered, or it does not want",
            "see ringway regs list",
        ),
        481 => ("the other side does not know this call", "it may have been restarted; call again"),
        482 | 483 => {
            ("the request goes round in circles", "look for two servers that name each other")
        }
        486 | 600 => ("the other side is busy", "try later"),
        487 => ("the call was cancelled", "call again"),
        603 => ("the other side declined", "ask there"),
        500..=599 => ("the server could not do it", "see its log"),
        _ => ("the other side refused", "run again with -v to see its answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_its_four_parts() {
        let after = Some(Duration::from_secs(30));
        let reason = "Temporarily Unavailable";
        let why = Some("Q.850;cause=19");
        let trouble = Trouble::status("call to bob@example.com", 480, reason, why, after);
        assert_eq!((trouble.exit_code(), trouble.code), (1, Some(480)));
        assert_eq!(
            trouble.to_string(),
            "call to bob@example.com: 480 Temporarily Unavailable: nobody answers for that user now: no phone is \
             registered, or it does not want (Q.850;cause=19); see ringway regs list; it asks to be left alone for 30 s"
        );
    }

    #[test]
    fn every_status_has_words_that_help() {
        for code in 300..=699 {
            let (meaning, next) = meaning(code);
            assert!(!meaning.is_empty() && !next.is_empty(), "{code}");
        }
    }
}
