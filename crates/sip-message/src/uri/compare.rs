//! URI comparison (RFC 3261 §19.1.4). It never resolves names: an address and a name are different.

use super::escape::octet;
use super::{Host, Scheme, Uri, split_once};
use crate::byte::cut;
use crate::limit;

/// Whether two URIs mean the same resource. URIs of other schemes are the same when their bytes are.
pub fn equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if a.scheme != b.scheme {
        return false;
    }
    match a.scheme {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel => return same_number(a, b),
        Scheme::Other => return same_opaque(a.raw, b.raw),
    }
    same_host(a, b)
        && a.port == b.port
        && same_option(a.user, b.user, true)
        && same_option(a.password, b.password, true)
        && same_params(a, b)
        && same_params(b, a)
        && same_headers(a.headers, b.headers)
}

fn same_host(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a.host, b.host) {
        (Host::Name(x), Host::Name(y)) => x.eq_ignore_ascii_case(y),
        (x, y) => x == y,
    }
}

fn same_option(a: Option<&[u8]>, b: Option<&[u8]>, case: bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_text(a, b, case),
        _ => false,
    }
}

/// Parameters that count even when only one of the URIs has them; any other one is then ignored.
const NEVER_IGNORED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

fn same_params(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if a.params.as_bytes().is_empty() {
        return true;
    }
    a.params.iter().all(|(name, value)| {
        // A name must not occur twice (§19.1.1). Where one does, each of its values must be found.
        let mut named =
            b.params.iter().filter(|(other, _)| same_text(name, other, false)).peekable();
        if named.peek().is_none() {
            return !NEVER_IGNORED.iter().any(|n| same_text(name, n, false));
        }
        named.any(|(_, other)| same_option(value, other, false))
    })
}

/// Header components are never ignored; their order does not count.
fn same_headers(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    let parts = |text| <[u8]>::split(text, |&c| c == b'&').take(limit::PARAMS_MAX + 1);
    let count = parts(a).count();
    if count != parts(b).count() || count > limit::PARAMS_MAX {
        return false;
    }
    let in_other = |part: &[u8], other| {
        let (name, value) = split_once(part, b'=');
        parts(other).any(|p| {
            let (n, v) = split_once(p, b'=');
            same_text(name, n, false) && same_option(value, v, true)
        })
    };
    parts(a).all(|p| in_other(p, b)) && parts(b).all(|p| in_other(p, a))
}

/// The characters that mean something when they are not escaped (RFC 3261 §19.1.4, RFC 2396 §2.2): escaped and bare
/// they differ. All others equal their escape.
fn is_reserved(b: u8) -> bool {
    matches!(b, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
}

/// One character of a URI and whether it was escaped and stays so.
fn next(text: &[u8]) -> Option<((u8, bool), &[u8])> {
    match octet(cut(text, 0, 3)) {
        Some(b) => Some(((b, is_reserved(b)), cut(text, 3, text.len()))),
        None => text.split_first().map(|(&b, rest)| ((b, false), rest)),
    }
}

fn same_text(mut a: &[u8], mut b: &[u8], case: bool) -> bool {
    loop {
        match (next(a), next(b)) {
            (None, None) => return true,
            (Some(((x, x_kept), a_rest)), Some(((y, y_kept), b_rest))) => {
                let same = if case { x == y } else { x.eq_ignore_ascii_case(&y) };
                if !same || x_kept != y_kept {
                    return false;
                }
                (a, b) = (a_rest, b_rest);
            }
            _ => return false,
        }
    }
}

/// RFC 3966 §5: visual separators do not count.
fn same_number(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    fn digits<'a>(uri: &Uri<'a>) -> impl Iterator<Item = u8> + use<'a> {
        let number = uri.user.unwrap_or_default();
        let visual = |b: &&u8| !matches!(b, b'-' | b'.' | b'(' | b')');
        number.iter().filter(visual).map(u8::to_ascii_lowercase)
    }
    let in_other = |x: &Uri<'_>, y: &Uri<'_>| {
        x.params.iter().all(|(name, value)| {
            y.params.iter().any(|(n, v)| same_text(name, n, false) && same_option(value, v, false))
        })
    };
    digits(a).eq(digits(b)) && in_other(a, b) && in_other(b, a)
}

fn same_opaque(a: &[u8], b: &[u8]) -> bool {
    let (scheme, rest) = split_once(a, b':');
    let (other, other_rest) = split_once(b, b':');
    scheme.eq_ignore_ascii_case(other) && rest == other_rest
}
