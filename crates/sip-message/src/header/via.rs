//! Via (RFC 3261 §20.42, §18.2, RFC 3581): where a response goes. It never decides where: it only reads.

use core::net::IpAddr;

use super::param::{Params, is_name, once, scan};
use super::{Element, raw};
use crate::byte::{TOKEN, cut};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};
use crate::head::{Field, Head};
use crate::uri::Host;

#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// As written: `UDP`, `tcp`, `TLS-SCTP`.
    pub transport: &'a [u8],
    /// The sent-by host.
    pub host: Host<'a>,
    pub host_bytes: &'a [u8],
    pub port: Option<u16>,
    pub branch: Option<&'a [u8]>,
    pub received: Option<&'a [u8]>,
    /// `Some(None)`: asked for, not filled in yet (RFC 3581 §3).
    pub rport: Option<Option<u16>>,
    pub maddr: Option<&'a [u8]>,
    pub params: Params<'a>,
    raw: &'a [u8],
    /// Where `;received=..` and `;rport=..` stand in `raw`; empty when they do not.
    received_at: (u32, u32),
    rport_at: (u32, u32),
}

impl<'a> Via<'a> {
    /// This value as written, without the comma behind it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    pub fn param(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.params.get(name)
    }

    /// Whether the branch has the cookie of RFC 3261 §8.1.1.7, so that it identifies the transaction.
    pub fn has_cookie(&self) -> bool {
        self.branch.is_some_and(|b| b.get(..7).is_some_and(|c| c.eq_ignore_ascii_case(b"z9hG4bK")))
    }

    /// This value without `received` and `rport`.
    pub(crate) fn write_without_source(&self, out: &mut Vec<u8>) {
        let (a, b) = if self.received_at.0 <= self.rport_at.0 {
            (self.received_at, self.rport_at)
        } else {
            (self.rport_at, self.received_at)
        };
        out.extend_from_slice(cut(self.raw, 0, a.0 as usize));
        out.extend_from_slice(cut(self.raw, a.1 as usize, b.0 as usize));
        out.extend_from_slice(cut(self.raw, b.1 as usize, self.raw.len()));
    }
}

/// A Via as offsets into the value it starts, so that it can be kept beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViaShape {
    transport: Piece,
    host: HostKind,
    host_bytes: Piece,
    port: Option<u16>,
    branch: Option<Piece>,
    received: Option<Piece>,
    rport: Option<Option<u16>>,
    maddr: Option<Piece>,
    params: u16,
    raw_len: u16,
    received_at: (u32, u32),
    rport_at: (u32, u32),
}

/// Start and length.
type Piece = (u16, u16);

#[derive(Clone, Copy, Debug)]
enum HostKind {
    Ip(IpAddr),
    Name,
}

/// Where `part` lies in `whole`. None when it does not, or beyond 64 KiB; an empty part lies anywhere.
#[inline]
fn piece(whole: &[u8], part: &[u8]) -> Option<Piece> {
    if part.is_empty() {
        return Some((0, 0));
    }
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let inside = start + part.len() <= whole.len();
    Some((u16::try_from(start).ok()?, u16::try_from(part.len()).ok()?)).filter(|_| inside)
}

#[inline]
fn part(whole: &[u8], (start, len): Piece) -> &[u8] {
    let start = usize::from(start);
    cut(whole, start, start + usize::from(len))
}

impl Via<'_> {
    #[inline]
    pub(crate) fn shape(&self) -> Option<ViaShape> {
        let raw = self.raw;
        let maybe =
            |part: Option<&[u8]>| part.map_or(Some(None), |part| piece(raw, part).map(Some));
        Some(ViaShape {
            transport: piece(raw, self.transport)?,
            host: self.host.ip().map_or(HostKind::Name, HostKind::Ip),
            host_bytes: piece(raw, self.host_bytes)?,
            port: self.port,
            branch: maybe(self.branch)?,
            received: maybe(self.received)?,
            rport: self.rport,
            maddr: maybe(self.maddr)?,
            params: u16::try_from(raw.len() - self.params.0.len()).ok()?,
            raw_len: u16::try_from(raw.len()).ok()?,
            received_at: self.received_at,
            rport_at: self.rport_at,
        })
    }
}

