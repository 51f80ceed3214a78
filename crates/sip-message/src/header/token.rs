//! Comma lists of tokens: Require, Proxy-Require, Supported, Unsupported, Allow (RFC 3261 §20.5, §20.32, §20.37).
//! Lists may be empty, and so may their elements.

use crate::byte::{SPACE, TOKEN, is};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};
use crate::head::Head;
use crate::name::Name;

use super::{Element, Elements};

/// The tokens of all headers of one name.
#[derive(Clone)]
pub struct Tokens<'a>(Elements<'a, Token<'a>>);

#[derive(Clone, Copy)]
pub(crate) struct Token<'a>(&'a [u8]);

impl<'a> Element<'a> for Token<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        cursor.skip_space();
        let token = cursor.run(TOKEN);
        // Whatever is no token is handed on up to the comma, so that an unknown extension is named in full and
        // never mistaken for a known one.
        let start = cursor.at - token.len();
        while cursor.peek().is_some_and(|b| b != b',' && !is(b, SPACE)) {
            cursor.bump();
        }
        Ok(Self(cursor.since(start)))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match self.0.next()? {
                Ok(Token([])) => {}
                Ok(Token(text)) => return Some(text),
                Err(_) => return None,
            }
        }
    }
}

impl Head {
    /// The tokens of a list header. Ends at the first thing that is no list of tokens; `check` says where.
    pub fn tokens(&self, name: Name) -> Tokens<'_> {
        Tokens(Elements::new(self, name))
    }

    pub(crate) fn check_tokens(&self, name: Name) -> Result<(), ParseError> {
        for element in Elements::<Token<'_>>::new(self, name) {
            element.map_err(|e| ParseError { kind: ParseErrorKind::Token, ..e })?;
        }
        Ok(())
    }
}

/// Passes over one element of any comma list: quoted strings and angle brackets hide commas.
pub(crate) fn skip(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let mut open = false;
    while let Some(b) = cursor.peek() {
        match b {
            b'"' => {
                cursor.quoted()?;
                continue;
            }
            b'<' => open = true,
            b'>' => open = false,
            b',' if !open => return Ok(()),
            _ => {}
        }
        cursor.bump();
    }
    Ok(())
}
