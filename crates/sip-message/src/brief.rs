//! What a refusal needs of a plainly written request (RFC 3261 §8.2.6.2), found in one pass and without reading the rest:
//! for a server that has no time to read. Whatever is not plain (folded lines, a header twice, LF alone, a Via list) is
//! nothing here: then the message is read properly. It decides nothing that a full reading would decide otherwise.

use crate::byte::{self, TOKEN, VISIBLE, cut, is};
use crate::limit;
use crate::name::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief<'a> {
    pub method: &'a [u8],
    /// The value of the top Via.
    pub via: &'a [u8],
    /// The lines of the other Vias, line ends included.
    pub vias_below: &'a [u8],
    pub from: &'a [u8],
    pub to: &'a [u8],
    pub call_id: &'a [u8],
    pub cseq: &'a [u8],
    pub priority: Option<&'a [u8]>,
}

impl<'a> Brief<'a> {
    /// `None` for a response, and for anything that is not plain.
    pub fn of(message: &'a [u8]) -> Option<Self> {
        let message = cut(message, 0, message.len().min(limit::HEAD_BYTES_MAX));
        let first_end = byte::find(b'\n', message)?;
        let start_line = cut(message, 0, first_end).strip_suffix(b"\r")?;
        let method_end = byte::find(b' ', start_line)?;
        let method = cut(start_line, 0, method_end);
        if !start_line.ends_with(b" SIP/2.0") || !byte::all(method, TOKEN) || method.is_empty() {
            return None;
        }
        let mut found: [Option<&'a [u8]>; 5] = [None; 5];
        let mut priority = None;
        let (mut via, mut below, mut via_ended) = (None, None::<(usize, usize)>, false);
        let mut at = first_end + 1;
        loop {
            let rest = cut(message, at, message.len());
            let end = byte::find(b'\n', rest)?;
            let line = cut(rest, 0, end).strip_suffix(b"\r")?;
            if line.is_empty() {
                break;
            }
            let colon = byte::find(b':', line)?;
            let name = cut(line, 0, colon);
            // A fold, or white space before the colon.
            if !byte::all(name, TOKEN) || name.is_empty() {
                return None;
            }
            let value = byte::trim(cut(line, colon + 1, line.len()));
            let slot = match Name::of(name) {
                Name::Via if via.is_none() => {
                    via = Some(value);
                    None
                }
                Name::Via => {
                    if via_ended {
                        return None;
                    }
                    let start = below.map_or(at, |(start, _)| start);
                    below = Some((start, at + end + 1));
                    None
                }
                Name::From => Some(0),
                Name::To => Some(1),
                Name::CallId => Some(2),
                Name::CSeq => Some(3),
                Name::Priority if priority.is_none() => {
                    priority = Some(value);
                    None
                }
                _ => None,
            };
            via_ended |= via.is_some() && Name::of(name) != Name::Via;
            if let Some(place) = slot.and_then(|slot| found.get_mut(slot)) {
                // Which of two counts is for a full reading to say.
                if place.replace(value).is_some() {
                    return None;
                }
            }
            at += end + 1;
        }
        let [from, to, call_id, cseq, _] = found;
        let (via, call_id, cseq) = (via?, call_id?, cseq?);
        let cseq_method = cseq.rsplit(|&b| b == b' ').next()?;
        let is_plain = !via.contains(&b',') && !via.contains(&b'"') && cseq_method == method;
        let is_call_id = !call_id.is_empty() && byte::all(call_id, VISIBLE);
        if !is_plain || !is_call_id || !is(*via.first()?, TOKEN) {
            return None;
        }
        let vias_below = below.map_or(&[][..], |(start, end)| cut(message, start, end));
        Some(Self { method, via, vias_below, from: from?, to: to?, call_id, cseq, priority })
    }

    /// Whether To may have a tag. Never no when it has one.
    pub fn may_have_to_tag(&self) -> bool {
        self.to.windows(5).any(|window| window.eq_ignore_ascii_case(b";tag="))
            || self.to.windows(4).any(|window| window.eq_ignore_ascii_case(b"tag "))
            || self
                .to
                .iter()
                .any(|&b| matches!(b, b' ' | b'\t') && memchr::memchr(b';', self.to).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    const INVITE: &str = "INVITE sip:bob@b.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport\r\n\
        v: SIP/2.0/UDP old\r\n\
        From: <sip:a@a>;tag=1\r\nTo: Bob <sip:b@b>\r\ni: c@d\r\nCSeq: 7 INVITE\r\n\
        Priority: emergency\r\nContent-Length: 4\r\n\r\nbody";

    #[test]
    fn it_finds_what_a_full_reading_finds() {
        let brief = Brief::of(INVITE.as_bytes()).unwrap();
        let Ok(Message::Request(full)) = Message::parse(INVITE.as_bytes().into()) else { panic!() };
        assert_eq!(brief.method, full.method().as_bytes());
        assert_eq!(Some(brief.via), full.header(Name::Via));
        assert_eq!(brief.vias_below, b"v: SIP/2.0/UDP old\r\n");
        assert_eq!(Some(brief.from), full.header(Name::From));
        assert_eq!(Some(brief.to), full.header(Name::To));
        assert_eq!(Ok(brief.call_id), full.call_id());
        assert_eq!(Some(brief.cseq), full.header(Name::CSeq));
        assert_eq!(brief.priority, full.header(Name::Priority));
    }

    #[test]
    fn what_is_not_plain_is_nothing() {
        for (from, to) in [
            ("INVITE sip:bob@b.example SIP/2.0", "SIP/2.0 200 OK"),
            ("SIP/2.0\r\nVia", "SIP/2.0\nVia"),
            ("To: Bob", "To:\r\n Bob"),
            ("To: Bob", "To : Bob"),
            ("i: c@d", "i: c@d\r\nCall-ID: e"),
            ("i: c@d", "i: c d"),
            ("i: c@d\r\n", ""),
            ("CSeq: 7 INVITE", "CSeq: 7 BYE"),
            ("branch=z9hG4bKa", "branch=z9hG4bKa,SIP/2.0/UDP x"),
            ("Priority: emergency\r\n", "Via: SIP/2.0/UDP late\r\n"),
            ("\r\n\r\nbody", "\r\n"),
        ] {
            let text = INVITE.replacen(from, to, 1);
            assert_ne!(text, INVITE);
            assert_eq!(Brief::of(text.as_bytes()), None, "{text}");
        }
        for end in 0..INVITE.len() - 4 {
            assert_eq!(Brief::of(&INVITE.as_bytes()[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_tag_is_never_overlooked() {
        for (to, may) in [
            ("<sip:b@b>", false),
            ("\"Bob\" <sip:b@b>", false),
            ("<sip:b@b>;tag=1", true),
            ("<sip:b@b>;x=y;TAG=1", true),
            ("<sip:b@b> ; tag = 1", true),
            ("<sip:b@b>;\ttag=1", true),
        ] {
            let text = INVITE.replacen("Bob <sip:b@b>", to, 1);
            assert_eq!(Brief::of(text.as_bytes()).map(|b| b.may_have_to_tag()), Some(may), "{to}");
        }
    }
}
