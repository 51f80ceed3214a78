//! The host of a URI or a Via (RFC 3261 §25.1 `host`, RFC 5118 §4): IPv4, an IPv6 reference in brackets, or a name.
//! It never resolves a name.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::byte::{self, HEX, HOST, cut, is};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// As written: compare without case.
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// Reads a text that is one host and nothing else.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text, 0);
        let (host, _) = Self::read(&mut cursor)?;
        if cursor.at_end() { Ok(host) } else { Err(cursor.error(ParseErrorKind::Host)) }
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Self::V4(ip) => Some(ip.into()),
            Self::V6(ip) => Some(ip.into()),
            Self::Name(_) => None,
        }
    }

    /// Reads a host at the cursor: what it is, and how it was written.
    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<(Self, &'a [u8]), ParseError> {
        let start = cursor.at;
        let wrong = |cursor: &Cursor<'_>| ParseErrorKind::Host.at(cursor.base as usize + start);
        if cursor.eat(b'[') {
            while cursor.peek().is_some_and(|b| is(b, HEX) || b == b':' || b == b'.') {
                cursor.bump();
            }
            let inner = cut(cursor.bytes, start + 1, cursor.at);
            if !cursor.eat(b']') {
                return Err(wrong(cursor));
            }
            let ip = v6(inner).ok_or_else(|| wrong(cursor))?;
            return Ok((Self::V6(ip), cursor.since(start)));
        }
        let text = cursor.run(HOST);
        let (Some(first), Some(last)) = (text.first(), text.last()) else {
            return Err(wrong(cursor));
        };
        if first.is_ascii_digit()
            && last.is_ascii_digit()
            && let Some(ip) = v4(text)
        {
            return Ok((Self::V4(ip), text));
        }
        if matches!(first, b'-' | b'.') || *last == b'-' {
            return Err(wrong(cursor));
        }
        Ok((Self::Name(text), text))
    }
}

/// Four decimal numbers without superfluous zeros: `010` is octal to some readers, so it is no address to us.
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut rest = text.iter();
    for (n, octet) in octets.iter_mut().enumerate() {
        let mut value: Option<u32> = None;
        let ended = loop {
            match rest.next() {
                Some(b'.') => break false,
                None => break true,
                Some(&b) if b.is_ascii_digit() && value != Some(0) => {
                    let next = value.unwrap_or(0) * 10 + u32::from(b - b'0');
                    value = Some(next).filter(|v| *v <= 255);
                    value?;
                }
                Some(_) => return None,
            }
        };
        *octet = value? as u8;
        if ended != (n == 3) {
            return None;
        }
    }
    Some(octets.into())
}

/// RFC 3986, and the three colons before an IPv4 part that the grammar of RFC 3261 generated (RFC 5118 §4.10).
fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    let text = core::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let (head, tail) = text.split_once(":::")?;
    if !tail.contains('.') {
        return None;
    }
    [head, "::", tail].concat().parse().ok()
}

/// A port number; `None` when it is no number below 65536.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 && !digits.starts_with(b"0") {
        return None;
    }
    u16::try_from(byte::number(digits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(Host::parse(b"192.0.2.1"), Ok(Host::V4([192, 0, 2, 1].into())));
        assert_eq!(Host::parse(b"192.0.02.1"), Ok(Host::Name(b"192.0.02.1")));
        assert_eq!(Host::parse(b"192.0.2.256"), Ok(Host::Name(b"192.0.2.256")));
        let v6 = "2001:db8::10:5070".parse().unwrap();
        assert_eq!(Host::parse(b"[2001:db8::10:5070]"), Ok(Host::V6(v6)));
        let mapped = Host::parse(b"[2001:db8:::192.0.2.1]").unwrap();
        assert_eq!(mapped, Host::parse(b"[2001:db8::192.0.2.1]").unwrap());
        for name in ["1.2.3", "1.2.3.4.5", "1..3.4", "0.0.0.00", "1.2.3.1000", "1.2.3.4294967297"] {
            assert_eq!(Host::parse(name.as_bytes()), Ok(Host::Name(name.as_bytes())));
        }
        assert_eq!(Host::parse(b"0.10.255.9"), Ok(Host::V4([0, 10, 255, 9].into())));
        for bad in [&b""[..], b"2001:db8::1", b"[::1", b"[::1%lo]", b"[]", b"-a", b"a b", b".a"] {
            assert!(Host::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn ports_never_wrap() {
        assert_eq!(port(b"5060"), Some(5060));
        assert_eq!(port(b"65536"), None);
        assert_eq!(port(b"4294972356"), None);
        assert_eq!(port(b""), None);
    }
}
