//! The Call-ID of a message that has not been parsed, to find its owner (RFC 3261 §20.8). It finds exactly what
//! `Head::call_id` finds, or nothing: then any owner will do, for the message will be refused.

use crate::byte::{self, TOKEN, VISIBLE, cut, is};
use crate::limit;
use crate::name::Name;

/// The first Call-ID, or `None` when there is none in the head or it is malformed.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let message = cut(message, 0, message.len().min(limit::HEAD_BYTES_MAX));
    let mut at = message.iter().position(|&b| b != b'\r' && b != b'\n')?;
    loop {
        // Past this line: only one whose next starts with C or I can be followed by a Call-ID.
        at += byte::find(b'\n', cut(message, at, message.len()))? + 1;
        match message.get(at)? {
            b'c' | b'C' | b'i' | b'I' => {}
            b'\r' | b'\n' => return None,
            _ => continue,
        }
        let line = cut(message, at, message.len());
        let name_end = line.iter().position(|&b| !is(b, TOKEN))?;
        if Name::of(cut(line, 0, name_end)) != Name::CallId {
            continue;
        }
        let blanks = cut(line, name_end, line.len());
        let colon = name_end + blanks.iter().position(|&b| b != b' ' && b != b'\t')?;
        if line.get(colon) != Some(&b':') {
            continue;
        }
        return value(cut(line, colon + 1, line.len()));
    }
}

/// The value up to its line end; a fold may stand before it.
fn value(text: &[u8]) -> Option<&[u8]> {
    let mut end = byte::find(b'\n', text)?;
    while let Some(b' ' | b'\t') = text.get(end + 1) {
        end += 1 + byte::find(b'\n', cut(text, end + 1, text.len()))?;
    }
    let value = byte::trim(cut(text, 0, end));
    byte::all(value, VISIBLE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, id) in [
            (&b"OPTIONS sip:x SIP/2.0\r\nCall-ID: a@b\r\n\r\n"[..], Some(&b"a@b"[..])),
            (b"\r\n\r\nOPTIONS sip:x SIP/2.0\r\nVia: x\r\ni:a\r\n\r\n", Some(b"a")),
            (b"X sip:x SIP/2.0\r\nCALL-id \t:\r\n  a \r\n \r\n\r\n", Some(b"a")),
            (b"X sip:x SIP/2.0\nCSeq: 1 X\ncall-id: a\n\n", Some(b"a")),
            (b"X sip:x SIP/2.0\r\nVia: y\r\n\r\ni: a\r\n", None),
            (b"X sip:x SIP/2.0\r\ni: a b\r\n\r\n", None),
            (b"Call-ID: a\r\n\r\n", None),
            (b"", None),
        ] {
            assert_eq!(call_id(text), id, "{}", text.escape_ascii());
        }
    }
}
