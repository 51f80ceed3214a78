//! URIs: sip, sips, tel, and others kept whole (RFC 3261 §19.1, RFC 3966). Nothing is unescaped unless asked, and then
//! once (RFC 4475 §3.1.1.3).

mod compare;
mod escape;
mod host;

pub use compare::equivalent;
pub use escape::{unescape, unescape_user};
pub use host::Host;
pub(crate) use host::port;

use crate::byte::{self, HEX, URI, cut, is};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::limit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Other,
}

/// A URI taken apart. Of `Other` schemes only `scheme` and `raw` mean something.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    pub scheme: Scheme,
    /// As written, escapes not undone. For `tel` the number.
    pub user: Option<&'a [u8]>,
    pub password: Option<&'a [u8]>,
    /// An empty name for `tel` and `Other`.
    pub host: Host<'a>,
    /// The host as written, IPv6 with its brackets.
    pub host_bytes: &'a [u8],
    pub port: Option<u16>,
    pub params: UriParams<'a>,
    /// What follows `?`, without it.
    pub headers: Option<&'a [u8]>,
    pub raw: &'a [u8],
}

/// `;a=b;c` of a URI. Unlike header parameters they have no spaces and no quotes, but escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriParams<'a>(&'a [u8]);

impl<'a> UriParams<'a> {
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Names and values as written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let text = self.0.get(1..).unwrap_or_default();
        let parts = text.split(|&b| b == b';');
        parts.filter(|p| !p.is_empty()).map(|p| split_once(p, b'='))
    }

    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        if self.0.is_empty() {
            return None;
        }
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.unwrap_or_default())
    }
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match byte::find(at, text) {
        Some(i) => (cut(text, 0, i), Some(cut(text, i + 1, text.len()))),
        None => (text, None),
    }
}

impl<'a> Uri<'a> {
    /// Reads a text that is one URI and nothing else. Error offsets count from its start.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ParseError> {
        if raw.len() > limit::URI_BYTES_MAX {
            return Err(Kind::UriTooLong.at(0));
        }
        let (scheme, rest) = scheme(raw)?;
        let glance = glance(raw)?;
        let mut uri = Self {
            scheme,
            user: None,
            password: None,
            host: Host::Name(b""),
            host_bytes: b"",
            port: None,
            params: UriParams(b""),
            headers: None,
            raw,
        };
        let at = raw.len() - rest.len();
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(at, glance)?,
            Scheme::Tel => uri.read_tel(at)?,
            Scheme::Other if rest.is_empty() => return Err(Kind::UriScheme.at(at)),
            Scheme::Other => {}
        }
        Ok(uri)
    }

    /// The value of a URI parameter in any case; empty when it has none.
    pub fn param(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.params.get(name)
    }

    /// Whether the URI's own `lr` says that its host routes loosely (RFC 3261 §19.1.1).
    pub fn is_loose(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The scheme as written.
    pub fn scheme_bytes(&self) -> &'a [u8] {
        split_once(self.raw, b':').0
    }

    fn read_sip(&mut self, from: usize, glance: Glance) -> Result<(), ParseError> {
        let mut at = from;
        let plain = glance.plain;
        if let Some(end) = glance.at {
            let user = cut(self.raw, from, end);
            let colon = user.iter().position(|&b| b == b':');
            let name = cut(user, 0, colon.unwrap_or(user.len()));
            if name.is_empty() {
                return Err(Kind::UriCharacter.at(from));
            }
            if !plain {
                escapes(user, from)?;
            }
            self.user = Some(name);
            self.password = colon.map(|colon| cut(user, colon + 1, user.len()));
            at = end + 1;
        }
        let mut cursor = Cursor::new(self.raw, 0);
        cursor.at = at;
        (self.host, self.host_bytes) = Host::read(&mut cursor)?;
        if cursor.eat(b':') {
            let digits = cursor.digits();
            self.port = Some(port(digits).ok_or_else(|| cursor.error(Kind::Port))?);
        }
        let params = cursor.at;
        let rest = cursor.rest();
        if plain {
            self.params = UriParams(rest);
            return check_params(rest, params);
        }
        let question = byte::find(b'?', rest);
        let end = params + question.unwrap_or(rest.len());
        self.params = UriParams(cut(self.raw, params, end));
        self.headers = question.map(|_| cut(self.raw, end + 1, self.raw.len()));
        escapes(rest, params)?;
        check_params(self.params.0, params)
    }

    fn read_tel(&mut self, from: usize) -> Result<(), ParseError> {
        let rest = cut(self.raw, from, self.raw.len());
        let end = byte::find(b';', rest).unwrap_or(rest.len());
        let number = cut(rest, 0, end);
        let fits =
            |&b: &u8| is(b, HEX) || matches!(b, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#');
        if number.is_empty() || !number.iter().all(fits) {
            return Err(Kind::UriCharacter.at(from));
        }
        self.user = Some(number);
        self.params = UriParams(cut(rest, end, rest.len()));
        check_params(self.params.0, from + end)
    }
}

