//! Headers that are one number: Max-Forwards, Content-Length, Expires, Min-Expires, Max-Breadth (RFC 3261 §20.22,
//! §20.14, §20.19, §20.23, RFC 5393 §5.3). A number that is too large stays at the largest: it never wraps.

use crate::byte;
use crate::error::{ParseError, ParseErrorKind};
use crate::head::Head;
use crate::name::Name;

impl Head {
    /// `None` when absent. May be larger than the 255 of the grammar: cap it.
    pub fn max_forwards(&self) -> Result<Option<u32>, ParseError> {
        self.number(Name::MaxForwards, ParseErrorKind::MaxForwards)
    }

    /// Bytes of the body as announced; `None` when absent.
    pub fn content_length(&self) -> Result<Option<u32>, ParseError> {
        self.number(Name::ContentLength, ParseErrorKind::ContentLength)
    }

    /// RFC 5393 §5.3; `None` when absent.
    pub fn max_breadth(&self) -> Result<Option<u32>, ParseError> {
        self.number(Name::MaxBreadth, ParseErrorKind::Token)
    }

    /// Seconds; a value that is no number counts as 3600 (RFC 3261 §20.19). `None` when absent.
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).map(|value| byte::number(value).unwrap_or(3600))
    }

    fn number(&self, name: Name, wrong: ParseErrorKind) -> Result<Option<u32>, ParseError> {
        let Some(field) = self.first(name) else { return Ok(None) };
        let (value, base) = self.value_of(field);
        byte::number(value).map(Some).ok_or(wrong.at(base as usize))
    }
}