impl ViaShape {
    /// The Via again. `value` is what it was read from, or what `stamped` was told of.
    #[inline]
    pub(crate) fn view(self, value: &[u8]) -> Via<'_> {
        let raw = cut(value, 0, usize::from(self.raw_len));
        let host_bytes = part(raw, self.host_bytes);
        Via {
            transport: part(raw, self.transport),
            host: match self.host {
                HostKind::Ip(IpAddr::V4(ip)) => Host::V4(ip),
                HostKind::Ip(IpAddr::V6(ip)) => Host::V6(ip),
                HostKind::Name => Host::Name(host_bytes),
            },
            host_bytes,
            port: self.port,
            branch: self.branch.map(|branch| part(raw, branch)),
            received: self.received.map(|received| part(raw, received)),
            rport: self.rport,
            maddr: self.maddr.map(|maddr| part(raw, maddr)),
            params: Params(cut(raw, usize::from(self.params), raw.len())),
            raw,
            received_at: self.received_at,
            rport_at: self.rport_at,
        }
    }

    /// The same Via after `received` and `rport` were taken out and written anew behind everything else.
    pub(crate) fn stamped(self, stamp: &Stamp) -> Option<Self> {
        let out = |(from, to): (u32, u32), at: u32| if at >= to { to - from } else { 0 };
        let moved = |(start, len): Piece| {
            let at = u32::from(start);
            let gone = out(self.received_at, at) + out(self.rport_at, at);
            (start.saturating_sub(gone as u16), len)
        };
        let raw_len = u16::try_from(stamp.end).ok()?;
        let received = u16::try_from(stamp.received).ok()?;
        Some(Self {
            transport: moved(self.transport),
            host_bytes: moved(self.host_bytes),
            branch: self.branch.map(moved),
            maddr: self.maddr.map(moved),
            received: Some((received, raw_len.checked_sub(received)?)),
            rport: stamp.port.map(Some),
            raw_len,
            received_at: (stamp.received as u32 - RECEIVED.len() as u32, stamp.end as u32),
            rport_at: match stamp.port {
                Some(_) => (stamp.rport as u32, (stamp.received - RECEIVED.len()) as u32),
                None => (0, 0),
            },
            ..self
        })
    }
}

/// Where the new parameters were written, as offsets into the new value.
pub(crate) struct Stamp {
    pub port: Option<u16>,
    /// Where `;rport` starts.
    pub rport: usize,
    /// Where the address starts.
    pub received: usize,
    pub end: usize,
}

pub(crate) const RECEIVED: &[u8] = b";received=";

/// How nearly every Via begins: read at once what the general way would read piece by piece.
const USUAL: &[u8] = b"SIP/2.0/";

impl<'a> Element<'a> for Via<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        let start = cursor.at;
        if cursor.rest().starts_with(USUAL) {
            cursor.at += USUAL.len();
            cursor.skip_space();
        } else {
            token(cursor)?;
            slash(cursor)?;
            token(cursor)?;
            slash(cursor)?;
        }
        let transport = token(cursor)?;
        let before = cursor.at;
        cursor.skip_space();
        if cursor.at == before {
            return Err(cursor.error(ParseErrorKind::Via));
        }
        let (host, host_bytes) = Host::read(cursor)?;
        let after = cursor.at;
        cursor.skip_space();
        let port = if cursor.eat(b':') {
            cursor.skip_space();
            let digits = cursor.digits();
            Some(crate::uri::port(digits).ok_or_else(|| cursor.error(ParseErrorKind::Port))?)
        } else {
            cursor.at = after;
            None
        };
        let mut via = Self {
            transport,
            host,
            host_bytes,
            port,
            branch: None,
            received: None,
            rport: None,
            maddr: None,
            params: Params(b""),
            raw: b"",
            received_at: (0, 0),
            rport_at: (0, 0),
        };
        via.params = scan(cursor, |param, from, to| {
            let at = ((from - start) as u32, (to - start) as u32);
            let value = param.value.unwrap_or_default();
            match param.name {
                name if is_name(name, b"branch") => once(&mut via.branch, value),
                name if is_name(name, b"rport") => {
                    via.rport_at = at;
                    let port = match param.value {
                        None => None,
                        Some(v) => Some(crate::uri::port(v).ok_or(ParseErrorKind::Port)?),
                    };
                    once(&mut via.rport, port)
                }
                name if is_name(name, b"received") => {
                    via.received_at = at;
                    once(&mut via.received, value)
                }
                name if is_name(name, b"maddr") => once(&mut via.maddr, value),
                _ => Ok(()),
            }
        })?;
        if matches!(via.branch, Some([])) {
            return Err(cursor.error(ParseErrorKind::Branch));
        }
        via.raw = raw(cursor, start, cursor.at);
        Ok(via)
    }

    /// Only a value that starts with its element was kept.
    #[inline]
    fn recall(head: &'a Head, field: &Field) -> Option<(Self, usize)> {
        let (span, shape) = head.via_memo.get()?;
        let via = (span == field.value()).then(|| shape.view(head.value_of(field).0))?;
        Some((via, via.raw.len()))
    }
}

