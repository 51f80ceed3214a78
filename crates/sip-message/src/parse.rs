//! Bytes to offsets in one pass (RFC 3261 §7, §18.3). Every byte is looked at a bounded number of times whatever the
//! input. It checks the structure: start line, header lines, Content-Length, limits; not what header values mean.

use core::cell::Cell;

use bytes::Bytes;

use crate::byte::{self, SPACE, TOKEN, cut, is};
use crate::error::{Malformed, ParseError, ParseErrorKind as Kind};
use crate::head::{Field, Fields, Head, Index, Span};
use crate::limit;
use crate::line::{Line, LineEnds};
use crate::message::{Message, Request, Response};
use crate::name::{self, Name};

/// What the first line says.
enum Start {
    Request { method: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// What reading the head gave: it goes on after an error, so that the Via of a bad request is still found.
struct Reader {
    fields: Fields,
    index: Index,
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
    let mut reader = Reader {
        fields: Fields::new(),
        index: Index::default(),
        content_length: None,
        error: None,
    };
    if bytes.len() > limit::MESSAGE_BYTES_MAX {
        reader.fail(Kind::MessageTooLarge, limit::MESSAGE_BYTES_MAX);
    }
    let ends = LineEnds::new();
    let line = ends.line(bytes, first).map_err(|(error, _)| drop(error))?;
    let start = start_line(bytes, first, line.end, &mut reader).map_err(drop)?;
    let body = headers(bytes, line.next, ends, &mut reader);
    let end = body_end(bytes, body, &mut reader);
    let Reader { fields, index, error, .. } = reader;
    let body = (body as u32, end as u32);
    let head = Head { buf, edits: Vec::new(), fields, index, body, via_memo: Cell::new(None) };
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

/// RFC 3261 §7.1, §7.2: exactly two single spaces.
fn start_line(
    bytes: &[u8],
    from: usize,
    end: usize,
    reader: &mut Reader,
) -> Result<Start, ParseError> {
    let text = cut(bytes, from, end);
    let Some(first_space) = byte::find(b' ', text) else {
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
    let Some(dot) = byte::find(b'.', rest) else { return false };
    byte::digits(cut(rest, 0, dot)) && byte::digits(cut(rest, dot + 1, rest.len()))
}

fn status_line(text: &[u8], version: &[u8], from: usize) -> Result<Start, ParseError> {
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Kind::VersionUnsupported.at(from));
    }
    let at = version.len() + 1;
    let status = match text.get(at..at + 3) {
        Some(code) if byte::digits(code) => byte::number(code).unwrap_or(0),
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
#[inline]
fn headers(bytes: &[u8], mut at: usize, ends: LineEnds, reader: &mut Reader) -> usize {
    // Counts lines rather than fields: a line that was refused costs as much.
    for count in 0.. {
        match bytes.get(at) {
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => return at + 2,
            Some(b'\n') => {
                reader.fail(Kind::BareLf, at);
                return at + 1;
            }
            None => {
                reader.fail(Kind::BlankLineMissing, at);
                return at;
            }
            Some(_) => {}
        }
        if at > limit::HEAD_BYTES_MAX {
            reader.fail(Kind::HeadTooLarge, at);
            break;
        }
        if count >= limit::HEADERS_MAX {
            reader.fail(Kind::HeadersTooMany, at);
            break;
        }
        at = header(bytes, at, ends, reader);
    }
    bytes.len()
}

/// Where the colon of a header line is, and which name stands before it.
#[inline(always)]
fn name(bytes: &[u8], at: usize) -> Result<(Name, usize), Kind> {
    if let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk)
        && let window = name::words(window)
        && let Some(len) = colon(&window)
    {
        let name = Name::in_window(&window, len);
        if name != Name::Other || byte::all(cut(bytes, at, at + len), TOKEN) {
            return Ok((name, at + len));
        }
    }
    slow_name(bytes, at)
}

/// The first colon in a window.
#[inline(always)]
fn colon(window: &[u64; 3]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    for (i, word) in window.iter().enumerate() {
        // A byte that equals the colon becomes zero; the lowest zero byte is found exactly.
        let zero = word ^ (ONES * b':' as u64);
        let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
        if found != 0 {
            return Some(i * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    None
}

/// Long names, blanks before the colon, the end of the buffer, and what is wrong.
#[cold]
fn slow_name(bytes: &[u8], at: usize) -> Result<(Name, usize), Kind> {
    let rest = bytes.get(at..).unwrap_or_default();
    let len = rest.iter().position(|&b| !is(b, TOKEN)).unwrap_or(rest.len());
    let after = cut(rest, len, rest.len());
    let blanks = after.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(after.len());
    if rest.get(len + blanks) != Some(&b':') {
        let line = cut(rest, 0, byte::find(b'\n', rest).unwrap_or(rest.len()));
        let colon = byte::find(b':', line).is_some();
        return Err(if colon { Kind::HeaderName } else { Kind::ColonMissing });
    }
    match len {
        0 => Err(Kind::HeaderName),
        1..=limit::HEADER_NAME_BYTES_MAX => Ok((Name::of(cut(rest, 0, len)), at + len + blanks)),
        _ => Err(Kind::HeaderNameTooLong),
    }
}

/// Reads the header line at `at`, folds and all; gives where the next one starts.
#[inline(always)]
fn header(bytes: &[u8], at: usize, ends: LineEnds, reader: &mut Reader) -> usize {
    let (name, colon) = match name(bytes, at) {
        Ok(found) => found,
        Err(kind) => {
            reader.fail(kind, at);
            (Name::Other, at)
        }
    };
    let Line { end, next } = match header_end(bytes, colon, ends) {
        Ok(line) => line,
        Err((error, next)) => {
            reader.error.get_or_insert(error);
            return next;
        }
    };
    if colon == at {
        return next;
    }
    if next - at > limit::HEAD_BYTES_MAX {
        reader.fail(Kind::HeadTooLarge, at);
        return next;
    }
    let (value, end) = trim(bytes, colon + 1, end);
    reader.index.note(name, reader.fields.len());
    reader.fields.push(Field::new(name, at, value, end, next));
    if name == Name::ContentLength {
        content_length(cut(bytes, value, end), value, reader);
    }
    next
}

/// The end of a header line with its folds: a line that starts with white space continues the one before.
#[inline(always)]
fn header_end(bytes: &[u8], from: usize, ends: LineEnds) -> Result<Line, (ParseError, usize)> {
    let mut found = ends.line(bytes, from)?;
    while let Some(b' ' | b'\t') = bytes.get(found.next) {
        found = ends.line(bytes, found.next)?;
    }
    Ok(found)
}

/// The value without white space around it; almost always one blank before it.
#[inline(always)]
fn trim(bytes: &[u8], mut from: usize, mut to: usize) -> (usize, usize) {
    from += usize::from(bytes.get(from) == Some(&b' '));
    while from < to && bytes.get(from).is_some_and(|&b| is(b, SPACE)) {
        from += 1;
    }
    from = from.min(to);
    while from < to && bytes.get(to - 1).is_some_and(|&b| is(b, SPACE)) {
        to -= 1;
    }
    (from, to)
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
