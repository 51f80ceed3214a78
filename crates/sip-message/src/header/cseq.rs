//! CSeq (RFC 3261 §20.16): a number and the method. The number must fit 32 bits; it never wraps.

use super::Element;
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};
use crate::method::Method;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    pub number: u32,
    pub method: Method<'a>,
}

impl<'a> Element<'a> for CSeq<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        let start = cursor.at;
        let mut number = 0u64;
        while let Some(digit @ b'0'..=b'9') = cursor.peek() {
            number = number * 10 + u64::from(digit - b'0');
            if number > u64::from(u32::MAX) {
                return Err(cursor.error(ParseErrorKind::CSeq));
            }
            cursor.bump();
        }
        if cursor.at == start {
            return Err(cursor.error(ParseErrorKind::CSeq));
        }
        let before = cursor.at;
        cursor.skip_space();
        let spaced = cursor.at > before;
        let method = cursor.token();
        if !spaced || method.is_empty() {
            return Err(cursor.error(ParseErrorKind::CSeq));
        }
        Ok(Self { number: number as u32, method: Method::of(method) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cseq(text: &[u8]) -> Option<(u32, Method<'_>)> {
        super::super::single::<CSeq<'_>>(text, 0).ok().map(|c| (c.number, c.method))
    }

    #[test]
    fn numbers_up_to_32_bits() {
        assert_eq!(cseq(b"0009\r\n  INVITE"), Some((9, Method::Invite)));
        assert_eq!(cseq(b"4294967295 ACK"), Some((u32::MAX, Method::Ack)));
        for bad in [
            &b"4294967296 ACK"[..],
            b"36893488147419103232 REGISTER",
            b"1",
            b"1INVITE",
            b"-1 ACK",
            b"1 A B",
        ] {
            assert_eq!(cseq(bad), None, "{}", bad.escape_ascii());
        }
    }
}
