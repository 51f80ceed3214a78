//! Stateless responses (RFC 3261 §8.2.6, §8.2.7): to the packet's source, once per request. The To tag is a MAC of the
//! request, so a repetition gets the very same answer.

use bytes::Bytes;
use sip_message::{Name, Request, write};

use crate::flow::Flow;
use crate::hex;
use crate::rejection::Rejection;
use crate::seal::Purpose;
use crate::turn::Turn;

/// Writes what `rejection` says, in place of what `out` held.
pub fn write(turn: &Turn<'_>, request: &Request, rejection: &Rejection, out: &mut Vec<u8>) {
    out.clear();
    let (reason, lines) = (rejection.reason.as_bytes(), rejection.headers.as_bytes());
    let tag = tag(turn, request);
    write::response(request, rejection.status, reason, Some(&tag), lines, b"", out);
}

/// Sends what `rejection` says.
pub fn reject(
    turn: &mut Turn<'_>,
    request: &Request,
    flow: &Flow,
    rejection: &Rejection,
    scratch: &mut Vec<u8>,
) {
    write(turn, request, rejection, scratch);
    turn.out.send(*flow, Bytes::copy_from_slice(scratch));
}

/// A 200 with these header lines.
pub fn ok(turn: &Turn<'_>, request: &Request, lines: &[u8], scratch: &mut Vec<u8>) -> Bytes {
    with_lines(turn, request, (200, b"OK"), lines, scratch)
}

/// Any final response with these header lines.
pub fn with_lines(
    turn: &Turn<'_>,
    request: &Request,
    (status, reason): (u16, &[u8]),
    lines: &[u8],
    scratch: &mut Vec<u8>,
) -> Bytes {
    scratch.clear();
    let tag = tag(turn, request);
    write::response(request, status, reason, Some(&tag), lines, b"", scratch);
    Bytes::copy_from_slice(scratch)
}

/// RFC 3261 §8.2.7: "MUST generate the same tag for a given request", without remembering it.
pub fn tag(turn: &Turn<'_>, request: &Request) -> [u8; 16] {
    // The whole Via instead of its branch: it too is the same in every repeat, and need not be taken apart.
    let via = request.header(Name::Via).unwrap_or_default();
    let call_id = request.header(Name::CallId).unwrap_or_default();
    let mac = turn.shared.seal.mac(Purpose::Tag, &[call_id, via]);
    let mut tag = [0; 16];
    hex::write(&mac.to_be_bytes(), &mut tag);
    tag
}
