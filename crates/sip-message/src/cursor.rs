//! The one tokenizer of header values (RFC 3261 §25.1): every typed view reads through it, so that lookup,
//! forwarding and the database cannot disagree about what a header says. It never allocates and never steps back.

use crate::byte::{self, SPACE, TOKEN, VALUE, cut, is};
use crate::error::{ParseError, ParseErrorKind};

#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// Where `bytes` starts in the message, for error offsets.
    pub base: u32,
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8], base: u32) -> Self {
        Self { bytes, at: 0, base }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        byte::count(1);
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub fn bump(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b) = self.peek()
            && is(b, SPACE)
        {
            self.at += 1;
        }
    }

    #[inline]
    pub fn eat(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        self.at += usize::from(found);
        found
    }

    /// The longest run of bytes of this class, perhaps empty.
    #[inline(always)]
    pub fn run(&mut self, class: u8) -> &'a [u8] {
        let rest = self.rest();
        let len = byte::run(rest, class);
        self.at += len;
        cut(rest, 0, len)
    }

    /// The longest run of digits, perhaps empty.
    #[inline]
    pub fn digits(&mut self) -> &'a [u8] {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.since(start)
    }

    #[inline]
    pub fn token(&mut self) -> &'a [u8] {
        self.run(TOKEN)
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub fn since(&self, start: usize) -> &'a [u8] {
        cut(self.bytes, start, self.at)
    }

    /// A quoted string at the cursor, with its quotes. Escapes are passed over, not undone.
    pub fn quoted(&mut self) -> Result<&'a [u8], ParseError> {
        let start = self.at;
        if !self.eat(b'"') {
            return Err(self.error(ParseErrorKind::QuoteOpen));
        }
        while let Some(ahead) = memchr::memchr2(b'"', b'\\', self.rest()) {
            self.at += ahead;
            if self.eat(b'"') {
                return Ok(self.since(start));
            }
            // An escape and what it escapes.
            self.at += 2;
        }
        self.at = self.bytes.len();
        Err(ParseErrorKind::QuoteOpen.at(self.base as usize + start))
    }

    /// The value after `name =`: quoted (given with its quotes) or a run of value bytes, not empty.
    #[inline]
    pub fn value(&mut self) -> Result<&'a [u8], ParseError> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let value = self.run(VALUE);
        if value.is_empty() { Err(self.error(ParseErrorKind::Param)) } else { Ok(value) }
    }

    #[cold]
    pub fn error(&self, kind: ParseErrorKind) -> ParseError {
        kind.at(self.base as usize + self.at)
    }
}

/// The text of a value: without its quotes if it had some, escapes left as they are.
pub fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => byte::trim(other),
    }
}
