//! CSeq (RFC 3261 §20.16): a number and the method. The number must fit 32 bits; it never wraps.

use super::Element;
use crate::byte::{DIGIT, number};
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
        let digits = cursor.run(DIGIT);
        let wrong = cursor.error(ParseErrorKind::CSeq);
        let number = exact(digits).ok_or(wrong)?;
        let before = cursor.at;
        cursor.skip_space();
        let spaced = cursor.at > before;
        let method = cursor.token();
        if !spaced || method.is_empty() {
            return Err(cursor.error(ParseErrorKind::CSeq));
        }
        Ok(Self { number, method: Method::of(method) })
    }
}

/// A number that really is the one written: `number` stays at the largest instead of wrapping.
fn exact(digits: &[u8]) -> Option<u32> {
    let leading = digits.iter().take_while(|&&b| b == b'0').count();
    let significant = digits.get(leading..)?;
    let n = number(digits)?;
    let fits =
        significant.len() < 10 || (significant.len() == 10 && significant <= &b"4294967295"[..]);
    fits.then_some(n)
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
