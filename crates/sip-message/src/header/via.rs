//! Via (RFC 3261 §20.42, §18.2, RFC 3581): where a response goes. It never decides where: it only reads.

use super::param::{Params, is_name, once, scan};
use super::{Element, raw};
use crate::byte::{TOKEN, cut};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};
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

/// How nearly every Via begins: read at once what the general way would read piece by piece.
const USUAL: &[u8] = b"SIP/2.0/";

impl<'a> Element<'a> for Via<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        let start = cursor.at;
        if cursor.rest().starts_with(USUAL) {
            cursor.at += USUAL.len();
            cursor.skip_space();
        } else {
            part(cursor)?;
            slash(cursor)?;
            part(cursor)?;
            slash(cursor)?;
        }
        let transport = part(cursor)?;
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
}

#[inline]
fn part<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
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
