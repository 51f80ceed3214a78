//! Refusing before reading: when more new work arrives than can be done, what is turned away must cost next to nothing, or
//! turning it away is all that gets done. What a flood sends is not even looked at. A request of the plain kind is answered 503 (RFC 3261 §21.5.4) from six of its
//! lines; whatever is not plain, or belongs to something begun, or comes from somebody known, is read as usual. The choice
//! is that of the room "limit"; only the reading is shorter.

use sip_message::Brief;

use crate::flow::Flow;
use crate::output::Event;
use crate::route::limit;
use crate::seal::Purpose;
use crate::source::Admission;
use crate::turn::Turn;

/// Whether the message has been dealt with. `scratch` is where the answer is put together.
pub fn refuse(turn: &mut Turn<'_>, flow: &Flow, message: &[u8], scratch: &mut Vec<u8>) -> bool {
    if limit::floods(turn, flow, message) {
        return true;
    }
    let share = turn.shared.overload.share();
    if share == 0 || message.starts_with(b"SIP/2.0") {
        return false;
    }
    let Some(brief) = Brief::of(message) else { return false };
    if brief.method == b"ACK" {
        // Of such an answer: nobody waits for it.
        let tag = tag(turn, &brief);
        return brief.to.strip_suffix(&tag).is_some_and(|to| to.ends_with(b";tag="));
    }
    if !may_be_refused(turn, flow, &brief) {
        return false;
    }
    let Some(seconds) = limit::turned_away(turn, flow, share, brief.call_id) else { return false };
    if limit::kept_out(turn, flow) {
        return true;
    }
    let limits = &turn.config.limits;
    if turn.shared.sources.admit(turn.now, flow, limits) == Admission::Over {
        let limit = limit::UNVERIFIED;
        turn.out.events.push(Event::LimitHit { limit, flow: Some(*flow) });
        return true;
    }
    turn.out.events.push(Event::LimitHit { limit: limit::OVERLOAD, flow: Some(*flow) });
    write(turn, flow, &brief, seconds, scratch);
    turn.out.send(*flow, bytes::Bytes::copy_from_slice(scratch));
    true
}

/// New, of nobody known, and nothing that a phone needs to be reachable. `limit::is_spared` says the same of a read request.
fn may_be_refused(turn: &Turn<'_>, flow: &Flow, brief: &Brief<'_>) -> bool {
    if brief.may_have_to_tag() || brief.priority.is_some() {
        return false;
    }
    match brief.method {
        b"INVITE" | b"SUBSCRIBE" | b"MESSAGE" | b"PUBLISH" | b"REFER" => true,
        b"REGISTER" | b"OPTIONS" => !limit::is_known(turn, flow),
        _ => false,
    }
}

/// RFC 3261 §8.2.6.2. The source goes into the top Via (§18.2.1, RFC 3581 §4).
fn write(turn: &Turn<'_>, flow: &Flow, brief: &Brief<'_>, seconds: u32, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.clear();
    out.extend_from_slice(b"SIP/2.0 503 Service Unavailable\r\nVia: ");
    let rport = memchr::memmem::find(brief.via, b";rport").map(|at| at + b";rport".len());
    let asked = rport.filter(|end| matches!(brief.via.get(*end), None | Some(b';')));
    let (before, after) = brief.via.split_at(asked.unwrap_or(brief.via.len()));
    out.extend_from_slice(before);
    // Writing into a Vec cannot fail.
    if asked.is_some() {
        let _ = write!(out, "={}", flow.remote.port());
    }
    out.extend_from_slice(after);
    if memchr::memmem::find(brief.via, b"received").is_none() {
        let _ = write!(out, ";received={}", flow.remote.ip().to_canonical());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(brief.vias_below);
    for (name, value) in [
        (&b"From: "[..], brief.from),
        (b"\r\nCall-ID: ", brief.call_id),
        (b"\r\nCSeq: ", brief.cseq),
        (b"\r\nTo: ", brief.to),
        (b";tag=", &tag(turn, brief)),
    ] {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    let _ = write!(out, "\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
}

/// RFC 3261 §8.2.7: the same for the same request, so that its ACK is known.
fn tag(turn: &Turn<'_>, brief: &Brief<'_>) -> [u8; 16] {
    let mac = turn.shared.seal.mac(Purpose::Tag, &[b"early", brief.call_id, brief.via]);
    let mut tag = [0; 16];
    crate::hex::write(&mac.to_be_bytes(), &mut tag);
    tag
}
