//! Messages to bytes. Untouched headers are copied byte for byte, in runs; nothing goes through the formatting
//! machinery. Each function appends to `out` and never reads it. A caller's values must be single lines.

mod forward;
mod request;
mod response;

pub use forward::{Patch, forward};
pub use request::{ack, cancel};
pub use response::{response, response_upstream};

use crate::byte::push_number;
use crate::head::{Field, Head};
use crate::message::{Message, Request, Response};
use crate::name::Name;

const CRLF: &[u8] = b"\r\n";

/// A request with its edits.
pub fn request(request: &Request, out: &mut Vec<u8>) {
    out.reserve(request.buf.len() + request.edits.len());
    request_line(request, request.uri_bytes(), out);
    copy(request, &request.fields, out);
    end(request, out);
}

/// A response with its edits.
pub fn edited_response(response: &Response, out: &mut Vec<u8>) {
    out.reserve(response.buf.len() + response.edits.len());
    status_line(response.status(), response.reason(), out);
    copy(response, &response.fields, out);
    end(response, out);
}

/// A message with its edits: unedited headers and the body leave as they came.
pub fn message(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::Request(r) => request(r, out),
        Message::Response(r) => edited_response(r, out),
    }
}

fn request_line(request: &Request, uri: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(request.method().as_bytes());
    out.push(b' ');
    out.extend_from_slice(uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
}

fn status_line(status: u16, reason: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    push_number(out, u32::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(CRLF);
}

/// The blank line and the body.
fn end(head: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(CRLF);
    out.extend_from_slice(head.body());
}

/// Copies header lines, neighbours in one go.
fn copy(head: &Head, fields: &[Field], out: &mut Vec<u8>) {
    let mut rest = fields;
    while let Some((first, tail)) = rest.split_first() {
        if !first.has_line() {
            line(first.name, head.value_of(first).0, out);
            rest = tail;
            continue;
        }
        let mut run = 0;
        let mut last = first;
        for next in tail {
            if !last.touches(next) {
                break;
            }
            run += 1;
            last = next;
        }
        out.extend_from_slice(head.text_between(first, last));
        rest = tail.get(run..).unwrap_or_default();
    }
}

fn line(name: Name, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}

fn number_line(name: Name, n: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    push_number(out, n);
    out.extend_from_slice(CRLF);
}

/// The value of a header line without the first elements of its comma list; `None` when nothing is left.
fn without_first<'a>(name: Name, value: &'a [u8], count: &mut usize) -> Option<&'a [u8]> {
    let mut value = value;
    while *count > 0 {
        if memchr::memchr(b',', value).is_none() {
            // Whatever it is, it is one element.
            *count -= 1;
            return None;
        }
        let end = crate::header::first_end(name, value).unwrap_or(value.len());
        *count -= 1;
        if end >= value.len() {
            return None;
        }
        value = crate::byte::trim(crate::byte::cut(value, end + 1, value.len()));
    }
    Some(value)
}

#[cfg(test)]
mod tests;
