//! Bytes to offsets in one pass (RFC 3261 §7, §18.3). Every byte is looked at a bounded number of times whatever the
//! input. It checks the structure: start line, header lines, Content-Length, limits; not what header values mean.

use bytes::Bytes;
use memchr::memchr2;

use crate::byte::{self, SPACE, TOKEN, cut, is};
use crate::error::{Malformed, ParseError, ParseErrorKind as Kind};
use crate::head::{Field, Fields, Head, Span};
use crate::limit;
use crate::message::{Message, Request, Response};
use crate::name::Name;

/// What the first line says.
enum Start {
    Request { method: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// The line at `from`: where its text ends, and where the next one starts.
struct Line {
    end: usize,
    next: usize,
}

/// What reading the head gave: it goes on after an error, so that the Via of a bad request is still found.
struct Reader {
    fields: Fields,
    names: u128,
    content_length: Option<u32>,
    error: Option<ParseError>,
}

impl Reader {
    fn fail(&mut self, kind: Kind, offset: usize) {
        self.error.get_or_insert(kind.at(offset));
    }
}

pub fn message(buf: Bytes) -> Result<Message, Malformed> {
    let drop = |error| Malformed { error, request: None };
    let bytes = cut(&buf, 0, buf.len().min(limit::MESSAGE_BYTES_MAX + 1));
    let first = bytes.iter().position(|&b| b != b'\r' && b != b'\n');
    let Some(first) = first else { return Err(drop(Kind::Empty.at(0))) };
    let mut reader = Reader { fields: Fields::new(), names: 0, content_length: None, error: None };
    if bytes.len() > limit::MESSAGE_BYTES_MAX {
        reader.fail(Kind::MessageTooLarge, limit::MESSAGE_BYTES_MAX);
    }
    let (start, body) = match line(bytes, first) {
        Ok(line) => (start_line(bytes, first, line.end, &mut reader), line.next),
        Err(error) => return Err(drop(error)),
    };
    let start = start.map_err(drop)?;
    let body = headers(bytes, body, &mut reader);
    let end = body_end(bytes, body, &mut reader);
    let Reader { fields, names, error, .. } = reader;
    let head = Head { buf, edits: Vec::new(), fields, names, body: (body as u32, end as u32) };
    let Some(error) = error else {
        return Ok(match start {
            Start::Request { method, uri } => Message::Request(Request { head, method, uri }),
            Start::Response { status, reason } => {
                Message::Response(Response { head, status, reason })
            }
        });
    };
    let request = match start {
        Start::Request { method, uri } if head.has(Name::Via) => {
            Some(Box::new(Request { head, method, uri }))
        }
        _ => None,
    };
    Err(Malformed { error, request })
}

/// Finds the end of the line at `from`, folds not considered.
#[inline]
fn line(bytes: &[u8], from: usize) -> Result<Line, ParseError> {
    let mut from = from;
    let mut bare = None;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(at) = memchr2(b'\r', b'\n', rest) else {
            return Err(Kind::BlankLineMissing.at(bytes.len()));
        };
        let end = from + at;
        if rest.get(at) == Some(&b'\n') {
            return bare.map_or(Ok(Line { end, next: end + 1 }), Err);
        }
        if rest.get(at + 1) == Some(&b'\n') {
            return bare.map_or(Ok(Line { end, next: end + 2 }), Err);
        }
        bare.get_or_insert(Kind::BareCr.at(end));
        from = end + 1;
    }
}

/// RFC 3261 §7.1, §7.2: exactly two single spaces.
fn start_line(
    bytes: &[u8],
    from: usize,
    end: usize,
    reader: &mut Reader,
) -> Result<Start, ParseError> {
    let text = cut(bytes, from, end);
    let Some(first_space) = memchr::memchr(b' ', text) else {
        return Err(Kind::StartLine.at(from));
    };
    let first = cut(text, 0, first_space);
    if first.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(text, first, from);
    }
    if !byte::all(first, TOKEN) {
        return Err(Kind::Method.at(from));
    }
    if first.len() > limit::METHOD_BYTES_MAX {
        reader.fail(Kind::MethodTooLong, from);
    }
    let last_space = memchr::memrchr(b' ', text).unwrap_or(first_space);
    let version = cut(text, last_space + 1, text.len());
    let uri = cut(text, first_space + 1, last_space);
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        let kind = if is_version(version) { Kind::VersionUnsupported } else { Kind::StartLine };
        reader.fail(kind, from + last_space + 1);
    } else if uri.is_empty() || uri.iter().any(|&b| b <= b' ') {
        reader.fail(Kind::StartLine, from + first_space + 1);
    }
    if uri.len() > limit::URI_BYTES_MAX {
        reader.fail(Kind::UriTooLong, from + first_space + 1);
    }
    let method = Span::received(from, from + first_space);
    let uri = Span::received(from + first_space + 1, from + last_space.max(first_space + 1));
    Ok(Start::Request { method, uri })
}

