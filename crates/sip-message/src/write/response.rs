//! Responses: made from a request (RFC 3261 §8.2.6), and passed upstream without our Via (§16.7 step 3).

use super::{CRLF, copy, end, line, number_line, status_line, without_first};
use crate::head::Field;
use crate::message::{Request, Response};
use crate::name::Name;

/// Writes the response to a request. Via, From, To, Call-ID and CSeq are copied as they came (what is missing or
/// malformed cannot be repaired and is copied too, so that the sender recognises it). `to_tag` goes behind a To that
/// has no tag. `header_lines` are whole lines, each ended by CRLF.
pub fn response(
    request: &Request,
    status: u16,
    reason: &[u8],
    to_tag: Option<&[u8]>,
    header_lines: &[u8],
    body: &[u8],
    out: &mut Vec<u8>,
) {
    out.reserve(512 + header_lines.len() + body.len());
    status_line(status, reason, out);
    let copied = Name::Via.bit() | Name::From.bit() | Name::CallId.bit() | Name::CSeq.bit();
    let tag = to_tag.filter(|_| request.to().is_ok_and(|to| to.tag().is_none()));
    for field in &request.fields {
        let bit = field.name.bit();
        if bit & copied != 0 {
            copy(request, core::slice::from_ref(field), out);
        } else if field.name == Name::To {
            to(request, field, tag, out);
        } else if field.name == Name::Timestamp && status == 100 {
            copy(request, core::slice::from_ref(field), out);
        }
    }
    out.extend_from_slice(header_lines);
    number_line(Name::ContentLength, u32::try_from(body.len()).unwrap_or(u32::MAX), out);
    out.extend_from_slice(CRLF);
    out.extend_from_slice(body);
}

fn to(request: &Request, field: &Field, tag: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(tag) = tag else { return copy(request, core::slice::from_ref(field), out) };
    out.extend_from_slice(b"To: ");
    out.extend_from_slice(request.value_of(field).0);
    out.extend_from_slice(b";tag=");
    out.extend_from_slice(tag);
    out.extend_from_slice(CRLF);
}

/// Writes a response without its top Via value, the rest verbatim.
pub fn response_upstream(response: &Response, out: &mut Vec<u8>) {
    out.reserve(response.buf.len() + response.edits.len());
    status_line(response.status(), response.reason(), out);
    let fields = &response.fields[..];
    let Some(at) = response.position(Name::Via) else {
        copy(response, fields, out);
        return end(response, out);
    };
    copy(response, fields.get(..at).unwrap_or_default(), out);
    if let Some(field) = fields.get(at) {
        let mut one = 1;
        if let Some(rest) = without_first(Name::Via, response.value_of(field).0, &mut one) {
            line(Name::Via, rest, out);
        }
    }
    copy(response, fields.get(at + 1..).unwrap_or_default(), out);
    end(response, out);
}
