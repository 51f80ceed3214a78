//! `Rejection`: an error that is a response. Made only by named constructors, each citing the section that asks
//! for it; `?` in a room sends it. It is never built with a free-hand status.

use core::fmt::Write as _;

use sip_message::{ParseError, ParseErrorKind};

use crate::output::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub status: u16,
    pub reason: &'static str,
    pub fault: Fault,
    /// Whole header lines, each ended by CRLF, to put into the response.
    pub headers: String,
    /// Set when credentials were offered and not accepted: the node tells of it beside the refusal.
    pub refused: Option<Box<RefusedCredentials>>,
    /// The room that refused has told of it already.
    pub is_quiet: bool,
}

/// Whose credentials were not accepted, and why (`Event::AuthFailed`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCredentials {
    pub user: Box<str>,
    pub why: &'static str,
    /// A wrong password, from an address that has proven to be there.
    pub is_guess: bool,
}

impl Rejection {
    const fn new(status: u16, reason: &'static str, fault: Fault) -> Self {
        Self { status, reason, fault, headers: String::new(), refused: None, is_quiet: false }
    }

    fn with(mut self, name: &str, value: impl core::fmt::Display) -> Self {
        // Writing into a String cannot fail.
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    /// RFC 3261 §21.4.1: malformed syntax; `reason` says which part.
    pub const fn bad_request(reason: &'static str) -> Self {
        Self::new(400, reason, Fault::PeerMisbehaved)
    }

    /// RFC 3261 §22.2: a UAS or registrar challenges. `challenges` are whole header lines.
    pub fn unauthorized(challenges: String) -> Self {
        Self { headers: challenges, ..Self::new(401, "Unauthorized", Fault::Refused) }
    }

    /// RFC 3261 §22.3: a proxy challenges. `challenges` are whole header lines.
    pub fn proxy_authentication_required(challenges: String) -> Self {
        Self {
            headers: challenges,
            ..Self::new(407, "Proxy Authentication Required", Fault::Refused)
        }
    }

    /// RFC 3261 §21.4.4: understood and refused; authorization will not help.
    pub const fn forbidden(reason: &'static str) -> Self {
        Self::new(403, reason, Fault::Refused)
    }

    /// RFC 3261 §21.4.5, §10.3 step 5: no such user here.
    pub const fn not_found() -> Self {
        Self::new(404, "Not Found", Fault::Refused)
    }

    /// RFC 3261 §8.2.1: a known method that is not allowed at this address.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::new(405, "Method Not Allowed", Fault::Unsupported).with("Allow", allow)
    }

    /// RFC 3261 §21.4.9, §16.7: nobody answered in time.
    pub const fn request_timeout() -> Self {
        Self::new(408, "Request Timeout", Fault::Unavailable)
    }