/// What one pass over a URI notices.
struct Glance {
    /// The first `@`.
    at: Option<usize>,
    /// Neither escapes nor headers: most have none.
    plain: bool,
}

/// No URI has this byte; `@`; `%` and `?`. Nothing else is looked at twice.
const ALIEN: u8 = 1;
const AT: u8 = 2;
const SPECIAL: u8 = 4;

static MARKS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'@' => AT,
            b'%' | b'?' => SPECIAL,
            other if byte::classify(other) & URI != 0 => 0,
            _ => ALIEN,
        };
        b += 1;
    }
    table
};

fn glance(raw: &[u8]) -> Result<Glance, ParseError> {
    let mark = |b: u8| MARKS[b as usize];
    let mut glance = Glance { at: None, plain: true };
    byte::count(raw.len());
    let mut i = 0;
    while let Some(rest @ [first, ..]) = raw.get(i..) {
        if let Some(&[a, b, c, d]) = rest.first_chunk::<4>()
            && mark(a) | mark(b) | mark(c) | mark(d) == 0
        {
            i += 4;
            continue;
        }
        match mark(*first) {
            0 => {}
            AT => _ = glance.at.get_or_insert(i),
            SPECIAL => glance.plain = false,
            _ => return Err(Kind::UriCharacter.at(i)),
        }
        i += 1;
    }
    Ok(glance)
}

/// RFC 3986 §3.1.
fn scheme(raw: &[u8]) -> Result<(Scheme, &[u8]), ParseError> {
    match raw {
        [s, i, p, b':', rest @ ..] if [*s, *i, *p].eq_ignore_ascii_case(b"sip") => {
            return Ok((Scheme::Sip, rest));
        }
        [s, i, p, t, b':', rest @ ..] if [*s, *i, *p, *t].eq_ignore_ascii_case(b"sips") => {
            return Ok((Scheme::Sips, rest));
        }
        _ => {}
    }
    let (name, Some(rest)) = split_once(raw, b':') else { return Err(Kind::UriScheme.at(0)) };
    let letter = name.first().is_some_and(u8::is_ascii_alphabetic);
    if !letter
        || !name.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        return Err(Kind::UriScheme.at(0));
    }
    let tel = name.eq_ignore_ascii_case(b"tel");
    Ok((if tel { Scheme::Tel } else { Scheme::Other }, rest))
}

/// Every `%` is followed by two hex digits.
fn escapes(text: &[u8], base: usize) -> Result<(), ParseError> {
    for at in memchr::memchr_iter(b'%', text) {
        if !text.get(at + 1..at + 3).is_some_and(|hex| byte::all(hex, HEX)) {
            return Err(Kind::UriEscape.at(base + at));
        }
    }
    Ok(())
}

/// Empty, or `;name[=value]` again and again with names that are not empty.
fn check_params(text: &[u8], base: usize) -> Result<(), ParseError> {
    let rest = match text {
        [] => return Ok(()),
        [b';', rest @ ..] => rest,
        _ => return Err(Kind::UriCharacter.at(base)),
    };
    let mut count = 1;
    let mut before = b';';
    for &b in rest {
        if before == b';' && matches!(b, b';' | b'=') {
            return Err(Kind::Param.at(base));
        }
        count += usize::from(b == b';');
        before = b;
    }
    match before {
        b';' => Err(Kind::Param.at(base)),
        _ if count > limit::PARAMS_MAX => Err(Kind::ParamsTooMany.at(base)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
