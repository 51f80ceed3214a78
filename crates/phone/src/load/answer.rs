//! What the callees answer: the head of a response, copied from its request (RFC 3261 §8.2.6.2, §12.1.1).

use super::scan::{Message, Name};
use super::script::Id;

/// The To tag of a callee: every call and every message has its own.
pub fn tag(id: Id) -> [u8; 22] {
    let mut tag = *b";tag=c0000000000000000";
    crate::digest::push_hex(u64::from(id.generation) << 32 | u64::from(id.slot), &mut tag[6..]);
    tag
}

/// The request's Via, Record-Route, From, To, Call-ID and CSeq; `tag` is added to a To that has none yet.
pub fn copy_head(status_line: &[u8], request: &Message<'_>, tag: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(status_line);
    for line in request.lines() {
        match line.name {
            Name::To if !tag.is_empty() => {
                out.extend_from_slice(b"To: ");
                out.extend_from_slice(line.value);
                out.extend_from_slice(tag);
                out.extend_from_slice(b"\r\n");
            }
            Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::RecordRoute => {
                out.extend_from_slice(line.whole);
            }
            _ => {}
        }
    }
}