    /// RFC 3261 §21.4.12: a Request-URI longer than we are willing to read.
    pub const fn uri_too_long() -> Self {
        Self::new(414, "Request-URI Too Long", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §21.4.11: larger than we are willing to read.
    pub const fn too_large() -> Self {
        Self::new(413, "Request Entity Too Large", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §16.3 step 2, §8.2.2.1: a Request-URI scheme we do not understand.
    pub const fn unsupported_uri_scheme() -> Self {
        Self::new(416, "Unsupported URI Scheme", Fault::Unsupported)
    }

    /// RFC 3261 §16.3 step 5, §8.2.2.3: option tags we do not support, comma separated.
    pub fn bad_extension(unsupported: &str) -> Self {
        Self::new(420, "Bad Extension", Fault::Unsupported).with("Unsupported", unsupported)
    }

    /// RFC 3261 §10.3 step 7: an expiry shorter than we accept; `min` in seconds.
    pub fn interval_too_brief(min: u64) -> Self {
        Self::new(423, "Interval Too Brief", Fault::Refused).with("Min-Expires", min)
    }

    /// RFC 3261 §21.4.18: the user is known and has no device now.
    pub const fn temporarily_unavailable() -> Self {
        Self::new(480, "Temporarily Unavailable", Fault::Unavailable)
    }

    /// RFC 3261 §9.2, §12.2.2: no transaction or dialog matches.
    pub const fn does_not_exist() -> Self {
        Self::new(481, "Call/Transaction Does Not Exist", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §16.3 step 4: the request came back unchanged.
    pub const fn loop_detected() -> Self {
        Self::new(482, "Loop Detected", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §8.2.2.2: the same request by two ways.
    pub const fn merged_request() -> Self {
        Self::new(482, "Merged Request", Fault::PeerMisbehaved)
    }

    /// RFC 5806 §6.3: a call that was passed on too often, or back to somebody who has passed it on.
    pub const fn forwarding_loop() -> Self {
        Self::new(482, "Forwarding Loop", Fault::Refused)
    }

    /// RFC 3261 §16.3 step 3: Max-Forwards is used up.
    pub const fn too_many_hops() -> Self {
        Self::new(483, "Too Many Hops", Fault::PeerMisbehaved)
    }

    /// RFC 5393 §5.3: no breadth left to fork with.
    pub const fn max_breadth_exceeded() -> Self {
        Self::new(440, "Max-Breadth Exceeded", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §16.6 step 7: the next hop has a name and this server cannot resolve it.
    pub const fn unresolvable() -> Self {
        Self::new(478, "Unresolvable Destination", Fault::Unavailable)
    }

    /// RFC 3261 §21.4.25: the caller cancelled, and the callee never answered.
    pub const fn request_terminated() -> Self {
        Self::new(487, "Request Terminated", Fault::Refused)
    }

    /// RFC 3261 §21.5.1: our fault.
    pub const fn internal_error() -> Self {
        Self::new(500, "Server Internal Error", Fault::Ours)
    }

    /// RFC 3261 §10.3 step 7: an update older than what is stored.
    pub const fn out_of_order() -> Self {
        Self::new(500, "CSeq Out Of Order", Fault::PeerMisbehaved)
    }

    /// RFC 3261 §21.5.2: a method we do not know, addressed to us.
    pub fn not_implemented(allow: &str) -> Self {
        Self::new(501, "Not Implemented", Fault::Unsupported).with("Allow", allow)
    }

    /// RFC 3261 §21.5.4: overloaded, draining, or a limit reached; `retry_after` in seconds.
    pub fn service_unavailable(retry_after: u32) -> Self {
        Self::new(503, "Service Unavailable", Fault::Unavailable).with("Retry-After", retry_after)
    }

    /// RFC 3261 §21.5.4: more to do than can be done soon. A line in the log for each would be more still.
    pub fn overloaded(retry_after: u32) -> Self {
        Self { is_quiet: true, ..Self::service_unavailable(retry_after) }
    }

    /// RFC 3261 §10.3, §21.5.4: the user has as many bindings as a user may have. 503 and not 403, because it passes by
    /// itself: `retry_after` is when the first of them ends, and a phone that was told 403 would give up for good.
    pub fn too_many_contacts(retry_after: u32) -> Self {
        Self::new(503, "Too Many Contacts", Fault::Refused).with("Retry-After", retry_after)
    }

    /// RFC 3261 §21.5.4: no gateway of a set can be used now. The status is the operator's; `retry_after` in seconds, 0 says
    /// nothing.
    pub fn gateways_unavailable(status: u16, retry_after: u32) -> Self {
        let rejection = Self::new(status, "No Gateway Available", Fault::Unavailable);
        if retry_after == 0 { rejection } else { rejection.with("Retry-After", retry_after) }
    }

    /// RFC 3261 §21.5.6: not SIP/2.0.
    pub const fn version_not_supported() -> Self {
        Self::new(505, "Version Not Supported", Fault::Unsupported)
    }

    /// RFC 3261 §21.5.7: over the size limit.
    pub const fn message_too_large() -> Self {
        Self::new(513, "Message Too Large", Fault::PeerMisbehaved)
    }
}

/// The answer a syntax error earns (RFC 3261 §21.4.1, §21.4.11, §21.4.12, §21.5.5, §21.5.7).
impl From<ParseError> for Rejection {
    fn from(error: ParseError) -> Self {
        let words = error.kind.words();
        match error.kind {
            ParseErrorKind::VersionUnsupported => Self::version_not_supported(),
            ParseErrorKind::MessageTooLarge => Self::message_too_large(),
            ParseErrorKind::HeadTooLarge => Self::too_large(),
            ParseErrorKind::UriTooLong => Self::uri_too_long(),
            ParseErrorKind::ViasTooMany => Self::too_many_hops(),
            _ => Self::bad_request(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_whole_lines() {
        assert_eq!(Rejection::interval_too_brief(60).headers, "Min-Expires: 60\r\n");
    }
}
