//! The redirect server (RFC 3261 §8.3): it names the places where a user is, and leaves the trying to whoever asked. It
//! keeps nothing of the request, and never names the address it was asked about.

use bytes::Bytes;
use sip_message::Request;

use crate::registrar::binding::{Binding, Q_DEFAULT};
use crate::registrar::q;
use crate::time::Instant;
use crate::turn::Turn;
use crate::ua::reply;

/// The Contact lines of the 302, each ended by CRLF, the most preferred first; empty when there is nobody to name.
pub fn contacts(now: Instant, request: &Request, bindings: &[Binding]) -> Vec<u8> {
    let mut named: Vec<&Binding> = bindings.iter().filter(|binding| binding.is_live(now)).collect();
    named.sort_by_key(|binding| core::cmp::Reverse(binding.q()));
    let mut lines = Vec::new();
    for binding in named {
        // RFC 3261 §8.3, §21.3: a Contact equal to the Request-URI would lead the caller here again.
        if binding.contact().as_bytes() != request.uri_bytes() {
            contact(binding.contact().as_bytes(), binding.q(), &mut lines);
        }
    }
    lines
}

/// The 302 itself. Nothing of it is remembered: the same request gets the same answer again.
pub fn answer(turn: &Turn<'_>, request: &Request, contacts: &[u8], scratch: &mut Vec<u8>) -> Bytes {
    reply::with_lines(turn, request, (302, b"Moved Temporarily"), contacts, scratch)
}

/// One Contact line.
pub fn contact(uri: &[u8], preference: u16, lines: &mut Vec<u8>) {
    lines.extend_from_slice(b"Contact: <");
    lines.extend_from_slice(uri);
    lines.push(b'>');
    if preference != Q_DEFAULT {
        q(preference, lines);
    }
    lines.extend_from_slice(b"\r\n");
}