/// `SIP/` with digits on both sides of a dot.
fn is_version(text: &[u8]) -> bool {
    let Some(number) = text.get(..4).filter(|v| v.eq_ignore_ascii_case(b"SIP/")) else {
        return false;
    };
    let rest = cut(text, number.len(), text.len());
    let Some(dot) = memchr::memchr(b'.', rest) else { return false };
    byte::all(cut(rest, 0, dot), byte::DIGIT)
        && byte::all(cut(rest, dot + 1, rest.len()), byte::DIGIT)
}

fn status_line(text: &[u8], version: &[u8], from: usize) -> Result<Start, ParseError> {
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Kind::VersionUnsupported.at(from));
    }
    let at = version.len() + 1;
    let status = match text.get(at..at + 3) {
        Some(code) if byte::all(code, byte::DIGIT) => byte::number(code).unwrap_or(0),
        _ => 0,
    };
    // The space after the code is mandatory; what lost it together with an empty reason is still understood.
    let reason = match text.get(at + 3) {
        Some(b' ') => at + 4,
        None => at + 3,
        Some(_) => return Err(Kind::StatusCode.at(from + at)),
    };
    if !(100..=699).contains(&status) {
        return Err(Kind::StatusCode.at(from + at));
    }
    let reason = Span::received(from + reason, from + text.len());
    Ok(Start::Response { status: status as u16, reason })
}

/// Reads header lines from `at` to the blank line; gives where the body starts.
fn headers(bytes: &[u8], mut at: usize, reader: &mut Reader) -> usize {
    loop {
        match bytes.get(at) {
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => return at + 2,
            Some(b'\n') => return at + 1,
            None => {
                reader.fail(Kind::BlankLineMissing, at);
                return at;
            }
            Some(_) => {}
        }
        if at > limit::HEAD_BYTES_MAX {
            reader.fail(Kind::HeadTooLarge, at);
            return bytes.len();
        }
        if reader.fields.len() >= limit::HEADERS_MAX {
            reader.fail(Kind::HeadersTooMany, at);
            return bytes.len();
        }
        at = header(bytes, at, reader);
    }
}

/// Reads the header line at `at`, folds and all; gives where the next one starts.
#[inline]
fn header(bytes: &[u8], at: usize, reader: &mut Reader) -> usize {
    let mut name_end = at;
    while let Some(&b) = bytes.get(name_end)
        && is(b, TOKEN)
    {
        name_end += 1;
    }
    let mut colon = name_end;
    while let Some(b' ' | b'\t') = bytes.get(colon) {
        colon += 1;
    }
    let (end, next) = match header_end(bytes, colon) {
        Ok(line) => (line.end, line.next),
        Err(error) => {
            reader.error.get_or_insert(error);
            match memchr::memchr(b'\n', cut(bytes, at, bytes.len())) {
                Some(n) => return at + n + 1,
                None => return bytes.len(),
            }
        }
    };
    if bytes.get(colon) != Some(&b':') {
        let kind = if memchr::memchr(b':', cut(bytes, at, end)).is_none() {
            Kind::ColonMissing
        } else {
            Kind::HeaderName
        };
        reader.fail(kind, at);
        return next;
    }
    if name_end == at || name_end - at > limit::HEADER_NAME_BYTES_MAX {
        let kind = if name_end == at { Kind::HeaderName } else { Kind::HeaderNameTooLong };
        reader.fail(kind, at);
        return next;
    }
    let mut value = colon + 1;
    let mut value_end = end;
    while value < value_end && bytes.get(value).is_some_and(|&b| is(b, SPACE)) {
        value += 1;
    }
    while value < value_end && bytes.get(value_end - 1).is_some_and(|&b| is(b, SPACE)) {
        value_end -= 1;
    }
    if next - at > limit::HEAD_BYTES_MAX {
        reader.fail(Kind::HeadTooLarge, at);
        return next;
    }
    let name = Name::of(cut(bytes, at, name_end));
    reader.names |= name.bit();
    reader.fields.push(Field::new(name, at, value, value_end, next));
    if name == Name::ContentLength {
        content_length(cut(bytes, value, value_end), value, reader);
    }
    next
}

/// The end of a header line with its folds: a line that starts with white space continues the one before.
#[inline]
fn header_end(bytes: &[u8], from: usize) -> Result<Line, ParseError> {
    let mut found = line(bytes, from)?;
    while let Some(b' ' | b'\t') = bytes.get(found.next) {
        found = line(bytes, found.next)?;
    }
    Ok(found)
}

fn content_length(value: &[u8], at: usize, reader: &mut Reader) {
    match (byte::number(value), reader.content_length) {
        (None, _) => reader.fail(Kind::ContentLength, at),
        (Some(new), Some(old)) if new != old => reader.fail(Kind::ContentLengthConflict, at),
        (Some(new), _) => reader.content_length = Some(new),
    }
}

/// RFC 3261 §18.3: a datagram without Content-Length ends with its body; one with more than it says is cut; one with
/// less is an error.
fn body_end(bytes: &[u8], body: usize, reader: &mut Reader) -> usize {
    let there = bytes.len().saturating_sub(body);
    match reader.content_length {
        None => bytes.len(),
        Some(wanted) if wanted as usize > there => {
            reader.fail(Kind::BodyTooShort, body);
            bytes.len()
        }
        Some(wanted) => body + wanted as usize,
    }
}
