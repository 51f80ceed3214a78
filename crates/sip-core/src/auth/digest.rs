//! The arithmetic of digest authentication (RFC 7616 §3.4.1, RFC 8760): SHA-256 and MD5, `qop=auth`. It knows no
//! users, no nonces and no messages, and keeps no password.

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::Algorithm;

impl Algorithm {
    /// The token of the `algorithm` parameter (RFC 7616 §3.3).
    pub const fn token(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// RFC 7616 §3.3: a missing `algorithm` is MD5. The `-sess` variants are none of ours.
    pub fn from_token(token: Option<&[u8]>) -> Option<Self> {
        let Some(token) = token else { return Some(Algorithm::Md5) };
        [Algorithm::Sha256, Algorithm::Md5]
            .into_iter()
            .find(|a| a.token().as_bytes().eq_ignore_ascii_case(token))
    }

    /// Length of a digest in bytes.
    const fn size(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Md5 => 16,
        }
    }
}

/// A digest of either algorithm; the unused half stays zero.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    bytes: [u8; 32],
    algorithm: Algorithm,
}

impl Hash {
    fn of(algorithm: Algorithm, parts: &[&[u8]]) -> Self {
        let mut bytes = [0; 32];
        match algorithm {
            Algorithm::Sha256 => {
                let mut hasher = Sha256::new();
                parts.iter().for_each(|part| hasher.update(part));
                bytes.copy_from_slice(&hasher.finalize());
            }
            Algorithm::Md5 => {
                let mut hasher = Md5::new();
                parts.iter().for_each(|part| hasher.update(part));
                bytes[..16].copy_from_slice(&hasher.finalize());
            }
        }
        Self { bytes, algorithm }
    }

    pub(super) const fn new(algorithm: Algorithm, bytes: [u8; 32]) -> Self {
        Self { bytes, algorithm }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.size()]
    }

    /// Lower case hexadecimal, as the next hash wants it.
    fn hex(&self, text: &mut [u8; 64]) -> usize {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (byte, pair) in self.bytes().iter().zip(text.chunks_exact_mut(2)) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        2 * self.algorithm.size()
    }
}

/// `H(user:realm:password)` in lower case hexadecimal (RFC 7616 §3.4.2): what is stored instead of a password.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    let parts = [user.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
    let mut text = [0; 64];
    let length = Hash::of(algorithm, &parts).hex(&mut text);
    text[..length].iter().map(|byte| char::from(*byte)).collect()
}

/// The parameters of an answer that go into the hash, as they stand between the quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub nonce: &'a [u8],
    pub nc: &'a [u8],
    pub cnonce: &'a [u8],
    pub qop: &'a [u8],
    pub uri: &'a [u8],
    pub method: &'a [u8],
}

impl Answer<'_> {
    /// The `response` the owner of `ha1` would send (RFC 7616 §3.4.1 with `qop=auth`).
    pub(super) fn expected(&self, ha1: &Hash) -> Hash {
        let algorithm = ha1.algorithm;
        let (mut first, mut second) = ([0; 64], [0; 64]);
        let first_length = ha1.hex(&mut first);
        let ha2 = Hash::of(algorithm, &[self.method, b":", self.uri]);
        let second_length = ha2.hex(&mut second);
        let (ha1, ha2) = (&first[..first_length], &second[..second_length]);
        Hash::of(
            algorithm,
            &[ha1, b":", self.nonce, b":", self.nc, b":", self.cnonce, b":", self.qop, b":", ha2],
        )
    }
}

