//! What is kept of a response or a request that was sent, once its transaction is finished: only what the next
//! retransmission of the peer does not bring along itself (RFC 3261 §17.1.1.2, §17.2.2). Never a whole message.

use bytes::Bytes;
use sip_message::{Message, Name, Request, Response, write};
use smallvec::SmallVec;

use crate::flow::Flow;

/// A final response without what is copied from its request (RFC 3261 §8.2.6.2): status code and reason LF, To tag
/// LF, header lines, CRLF, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseResidue(Box<[u8]>);

/// The residue of a plain 200, by far the most frequent: it is not kept.
const PLAIN_200: &[u8] = b"200 OK\n\n\r\n";

impl ResponseResidue {
    /// `None` for a plain 200. `has_to_tag`: the request had a To tag, so the response's is a copy of it.
    pub fn of(wire: &Bytes, has_to_tag: bool) -> Option<Self> {
        let (start_line, mut text) = line(wire);
        let status = trim_end(start_line).strip_prefix(b"SIP/2.0 ").unwrap_or_default();
        let mut rest: SmallVec<[u8; 512]> = SmallVec::from_slice(status);
        rest.push(b'\n');
        if !has_to_tag
            && let Ok(Message::Response(response)) = Message::parse(wire.clone())
            && let Ok(to) = response.to()
        {
            rest.extend_from_slice(to.tag().unwrap_or_default());
        }
        rest.push(b'\n');
        let mut keep = false;
        while !text.is_empty() {
            let (header, after) = line(text);
            text = after;
            if matches!(header, b"\r\n" | b"\n") {
                break;
            }
            // A folded line goes where the line it continues went (RFC 3261 §7.3.1).
            if !matches!(header.first(), Some(b' ' | b'\t')) {
                keep = !is_copied(header);
            }
            if keep {
                rest.extend_from_slice(header);
            }
        }
        rest.extend_from_slice(b"\r\n");
        rest.extend_from_slice(text);
        (rest[..] != *PLAIN_200).then(|| Self(rest[..].into()))
    }

    /// The response again, for a retransmission of its request.
    pub fn rebuild(residue: Option<&Self>, request: &Request) -> Bytes {
        let (status, rest) = line(residue.map_or(PLAIN_200, |residue| &residue.0));
        let (to_tag, rest) = line(rest);
        let (code, reason) = trim_end(status).split_at_checked(3).unwrap_or_default();
        let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit & 0xf));
        let reason = reason.strip_prefix(b" ").unwrap_or(reason);
        let to_tag = Some(trim_end(to_tag)).filter(|tag| !tag.is_empty());
        let mut headers_len = 0;
        loop {
            let (header, _) = line(rest.get(headers_len..).unwrap_or_default());
            if matches!(header, b"\r\n" | b"") {
                break;
            }
            headers_len += header.len();
        }
        let (headers, body) = rest.split_at_checked(headers_len).unwrap_or((rest, b""));
        let body = body.strip_prefix(b"\r\n").unwrap_or(body);
        let mut wire = Vec::with_capacity(512);
        write::response(request, code, reason, to_tag, headers, body, &mut wire);
        wire.into()
    }

    #[cfg(test)]
    /// Bytes on the heap.
    pub fn heap_size(&self) -> usize {
        self.0.len()
    }
}

/// RFC 3261 §8.2.6.2 and Content-Length, which follows from the body. Long and compact forms (§7.3.3).
fn is_copied(header: &[u8]) -> bool {
    let is = |name: &[u8]| {
        header.split_at_checked(name.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(name) && matches!(rest.first(), Some(b':' | b' ' | b'\t'))
        })
    };
    match header.first().map(u8::to_ascii_lowercase) {
        Some(b'v') => is(b"Via") || is(b"v"),
        Some(b'f') => is(b"From") || is(b"f"),
        Some(b't') => is(b"To") || is(b"t"),
        Some(b'i') => is(b"i"),
        Some(b'l') => is(b"l"),
        Some(b'c') => is(b"Call-ID") || is(b"CSeq") || is(b"Content-Length"),
        _ => false,
    }
}

/// The first line with its line end, and what follows.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
    text.split_at_checked(end).unwrap_or((text, b""))
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// What an ACK needs that a retransmitted failure does not carry (RFC 3261 §17.1.1.3): the Request-URI, our Via and
/// the Route lines of the INVITE as it was sent.
#[derive(Debug)]
pub struct AckResidue {
    pub flow: Flow,
    /// Request-URI, Via value, Route lines.
    text: Box<[u8]>,
    uri_len: u16,
    via_len: u16,
}

impl AckResidue {
    pub fn of(invite: &Request, flow: Flow) -> Option<Self> {
        let uri = invite.uri_bytes();
        let via = invite.via().ok()?;
        let mut text = Vec::with_capacity(uri.len() + via.raw().len());
        text.extend_from_slice(uri);
        text.extend_from_slice(via.raw());
        for route in invite.headers(Name::Route) {
            text.extend_from_slice(b"Route: ");
            text.extend_from_slice(route);
            text.extend_from_slice(b"\r\n");
        }
        Some(Self {
            flow,
            uri_len: u16::try_from(uri.len()).ok()?,
            via_len: u16::try_from(via.raw().len()).ok()?,
            text: text.into_boxed_slice(),
        })
    }

    /// The ACK again, for a retransmission of the failure. `None` if that cannot be read.
    pub fn rebuild(&self, failure: &Response) -> Option<Bytes> {
        let (uri, rest) = self.text.split_at_checked(self.uri_len.into())?;
        let (via, routes) = rest.split_at_checked(self.via_len.into())?;
        let mut wire = Vec::with_capacity(512);
        let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| wire.extend_from_slice(part));
        push(&[b"ACK ", uri, b" SIP/2.0\r\nVia: ", via, b"\r\nMax-Forwards: 70\r\n", routes]);
        push(&[b"From: ", failure.header(Name::From)?, b"\r\nTo: ", failure.header(Name::To)?]);
        push(&[b"\r\nCall-ID: ", failure.call_id().ok()?, b"\r\nCSeq: "]);
        let cseq = failure.header(Name::CSeq)?;
        let digits = cseq.iter().take_while(|byte| byte.is_ascii_digit()).count();
        push(&[cseq.get(..digits)?, b" ACK\r\nContent-Length: 0\r\n\r\n"]);
        Some(wire.into())
    }

    #[cfg(test)]
    /// Bytes on the heap, this included.
    pub fn heap_size(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}
