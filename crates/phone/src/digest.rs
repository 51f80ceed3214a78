//! Digest credentials from the phone's side: reads a challenge, answers it, counts the nonce's uses.
//! RFC 7616, RFC 8760, RFC 3261 §22. It holds no password longer than it takes to hash it, and checks nothing:
//! that is the server's part.

use md5::{Digest, Md5};
use sha2::Sha256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// As written in a challenge (RFC 7616 §3.3); none means MD5.
    pub fn from_token(token: &[u8]) -> Option<Self> {
        if token.eq_ignore_ascii_case(b"MD5") {
            Some(Algorithm::Md5)
        } else if token.eq_ignore_ascii_case(b"SHA-256") {
            Some(Algorithm::Sha256)
        } else {
            None
        }
    }

    pub const fn token(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn hash(self, parts: &[&[u8]]) -> Hex {
        fn digest<D: Digest>(parts: &[&[u8]]) -> Hex {
            let mut hash = D::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    hash.update(b":");
                }
                hash.update(part);
            }
            Hex::new(&hash.finalize())
        }
        match self {
            Algorithm::Md5 => digest::<Md5>(parts),
            Algorithm::Sha256 => digest::<Sha256>(parts),
        }
    }
}

/// A hash in lower-case hexadecimal digits, on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hex {
    digits: [u8; 64],
    length: u8,
}

impl Hex {
    fn new(bytes: &[u8]) -> Self {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { digits, length: (bytes.len() * 2).min(64) as u8 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }
}

pub(crate) const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// One `WWW-Authenticate` or `Proxy-Authenticate` value that we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub opaque: Option<&'a [u8]>,
    pub algorithm: Algorithm,
    /// The server offers `qop=auth`; otherwise the old RFC 2069 form is used.
    pub qop: bool,
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// None for another scheme, an algorithm we lack, or a value without realm and nonce.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (scheme, rest) = value.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"Digest ") {
            return None;
        }
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop, mut stale) = (Some(Algorithm::Md5), false, false);
        for (name, value) in params(rest) {
            match name {
                n if n.eq_ignore_ascii_case(b"realm") => realm = Some(value),
                n if n.eq_ignore_ascii_case(b"nonce") => nonce = Some(value),
                n if n.eq_ignore_ascii_case(b"opaque") => opaque = Some(value),
                n if n.eq_ignore_ascii_case(b"algorithm") => {
                    algorithm = Algorithm::from_token(value);
                }
                n if n.eq_ignore_ascii_case(b"qop") => {
                    qop = value.split(|b| *b == b',').any(|t| t.trim_ascii() == b"auth");
                }
                n if n.eq_ignore_ascii_case(b"stale") => {
                    stale = value.eq_ignore_ascii_case(b"true");
                }
                _ => {}
            }
        }
        Some(Self { realm: realm?, nonce: nonce?, opaque, algorithm: algorithm?, qop, stale })
    }
}

/// `name=value, name="value"`: a quoted comma does not split; escapes stay as they are (we only copy them back).
fn params(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    core::iter::from_fn(move || {
        let equals = rest.iter().position(|b| *b == b'=')?;
        let (name, after) = (rest[..equals].trim_ascii(), rest[equals + 1..].trim_ascii_start());
        let (value, end) = if let Some(quoted) = after.strip_prefix(b"\"") {
            let mut escaped = false;
            let close = quoted.iter().position(|b| {
                let ends = *b == b'"' && !escaped;
                escaped = *b == b'\\' && !escaped;
                ends
            })?;
            (&quoted[..close], close + 2)
        } else {
            let end = after.iter().position(|b| *b == b',').unwrap_or(after.len());
            (after[..end].trim_ascii(), end)
        };
        rest = after.get(end..).unwrap_or_default().trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        Some((name, value))
    })
}

/// What a phone keeps after a challenge, to answer it again and again until it is stale.
#[derive(Clone)]
pub struct Credential {
    algorithm: Algorithm,
    ha1: Hex,
    /// `username="..", realm="..", nonce="..", [opaque=".."]`, ready to be written.
    head: Box<[u8]>,
    nonce: (u32, u32),
    qop: bool,
    /// Uses of this nonce so far (RFC 7616 §3.4, `nc`).
    uses: u32,
}