impl Answer<'_> {
    /// The `response` to send, in hexadecimal: of the owner of `ha1`, which is in hexadecimal too. Without a `qop` in the
    /// challenge it is the old form (RFC 7616 §3.4.1, RFC 3261 §22.4: the UAC must be able to).
    pub(super) fn response(&self, algorithm: Algorithm, ha1: &str) -> String {
        let text = |hash: &Hash| {
            let mut digits = [0; 64];
            let length = hash.hex(&mut digits);
            digits[..length].iter().map(|byte| char::from(*byte)).collect::<String>()
        };
        let ha2 = text(&Hash::of(algorithm, &[self.method, b":", self.uri]));
        let (ha1, ha2) = (ha1.as_bytes(), ha2.as_bytes());
        let hash = if self.qop.is_empty() {
            Hash::of(algorithm, &[ha1, b":", self.nonce, b":", ha2])
        } else {
            let Self { nonce, nc, cnonce, qop, .. } = self;
            Hash::of(algorithm, &[ha1, b":", nonce, b":", nc, b":", cnonce, b":", qop, b":", ha2])
        };
        text(&hash)
    }
}

/// Whether `response`, hexadecimal in either case, is `expected`. The time taken tells nothing about where they differ.
pub(super) fn matches(expected: &Hash, response: &[u8]) -> bool {
    let mut presented = [0; 32];
    let size = expected.algorithm.size();
    if response.len() != 2 * size {
        return false;
    }
    for (pair, byte) in response.chunks_exact(2).zip(&mut presented) {
        let &[high, low] = pair else { return false };
        let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16))
        else {
            return false;
        };
        *byte = (high << 4 | low) as u8;
    }
    expected.bytes().ct_eq(&presented[..size]).into()
}

/// Reads an HA1 as it is stored. `None` if it is not hexadecimal of the algorithm's length.
pub(super) fn ha1_from_hex(algorithm: Algorithm, text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * algorithm.size() {
        return None;
    }
    for (pair, byte) in text.as_bytes().chunks_exact(2).zip(&mut bytes) {
        let &[high, low] = pair else { return None };
        *byte = (char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1: one request, both algorithms.
    const EXAMPLE: Answer<'static> = Answer {
        nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        nc: b"00000001",
        cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        qop: b"auth",
        uri: b"/dir/index.html",
        method: b"GET",
    };

    fn stored(algorithm: Algorithm) -> Hash {
        let text = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
        Hash::new(algorithm, ha1_from_hex(algorithm, &text).unwrap())
    }

    #[test]
    fn rfc7616_example_sha256() {
        let expected = EXAMPLE.expected(&stored(Algorithm::Sha256));
        let response = b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(matches(&expected, response));
    }

    #[test]
    fn rfc7616_example_md5() {
        let expected = EXAMPLE.expected(&stored(Algorithm::Md5));
        assert!(matches(&expected, b"8ca523f5e9506fed4657c9700eebdbec"));
        assert!(
            matches(&expected, b"8CA523F5E9506FED4657C9700EEBDBEC"),
            "hexadecimal has two cases"
        );
    }

    /// RFC 7616 §3.9.1 again, from the client's side; and RFC 2617 §3.5 without its qop.
    #[test]
    fn what_a_client_sends() {
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let key = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            let sent = EXAMPLE.response(algorithm, &key);
            assert!(matches(&EXAMPLE.expected(&stored(algorithm)), sent.as_bytes()));
        }
        let old = Answer { nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093", qop: b"", ..EXAMPLE };
        let key = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(old.response(Algorithm::Md5, &key), "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn near_misses() {
        let expected = EXAMPLE.expected(&stored(Algorithm::Md5));
        for response in
            ["8ca523f5e9506fed4657c9700eebdbed", "8ca523f5e9506fed4657c9700eebdbe", "", "zz"]
        {
            assert!(!matches(&expected, response.as_bytes()), "{response}");
        }
        let other = Answer { nc: b"00000002", ..EXAMPLE }.expected(&stored(Algorithm::Md5));
        assert!(!matches(&other, b"8ca523f5e9506fed4657c9700eebdbec"));
    }

    #[test]
    fn tokens() {
        assert_eq!(Algorithm::from_token(None), Some(Algorithm::Md5));
        assert_eq!(Algorithm::from_token(Some(b"sha-256")), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::from_token(Some(b"MD5-sess")), None);
        assert_eq!(Algorithm::from_token(Some(b"SHA-512-256")), None);
    }
}
