//! What a request says about those who passed it on: Diversion (RFC 5806) and History-Info (RFC 7044). Written for every
//! user whose account forwards or whose phone redirects; never for the Contact of a user, which is the same user.

use sip_message::{Name, Request};

use crate::forwarding::Cause;
use crate::proxy::search::Passed;

/// Diversions a request came with.
pub fn count(request: &Request) -> usize {
    request.addresses(Name::Diversion).map_while(Result::ok).count()
}

/// The header lines of a copy for `target`, to whom the last of `passed` has passed the call on. The request's own
/// Diversions come behind ours, which they precede in time (RFC 5806 §5).
pub fn lines(request: &Request, passed: &[Passed], target: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for one in passed.iter().rev() {
        lines.extend_from_slice(b"Diversion: <");
        lines.extend_from_slice(&one.uri);
        lines.extend_from_slice(b">;reason=");
        lines.extend_from_slice(one.cause.reason().as_bytes());
        lines.extend_from_slice(b";counter=1\r\n");
    }
    for value in request.headers(Name::Diversion) {
        lines.extend_from_slice(b"Diversion: ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }
    if !is_private(request) {
        history(request, passed, target, &mut lines);
    }
    lines
}

/// RFC 7044 §10.1.2: a caller who asks for it leaves no history.
fn is_private(request: &Request) -> bool {
    let mut values = request.headers(Name::Privacy).flat_map(|value| value.split(|b| *b == b';'));
    values.any(|value| {
        let value = value.trim_ascii();
        value.eq_ignore_ascii_case(b"history") || value.eq_ignore_ascii_case(b"header")
    })
}

/// RFC 7044 §10.3: each entry is one level below the one it was made from. The first is that of the address the call
/// came for, unless whoever sent it has written that already.
fn history(request: &Request, passed: &[Passed], target: &[u8], lines: &mut Vec<u8>) {
    let Some(first) = passed.first() else { return };
    let last = request.addresses(Name::HistoryInfo).map_while(Result::ok).last();
    let mut index: Vec<u8> =
        last.as_ref().and_then(|entry| entry.param("index")).unwrap_or_default().into();
    let known = last.is_some_and(|entry| bare(entry.uri_bytes()) == &*first.uri);
    if !known {
        index = if index.is_empty() { b"1".to_vec() } else { [&index[..], b".1"].concat() };
        entry(&first.uri, failure(first.cause), None, &index, None, lines);
    }
    for (at, one) in passed.iter().enumerate() {
        let above = index.clone();
        index.extend_from_slice(b".1");
        let next = passed.get(at + 1);
        let uri = next.map_or(target, |next| &next.uri);
        let reason = next.and_then(|next| failure(next.cause));
        entry(uri, reason, Some(one.cause), &index, Some(&above), lines);
    }
}

/// The status that made the call go on, if there was one (RFC 7044 §10.2).
const fn failure(cause: Cause) -> Option<u16> {
    match cause {
        Cause::Always | Cause::Deflected => None,
        cause => Some(cause.status()),
    }
}

/// `came_by`: why the call came to `uri` (RFC 4458 §2).
fn entry(
    uri: &[u8],
    failed: Option<u16>,
    came_by: Option<Cause>,
    index: &[u8],
    mapped_from: Option<&[u8]>,
    lines: &mut Vec<u8>,
) {
    let number = |lines: &mut Vec<u8>, status: u16| {
        lines.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    };
    lines.extend_from_slice(b"History-Info: <");
    lines.extend_from_slice(uri);
    if let Some(cause) = came_by {
        lines.extend_from_slice(b";cause=");
        number(lines, cause.status());
    }
    if let Some(status) = failed {
        lines.extend_from_slice(b"?Reason=SIP%3Bcause%3D");
        number(lines, status);
    }
    lines.extend_from_slice(b">;index=");
    lines.extend_from_slice(index);
    if let Some(from) = mapped_from {
        // RFC 7044 §5.1: `mp`, another user than the one who was asked.
        lines.extend_from_slice(b";mp=");
        lines.extend_from_slice(from);
    }
    lines.extend_from_slice(b"\r\n");
}

fn bare(uri: &[u8]) -> &[u8] {
    uri.split(|b| *b == b'?').next().unwrap_or_default()
}
