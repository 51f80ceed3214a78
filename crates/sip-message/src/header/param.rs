//! `;name=value` parameters of a header value or a URI (RFC 3261 §7.3.1, §25.1 `generic-param`). `scan` is the only
//! reader of header parameters; `Params` reads again what it has passed.

use std::borrow::Cow;

use crate::byte;
use crate::cursor::{Cursor, unquote};
use crate::error::{ParseError, ParseErrorKind};
use crate::limit;

/// One parameter. A value keeps its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Parameters that have been checked: `;a=b;c` without what stands before and behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(pub(crate) &'a [u8]);

impl<'a> Params<'a> {
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.0, 0);
        core::iter::from_fn(move || next(&mut cursor).ok().flatten())
    }

    /// The value of the first parameter of this name in any case, without quotes; empty when it has no value.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        let found = self.iter().find(|p| p.name.eq_ignore_ascii_case(name))?;
        Some(found.value.map_or(&[], unquote))
    }

    pub fn has(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }
}

/// Reads one `;name[=value]`; `None` when there is no `;`. Leaves the cursor right behind it.
#[inline]
fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Param<'a>>, ParseError> {
    let before = cursor.at;
    cursor.skip_space();
    if !cursor.eat(b';') {
        cursor.at = before;
        return Ok(None);
    }
    cursor.skip_space();
    let name = cursor.token();
    if name.is_empty() {
        return Err(cursor.error(ParseErrorKind::Param));
    }
    let end = cursor.at;
    cursor.skip_space();
    if !cursor.eat(b'=') {
        cursor.at = end;
        return Ok(Some(Param { name, value: None }));
    }
    cursor.skip_space();
    let value = cursor.value()?;
    Ok(Some(Param { name, value: Some(value) }))
}

/// Reads all parameters at the cursor and shows each, with where its `;` stands, to `see`. Leaves the cursor right
/// behind the last one.
#[inline]
pub(crate) fn scan<'a>(
    cursor: &mut Cursor<'a>,
    mut see: impl FnMut(Param<'a>, usize, usize) -> Result<(), ParseErrorKind>,
) -> Result<Params<'a>, ParseError> {
    let start = cursor.at;
    let mut count = 0;
    let mut before = start;
    while let Some(param) = next(cursor)? {
        count += 1;
        if count > limit::PARAMS_MAX {
            return Err(cursor.error(ParseErrorKind::ParamsTooMany));
        }
        see(param, before, cursor.at).map_err(|kind| cursor.error(kind))?;
        before = cursor.at;
    }
    Ok(Params(cursor.since(start)))
}

/// Whether a parameter has this name, which is written in lower case here, in any case.
#[inline]
pub(crate) fn is_name<const N: usize>(name: &[u8], wanted: &[u8; N]) -> bool {
    // As arrays the usual spelling is one comparison of a register or two.
    name.len() == N && (name.first_chunk() == Some(wanted) || name.eq_ignore_ascii_case(wanted))
}

/// Keeps the first value of a parameter that may occur once.
#[inline]
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ParseErrorKind> {
    if slot.replace(value).is_some() { Err(ParseErrorKind::ParamRepeated) } else { Ok(()) }
}

/// The text of a quoted string's inside with its escapes undone.
pub fn unescape_quoted(inner: &[u8]) -> Cow<'_, [u8]> {
    if byte::find(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&b) = bytes.next() {
        match b {
            b'\\' => out.extend(bytes.next()),
            b => out.push(b),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_found_in_any_case_and_spacing() {
        let p = Params(b";lr;Tag = abc ;\r\n x=\"a;b\\\"c\"");
        assert_eq!(p.get("lr"), Some(&b""[..]));
        assert_eq!(p.get("tag"), Some(&b"abc"[..]));
        assert_eq!(p.get("x"), Some(&b"a;b\\\"c"[..]));
        assert_eq!(p.get("y"), None);
        assert_eq!(unescape_quoted(b"a;b\\\"c").as_ref(), b"a;b\"c");
    }

    #[test]
    fn empty_params_are_errors() {
        for bad in [&b";;a"[..], b";", b";a=", b";a=\"x", b";=x"] {
            let mut cursor = Cursor::new(bad, 0);
            assert!(scan(&mut cursor, |_, _, _| Ok(())).is_err(), "{}", bad.escape_ascii());
        }
    }
}
