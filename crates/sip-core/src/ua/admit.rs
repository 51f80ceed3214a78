//! What is checked of every request before anybody serves it, in the order of RFC 3261 §8.2: method, Request-URI,
//! merged, Require, content. It never looks into a body.

use sip_message::{Method, Name, Request, Scheme};

use crate::rejection::Rejection;

use super::served::Answer;
use super::settings::Reliable;
use super::stack::Turn;

/// RFC 3261 §20.5.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE";
/// RFC 3261 §20.1.
pub(super) const ACCEPT: &str = "application/sdp";

/// RFC 3261 §20.37: our extensions.
pub(super) const fn supported(reliable: Reliable) -> &'static str {
    match reliable {
        Reliable::Never => "timer, replaces",
        Reliable::Supported | Reliable::Required => "100rel, timer, replaces",
    }
}

/// RFC 3261 §8.2, before a transaction serves it.
pub(super) fn check(turn: &Turn<'_>, request: &Request) -> Result<(), Answer> {
    let checked = request.check().map_err(|error| Answer::from(&Rejection::from(error)))?;
    method(request)?;
    // §8.2.2.1: `sips` would promise TLS, which we have not.
    if checked.uri.scheme != Scheme::Sip {
        return Err((&Rejection::unsupported_uri_scheme()).into());
    }
    // §8.2.2.2.
    if turn.is_merged(request) {
        return Err((&Rejection::merged_request()).into());
    }
    require(turn, request)?;
    content(request)
}

/// §8.2.1.
fn method(request: &Request) -> Result<(), Answer> {
    let rejection = match request.method() {
        Method::Other(_) => Rejection::not_implemented(ALLOW),
        Method::Register | Method::Subscribe | Method::Publish => {
            Rejection::method_not_allowed(ALLOW)
        }
        _ => return Ok(()),
    };
    Err((&rejection).into())
}

/// §8.2.2.3: "Require [...] MUST be ignored [...] in an ACK or CANCEL"; those do not come here.
fn require(turn: &Turn<'_>, request: &Request) -> Result<(), Answer> {
    let known = supported(turn.settings.reliable);
    let is_known = |tag: &[u8]| known.split(", ").any(|k| k.as_bytes().eq_ignore_ascii_case(tag));
    let mut unknown = String::new();
    for tag in request.tokens(Name::Require).filter(|tag| !is_known(tag)) {
        if !unknown.is_empty() {
            unknown.push_str(", ");
        }
        unknown.push_str(&String::from_utf8_lossy(tag));
    }
    if unknown.is_empty() { Ok(()) } else { Err((&Rejection::bad_extension(&unknown)).into()) }
}

/// §8.2.3: a body that belongs to a session is a session description, or is optional; nothing is compressed.
fn content(request: &Request) -> Result<(), Answer> {
    if request.body().is_empty() {
        return Ok(());
    }
    let is_optional = request.header(Name::ContentDisposition).is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.windows(17).any(|part| part == b"handling=optional")
    });
    let is_plain = |name: Name| {
        request.header(name).is_none_or(|value| value.eq_ignore_ascii_case(b"identity"))
    };
    if !is_plain(Name::ContentEncoding) && !is_optional {
        return Err(Answer::new(415).with("Accept-Encoding", "identity"));
    }
    let wants_sdp = matches!(request.method(), Method::Invite | Method::Update | Method::Prack);
    if !wants_sdp || is_optional || is_sdp(request) {
        return Ok(());
    }
    Err(Answer::new(415).with("Accept", ACCEPT))
}

fn is_sdp(request: &Request) -> bool {
    let kind = request.header(Name::ContentType).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(ACCEPT.as_bytes())
}
