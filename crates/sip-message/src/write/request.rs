//! The requests a transaction makes of its INVITE: ACK to a final response other than 2xx (RFC 3261 §17.1.1.3) and
//! CANCEL (§9.1). Both carry exactly one Via: the top one of the INVITE as it was sent.

use super::{copy, line, number_line};
use crate::byte::push_number;
use crate::head::Head;
use crate::message::{Request, Response};
use crate::name::Name;

/// Writes the ACK for `response` to the INVITE as it was sent.
pub fn ack(invite: &Request, response: &Response, out: &mut Vec<u8>) {
    write(invite, response, b"ACK", out);
}

/// Writes the CANCEL for the request as it was sent.
pub fn cancel(request: &Request, out: &mut Vec<u8>) {
    write(request, request, b"CANCEL", out);
}

fn write(request: &Request, to: &Head, method: &[u8], out: &mut Vec<u8>) {
    out.reserve(640);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(request.uri_bytes());
    out.extend_from_slice(b" SIP/2.0\r\n");
    if let Ok(via) = request.via() {
        line(Name::Via, via.raw(), out);
    }
    number_line(Name::MaxForwards, 70, out);
    for (head, name) in
        [(&**request, Name::Route), (request, Name::From), (to, Name::To), (request, Name::CallId)]
    {
        for field in head.fields.iter().filter(|f| f.name == name) {
            copy(head, core::slice::from_ref(field), out);
        }
    }
    out.extend_from_slice(b"CSeq: ");
    push_number(out, request.cseq().map_or(0, |c| c.number));
    out.push(b' ');
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
}
