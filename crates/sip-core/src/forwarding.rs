//! Call forwarding as a property of an account (RFC 5359 §2.8 to §2.10): where a user's calls go always, when the
//! phones are busy, when nobody answers, and when there is no phone. It never decides a call; `route::onward` does.

use sip_message::{Scheme, Uri};

use crate::time::Duration;

/// Longest URI that calls are forwarded to, in bytes.
pub const URI_MAX: usize = 255;

/// Shortest and longest time that phones ring before nobody has answered.
pub const RING_MIN: Duration = Duration::from_secs(1);
pub const RING_MAX: Duration = Duration::from_secs(180);

/// Why a call was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    Always,
    Busy,
    NoAnswer,
    Unreachable,
    /// The phone itself named somebody else, with a 302.
    Deflected,
}

impl Cause {
    /// RFC 5806 §3: `diversion-reason`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Always => "unconditional",
            Self::Busy => "user-busy",
            Self::NoAnswer => "no-answer",
            Self::Unreachable => "unavailable",
            Self::Deflected => "deflection",
        }
    }

    /// RFC 4458 §2, RFC 7544 §5: the status that stands for it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Always => 302,
            Self::Busy => 486,
            Self::NoAnswer => 408,
            Self::Unreachable => 503,
            Self::Deflected => 480,
        }
    }
}

/// Where the calls of one user go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwards {
    pub always: Option<Box<str>>,
    pub busy: Option<Box<str>>,
    /// And after which time.
    pub no_answer: Option<(Box<str>, Duration)>,
    pub unreachable: Option<Box<str>>,
}

impl Forwards {
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self { always: None, busy: None, no_answer: None, unreachable: None })
    }
}

/// Whether calls can be forwarded to this URI; why not, in words for the operator.
pub fn check(uri: &str) -> Result<(), &'static str> {
    if uri.len() > URI_MAX {
        return Err("it is longer than 255 bytes");
    }
    match Uri::parse(uri.as_bytes()) {
        Ok(uri) if uri.scheme != Scheme::Sip => Err("it must begin with sip:"),
        Ok(uri) if uri.headers.is_some() => Err("a ? has no place in it"),
        Ok(_) => Ok(()),
        Err(_) => Err("it is no SIP URI"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_can_be_forwarded_to() {
        for good in ["sip:carol@example.com", "sip:+4930123@192.0.2.9;user=phone"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = format!("sip:{}@example.com", "a".repeat(300));
        for bad in [
            "carol",
            "tel:+4930123",
            "sips:carol@example.com",
            "sip:carol@example.com?Subject=x",
            "sip:carol@example.com>\r\nX: y",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
