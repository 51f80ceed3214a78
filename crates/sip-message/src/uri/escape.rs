//! `%HH` (RFC 3261 §19.1.2). One pass, never twice: what comes out is not looked at again.

use std::borrow::Cow;

use crate::byte::{self, cut};

/// Undoes every `%HH`. What is no escape stays.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if byte::find(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        match octet(cut(text, at, at + 3)) {
            Some(octet) => {
                out.push(octet);
                at += 3;
            }
            None => {
                out.push(b);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// The user part of a URI as the AoR tables keep it (RFC 3261 §10.3 step 5): escapes undone. A `%00` stays a NUL in the
/// middle: it does not end the name.
pub fn unescape_user(user: &[u8]) -> Cow<'_, [u8]> {
    unescape(user)
}

/// The octet that `%HH` stands for.
pub(crate) fn octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low] = text else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_only() {
        assert_eq!(unescape(b"value%2541").as_ref(), b"value%41");
        assert_eq!(unescape(b"null-%00-null").as_ref(), b"null-\0-null");
        assert_eq!(unescape(b"100%").as_ref(), b"100%");
        assert_eq!(unescape(b"%zz%4").as_ref(), b"%zz%4");
    }
}