impl Credential {
    pub fn new(challenge: &Challenge<'_>, user: &[u8], password: &[u8]) -> Self {
        let mut head = Vec::with_capacity(64 + user.len() + challenge.nonce.len());
        head.extend_from_slice(b"username=\"");
        head.extend_from_slice(user);
        head.extend_from_slice(b"\", realm=\"");
        head.extend_from_slice(challenge.realm);
        head.extend_from_slice(b"\", nonce=\"");
        let start = head.len();
        head.extend_from_slice(challenge.nonce);
        let end = head.len();
        head.push(b'"');
        if let Some(opaque) = challenge.opaque {
            head.extend_from_slice(b", opaque=\"");
            head.extend_from_slice(opaque);
            head.push(b'"');
        }
        Self {
            algorithm: challenge.algorithm,
            ha1: challenge.algorithm.hash(&[user, challenge.realm, password]),
            head: head.into(),
            nonce: (start as u32, end as u32),
            qop: challenge.qop,
            uses: 0,
        }
    }

    /// Counts one more use of the nonce: the `nc` for the next request. A repeated request keeps its own.
    pub fn next_use(&mut self) -> u32 {
        self.uses += 1;
        self.uses
    }

    /// Writes `Digest ...` for one request. `cnonce` must be a token.
    pub fn write(&self, nc: u32, method: &[u8], uri: &[u8], cnonce: &[u8], out: &mut Vec<u8>) {
        let ha2 = self.algorithm.hash(&[method, uri]);
        let nonce = &self.head[self.nonce.0 as usize..self.nonce.1 as usize];
        let nc = hex8(nc);
        let ha1 = self.ha1.as_bytes();
        let response = if self.qop {
            self.algorithm.hash(&[ha1, nonce, &nc, cnonce, b"auth", ha2.as_bytes()])
        } else {
            self.algorithm.hash(&[ha1, nonce, ha2.as_bytes()])
        };
        out.extend_from_slice(b"Digest ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b", uri=\"");
        out.extend_from_slice(uri);
        out.extend_from_slice(b"\", response=\"");
        out.extend_from_slice(response.as_bytes());
        out.extend_from_slice(b"\", algorithm=");
        out.extend_from_slice(self.algorithm.token().as_bytes());
        if self.qop {
            out.extend_from_slice(b", qop=auth, nc=");
            out.extend_from_slice(&nc);
            out.extend_from_slice(b", cnonce=\"");
            out.extend_from_slice(cnonce);
            out.push(b'"');
        }
    }
}

fn hex8(value: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    push_hex(value.into(), &mut digits);
    digits
}

/// Fills `digits` with the low part of `value` in hexadecimal.
pub(crate) fn push_hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1, both algorithms of the one example.
    #[test]
    fn the_example_of_rfc_7616() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let text = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let challenge = Challenge::read(text.as_bytes()).expect("a challenge");
            assert!(challenge.qop && !challenge.stale);
            let mut credential = Credential::new(&challenge, b"Mufasa", b"Circle of Life");
            let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let mut out = Vec::new();
            let nc = credential.next_use();
            credential.write(nc, b"GET", b"/dir/index.html", cnonce, &mut out);
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains(&format!("response=\"{response}\"")), "{out}");
            assert!(out.contains("nc=00000001"), "{out}");
            let mut again = Vec::new();
            let nc = credential.next_use();
            credential.write(nc, b"GET", b"/dir/index.html", cnonce, &mut again);
            let again = String::from_utf8(again).unwrap();
            assert!(again.contains("nc=00000002") && !again.contains(response), "{again}");
        }
    }

    #[test]
    fn challenges_that_cannot_be_answered() {
        assert_eq!(Challenge::read(b"Basic realm=\"a\""), None);
        assert_eq!(Challenge::read(b"Digest realm=\"a\""), None);
        assert_eq!(Challenge::read(b"Digest realm=\"a\", nonce=\"b\", algorithm=AKAv1-MD5"), None);
        let c = Challenge::read(b"digest realm=\"a, \\\"b=\",nonce=b , stale=TRUE").expect("fine");
        assert_eq!((c.realm, c.nonce), (&b"a, \\\"b="[..], &b"b"[..]));
        assert!(c.stale && !c.qop && c.algorithm == Algorithm::Md5);
    }
}
