//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Record-Route and their kin
//! (RFC 3261 §20.10, §20.20, §20.39, §25.1). Without angle brackets everything behind `;` belongs to the header.

use super::param::{Params, is_name, once, scan};
use super::{Element, raw};
use crate::byte::{self, TOKEN, URI, is};
use crate::cursor::{Cursor, unquote};
use crate::error::{ParseError, ParseErrorKind};
use crate::uri::Uri;

#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    display: &'a [u8],
    uri: &'a [u8],
    uri_base: u32,
    params: Params<'a>,
    tag: Option<&'a [u8]>,
    expires: Option<&'a [u8]>,
    q: Option<u16>,
    raw: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads a text that is one address and nothing else.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        super::single(byte::trim(text), 0)
    }

    /// Reads the first address of a list; `None` for an empty one.
    pub fn parse_first(list: &'a [u8]) -> Option<Self> {
        let end = super::first_end(crate::name::Name::Path, list).ok()?;
        Self::parse(list.get(..end)?).ok()
    }

    /// The display name without its quotes, escapes left as they are; empty when there is none.
    pub fn display(&self) -> &'a [u8] {
        unquote(self.display)
    }

    pub fn uri(&self) -> Result<Uri<'a>, ParseError> {
        Uri::parse(self.uri)
            .map_err(|e| ParseError { offset: e.offset.saturating_add(self.uri_base), ..e })
    }

    /// The URI as written, without brackets.
    pub fn uri_bytes(&self) -> &'a [u8] {
        self.uri
    }

    /// The header parameters: what stands behind the brackets.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    pub fn param(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.params.get(name)
    }

    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// The preference in thousandths, 0 to 1000 (RFC 3261 §20.10).
    pub fn q(&self) -> Option<u16> {
        self.q
    }

    /// Seconds. A value that is no number counts as 3600, one that is too large as the largest (RFC 3261 §20.10,
    /// §10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        self.expires.map(|value| byte::number(unquote(value)).unwrap_or(3600))
    }

    /// The whole value as written, without the comma behind it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

impl<'a> Element<'a> for NameAddr<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        let start = cursor.at;
        let display = display(cursor)?;
        let bracketed = cursor.eat(b'<');
        let at = cursor.at;
        let uri = if bracketed { cursor.run(URI) } else { bare_uri(cursor)? };
        if uri.is_empty() || (bracketed && !cursor.eat(b'>')) {
            return Err(cursor.error(ParseErrorKind::NameAddr));
        }
        let mut address = Self {
            display,
            uri,
            uri_base: cursor.base.saturating_add(at as u32),
            params: Params(b""),
            tag: None,
            expires: None,
            q: None,
            raw: b"",
        };
        address.params = scan(cursor, |param, _, _| match param.name {
            name if is_name(name, b"tag") => match param.value {
                None | Some([] | [b'"', ..]) => Err(ParseErrorKind::Tag),
                Some(tag) => once(&mut address.tag, tag),
            },
            name if is_name(name, b"q") => {
                let q = param.value.and_then(qvalue).ok_or(ParseErrorKind::Param)?;
                once(&mut address.q, q)
            }
            name if is_name(name, b"expires") => {
                once(&mut address.expires, param.value.unwrap_or_default())
            }
            _ => Ok(()),
        })?;
        address.raw = raw(cursor, start, cursor.at);
        Ok(address)
    }
}

/// Reads a display name, if there is one, and stops at `<` or at the start of an `addr-spec`.
#[inline]
fn display<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
    let start = cursor.at;
    match cursor.peek() {
        Some(b'<') => return Ok(b""),
        Some(b'"') => {
            let display = cursor.quoted()?;
            cursor.skip_space();
            return match cursor.peek() {
                Some(b'<') => Ok(display),
                _ => Err(cursor.error(ParseErrorKind::NameAddr)),
            };
        }
        _ => {}
    }
    loop {
        let before = cursor.at;
        // Tokens by the grammar; phones also put bare UTF-8 here, and nothing else could be meant by it.
        while cursor.peek().is_some_and(|b| is(b, TOKEN) || b >= 0x80) {
            cursor.bump();
        }
        let end = cursor.at;
        cursor.skip_space();
        match cursor.peek() {
            Some(b'<') => return Ok(byte::trim(cursor.since(start))),
            Some(_) if end > before && cursor.at > end => {}
            _ => {
                cursor.at = start;
                return Ok(b"");
            }
        }
    }
}

/// A URI outside brackets ends at `;` or `,` and cannot hold `?` (RFC 3261 §20).
fn bare_uri<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
    let start = cursor.at;
    while let Some(b) = cursor.peek() {
        match b {
            b';' | b',' => break,
            b'?' => return Err(cursor.error(ParseErrorKind::UriBrackets)),
            b if is(b, URI) => cursor.bump(),
            _ => break,
        }
    }
    let uri = cursor.since(start);
    if byte::find(b':', uri).is_none() {
        return Err(cursor.error(ParseErrorKind::NameAddr));
    }
    Ok(uri)
}

/// `0`, `0.5`, `1.000` in thousandths.
fn qvalue(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut q = u16::from(whole.checked_sub(b'0').filter(|&d| d <= 1)?) * 1000;
    let mut unit = 100;
    for d in decimals {
        q += u16::from(d.checked_sub(b'0').filter(|&d| d <= 9)?) * unit;
        unit /= 10;
    }
    (q <= 1000).then_some(q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NameAddr<'_>, ParseError> {
        NameAddr::parse(text.as_bytes())
    }

    #[test]
    fn forms() {
        let a = parse(r#""A \" ;tag=evil" <sip:a@x;lr>;tag=good"#).unwrap();
        assert_eq!(a.tag(), Some(&b"good"[..]));
        assert_eq!(a.uri_bytes(), b"sip:a@x;lr");
        assert_eq!(a.display(), br#"A \" ;tag=evil"#);
        let b = parse("sip:a@x;tag=ft").unwrap();
        assert_eq!((b.uri_bytes(), b.tag()), (&b"sip:a@x"[..], Some(&b"ft"[..])));
        let c = parse("caller<sip:c@x>").unwrap();
        assert_eq!((c.display(), c.uri_bytes(), c.tag()), (&b"caller"[..], &b"sip:c@x"[..], None));
        let d = parse("Two  Words <sip:c@x> ; q=0.25;expires=9999999999999").unwrap();
        assert_eq!(
            (d.display(), d.q(), d.expires()),
            (&b"Two  Words"[..], Some(250), Some(u32::MAX))
        );
        assert_eq!(parse("<sip:c@x>;expires=soon").unwrap().expires(), Some(3600));
    }

    #[test]
    fn first_of_a_list() {
        let first = |list: &'static str| NameAddr::parse_first(list.as_bytes());
        assert_eq!(first("<sip:a,b@x;lr> , <sip:c@x>").unwrap().uri_bytes(), b"sip:a,b@x;lr");
        assert_eq!(first("<sip:a@x>").unwrap().uri_bytes(), b"sip:a@x");
        assert!(first("").is_none() && first("nonsense").is_none());
    }

    #[test]
    fn what_is_not_an_address() {
        for bad in [
            "",
            "sip:a@x?h=v",
            "< sip:a@x >",
            "\"open <sip:a@x>",
            "Bell, Alexander <sip:a@x>",
            "<sip:a@x>;;tag=1",
            "<sip:a@x>;tag=1;tag=2",
            "<sip:a@x>;tag=\"1\"",
            "<sip:a@x",
            "<>",
            "name",
            "<sip:a@x> x",
            "<sip:a@x>;q=1.001",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
