//! What the server does with every message, as functions to measure. Shared by the stopwatch and the instruction
//! counts, so that both speak of the same work.

use bytes::Bytes;
use sip_message::write::{self, Patch};
use sip_message::{Head, Message, ParseError, Request};

/// A 1.2 KB INVITE with 20 headers, as it meets the second proxy of a call.
pub const INVITE: &[u8] = include_bytes!("invite.sip");

pub fn parse(buf: &Bytes) -> Request {
    match Message::parse(buf.clone()) {
        Ok(Message::Request(request)) => request,
        _ => unreachable!("the measured message is good"),
    }
}

/// Everything a proxy looks at before it decides; the sum keeps the compiler from leaving any of it out.
pub fn locate(request: &Request) -> Result<usize, ParseError> {
    let head: &Head = request;
    let via = head.via()?;
    let cseq = head.cseq()?;
    let route = head.routes().next().transpose()?;
    let uri = request.uri()?;
    Ok(uri.host_bytes.len()
        + via.host_bytes.len()
        + via.branch.map_or(0, <[u8]>::len)
        + head.from()?.tag().map_or(0, <[u8]>::len)
        + head.to()?.tag().map_or(0, <[u8]>::len)
        + head.call_id()?.len()
        + cseq.number as usize
        + route.map_or(0, |r| r.uri_bytes().len())
        + head.max_forwards()?.unwrap_or(0) as usize
        + head.content_length()?.unwrap_or(0) as usize)
}

pub fn parse_and_locate(buf: &Bytes) -> usize {
    locate(&parse(buf)).unwrap_or(0)
}

/// The copy a record-routing proxy sends on.
pub fn forward(request: &Request, out: &mut Vec<u8>) -> usize {
    let patch = Patch {
        request_uri: Some(b"sip:bob@192.0.2.201:5060;transport=udp"),
        via: b"SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK0a1b2c3d4e5f60718293a4b5",
        record_routes: &[b"<sip:198.51.100.1:5060;lr;rw=65f0c1a2b3c4d5e6f708192a3b>"],
        routes_popped: 1,
        max_forwards: 68,
        ..Patch::default()
    };
    out.clear();
    write::forward(request, &patch, out);
    out.len()
}
