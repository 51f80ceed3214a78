//! Authorization and Proxy-Authorization (RFC 3261 §20.7, §20.28, RFC 7616 §3.4). Reads only: it verifies nothing.
//! Of an unknown scheme only the name is read.

use std::borrow::Cow;

use super::param::unescape_quoted;
use crate::byte::{TOKEN, VALUE};
use crate::cursor::{Cursor, unquote};
use crate::error::{ParseError, ParseErrorKind};
use crate::head::Head;
use crate::limit;
use crate::name::Name;

#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub scheme: &'a [u8],
    /// What follows the scheme, checked when the scheme is Digest.
    pub raw: &'a [u8],
}

/// The parameters that verification reads. One of them twice would let two readers see two things.
const ONCE: [&[u8]; 11] = [
    b"username",
    b"realm",
    b"nonce",
    b"uri",
    b"response",
    b"algorithm",
    b"cnonce",
    b"opaque",
    b"qop",
    b"nc",
    b"userhash",
];

impl<'a> Credentials<'a> {
    /// Reads one header value: credentials never share a line (RFC 3261 §7.3.1).
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let credentials = Self::scheme_of(value)?;
        if credentials.is_digest() {
            credentials.check_params()?;
        }
        Ok(credentials)
    }

    /// Reads the scheme only. For whoever goes through [`params`](Self::params) anyway, which finds what is malformed.
    pub fn scheme_of(value: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(value, 0);
        let scheme = cursor.run(TOKEN);
        let before = cursor.at;
        cursor.skip_space();
        if scheme.is_empty() || (cursor.at == before && !cursor.at_end()) {
            return Err(cursor.error(ParseErrorKind::Credentials));
        }
        Ok(Self { scheme, raw: cursor.rest() })
    }

    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }

    /// The value of a parameter, quotes and escapes undone.
    pub fn param(&self, name: impl AsRef<[u8]>) -> Option<Cow<'a, [u8]>> {
        let name = name.as_ref();
        let mut params = self.params().map_while(Result::ok);
        params.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All parameters in order: the name as written, the value without quotes and escapes. Ends after the first error.
    /// Whoever wants more than two of them reads the line once this way.
    pub fn params(
        &self,
    ) -> impl Iterator<Item = Result<(&'a [u8], Cow<'a, [u8]>), ParseError>> + use<'a> {
        self.raw_params().map(|read| {
            read.map(|(name, value)| match value {
                [b'"', ..] => (name, unescape_quoted(unquote(value))),
                _ => (name, Cow::Borrowed(value)),
            })
        })
    }

    /// The same with the values as written.
    fn raw_params(
        &self,
    ) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), ParseError>> + use<'a> {
        let mut cursor = Cursor::new(self.raw, 0);
        let mut more = true;
        core::iter::from_fn(move || {
            if !more {
                return None;
            }
            let read = param(&mut cursor).and_then(|param| {
                cursor.skip_space();
                more = cursor.eat(b',');
                if !more && !cursor.at_end() {
                    return Err(cursor.error(ParseErrorKind::Credentials));
                }
                Ok(param)
            });
            more &= read.is_ok();
            Some(read)
        })
    }

    fn check_params(&self) -> Result<(), ParseError> {
        let mut seen = 0u16;
        for (count, param) in self.raw_params().enumerate() {
            let (name, _) = param?;
            if count >= limit::PARAMS_MAX {
                return Err(ParseErrorKind::ParamsTooMany.at(0));
            }
            let usual = ONCE.iter().position(|n| *n == name);
            let unusual = || ONCE.iter().position(|n| n.eq_ignore_ascii_case(name));
            if let Some(at) = usual.or_else(unusual) {
                if seen & (1 << at) != 0 {
                    return Err(ParseErrorKind::ParamRepeated.at(0));
                }
                seen |= 1 << at;
            }
        }
        Ok(())
    }
}

/// `name = value`, the value with its quotes.
fn param<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], &'a [u8]), ParseError> {
    cursor.skip_space();
    let name = cursor.run(TOKEN);
    cursor.skip_space();
    if name.is_empty() || !cursor.eat(b'=') {
        return Err(cursor.error(ParseErrorKind::Credentials));
    }
    cursor.skip_space();
    let value = if cursor.peek() == Some(b'"') { cursor.quoted()? } else { cursor.run(VALUE) };
    Ok((name, value))
}

impl Head {
    /// The credentials of all Authorization or Proxy-Authorization headers, in order.
    pub fn credentials(
        &self,
        name: Name,
    ) -> impl Iterator<Item = Result<Credentials<'_>, ParseError>> {
        let present = self.has(name);
        let fields = if present { &self.fields[..] } else { &[] };
        fields.iter().filter(move |f| f.name == name).map(|f| {
            let (value, base) = self.value_of(f);
            Credentials::parse(value)
                .map_err(|e| ParseError { offset: e.offset.saturating_add(base), ..e })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_params() {
        let c = Credentials::parse(
            br#"Digest username="a\"b", realm="x, y=z",nonce = "n" , nc=00000001,qop=auth"#,
        )
        .unwrap();
        assert!(c.is_digest());
        assert_eq!(c.param("username").unwrap().as_ref(), br#"a"b"#);
        assert_eq!(c.param("REALM").unwrap().as_ref(), b"x, y=z");
        assert_eq!(c.param("nonce").unwrap().as_ref(), b"n");
        assert_eq!(c.param("nc").unwrap().as_ref(), b"00000001");
        assert_eq!(c.param("y"), None);
    }

    #[test]
    fn bad_and_foreign() {
        for bad in [
            &b""[..],
            b"Digest",
            b"Digest uses: 60",
            br#"Digest a a=\"\",real"#,
            b"Digest nonce=a, nonce=b",
            b"Digest realm=\"open",
            b"Digest realm=\"x\" nonce=\"y\"",
            b"Digest realm=\"x\",",
        ] {
            assert!(Credentials::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        let other = Credentials::parse(b"NoOneKnowsThisScheme opaque-data=here").unwrap();
        assert!(!other.is_digest());
    }
}