#[inline]
fn token<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
    let token = cursor.run(TOKEN);
    if token.is_empty() { Err(cursor.error(ParseErrorKind::Via)) } else { Ok(token) }
}

#[inline]
fn slash(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    cursor.skip_space();
    if !cursor.eat(b'/') {
        return Err(cursor.error(ParseErrorKind::Via));
    }
    cursor.skip_space();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn via(text: &[u8]) -> Result<Via<'_>, ParseError> {
        super::super::single(text, 0)
    }

    #[test]
    fn spaces_and_folds_everywhere() {
        let v =
            via(b"SIP  /   2.0\r\n /UDP\r\n    192.0.2.2 : 5061 ; branch\r\n = z9hG4bKx ;rport")
                .unwrap();
        assert_eq!(v.transport, b"UDP");
        assert_eq!(v.host, Host::V4([192, 0, 2, 2].into()));
        assert_eq!((v.port, v.branch, v.rport), (Some(5061), Some(&b"z9hG4bKx"[..]), Some(None)));
        assert!(v.has_cookie());
    }

    #[test]
    fn source_params_are_cut_out_wherever_they_stand() {
        for text in [
            "SIP/2.0/UDP h;rport;branch=b;received=192.0.2.9;x",
            "SIP/2.0/UDP h;received=1;branch=b ; rport = 7;x",
            "SIP/2.0/UDP h;branch=b;x",
        ] {
            let mut out = Vec::new();
            via(text.as_bytes()).unwrap().write_without_source(&mut out);
            assert_eq!(out, b"SIP/2.0/UDP h;branch=b;x", "{text}");
        }
    }

    #[test]
    fn a_shape_is_the_via_again_stamped_or_not() {
        for text in [
            "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa",
            "SIP/2.0/TCP [2001:db8::1] ; received = x ; maddr=m;branch=b;rport=7;y",
            "SIP/2.0/UDP h;branch=b;rport;received=192.0.2.7, SIP/2.0/UDP other;branch=c",
            "SIP / 2.0 / UDP h;maddr=q;received=1",
        ] {
            for source in ["192.0.2.9:5099", "[2001:db8::2]:65535"] {
                let message =
                    format!("OPTIONS sip:a SIP/2.0\r\nVia: {text}\r\nFrom: <sip:a>;tag=1\r\n\r\n");
                let message = crate::Message::parse(message.into_bytes().into());
                let Ok(crate::Message::Request(mut request)) = message else { panic!("{text}") };
                let said = |head: &Head| format!("{:?}", head.vias().collect::<Vec<_>>());
                let anew = |head: &Head| {
                    head.via_memo.set(None);
                    said(head)
                };
                let before = anew(&request);
                assert_eq!(said(&request), before);
                request.stamp_source(source.parse().unwrap());
                let stamped = said(&request);
                assert_eq!(stamped, anew(&request), "{text}");
                request.stamp_source("192.0.2.99:1".parse().unwrap());
                let again = said(&request);
                assert_eq!(again, anew(&request), "{text}, twice");
                request.set(Name::Via, b"SIP/2.0/UDP z;branch=n");
                assert_eq!(request.via().unwrap().host_bytes, b"z", "an edit is seen");
                let other = request.clone();
                request.pop_first(Name::Via);
                assert!(request.via().is_err() && other.via().is_ok());
            }
        }
    }

    #[test]
    fn what_is_not_a_via() {
        for bad in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0 UDP h",
            b"SIP/2.0/UDP :;branch=",
            b"SIP/2.0/UDP h:99999",
            b"SIP/2.0/UDP h;;",
            b"SIP/2.0/\x16UD~PTo :::]",
            b"SIP/2.0/UDP h;branch=a;branch=b",
            b"SIP/2.0/UDP [::1",
        ] {
            assert!(via(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
