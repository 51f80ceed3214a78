//! What a phone does with a challenge (RFC 7616 §3.4, RFC 8760): a second opinion, sharing no code with the server.

use md5::{Digest as _, Md5};
use sha2::Sha256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    pub sha256: bool,
    pub qop_auth: bool,
    pub stale: bool,
    /// True: answer with Proxy-Authorization.
    pub proxy: bool,
}

impl Challenge {
    /// None: not Digest, or an algorithm this phone does not know.
    pub fn parse(value: &str, proxy: bool) -> Option<Self> {
        let params = value.trim().strip_prefix("Digest ")?;
        let mut challenge = Self { proxy, ..Self::default() };
        for (name, value) in split(params) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value,
                "nonce" => challenge.nonce = value,
                "opaque" => challenge.opaque = Some(value),
                "stale" => challenge.stale = value.eq_ignore_ascii_case("true"),
                "qop" => challenge.qop_auth = value.split(',').any(|q| q.trim() == "auth"),
                "algorithm" if value.eq_ignore_ascii_case("SHA-256") => challenge.sha256 = true,
                "algorithm" if value.eq_ignore_ascii_case("MD5") => {}
                "algorithm" => return None,
                _ => {}
            }
        }
        Some(challenge)
    }

    /// The whole header line that answers this challenge, without CRLF.
    pub fn answer(&self, who: (&str, &str), method: &str, uri: &str, nc: u32) -> String {
        let (user, password) = who;
        let hash = if self.sha256 { sha256_hex } else { md5_hex };
        let a1 = hash(&format!("{user}:{}:{password}", self.realm));
        let a2 = hash(&format!("{method}:{uri}"));
        let cnonce = format!("c{nc}x{}", user.len());
        let response = if self.qop_auth {
            hash(&format!("{a1}:{}:{nc:08x}:{cnonce}:auth:{a2}", self.nonce))
        } else {
            hash(&format!("{a1}:{}:{a2}", self.nonce))
        };
        let header = if self.proxy { "Proxy-Authorization" } else { "Authorization" };
        let algorithm = if self.sha256 { "SHA-256" } else { "MD5" };
        let mut line = format!(
            "{header}: Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={algorithm}",
            self.realm, self.nonce
        );
        if self.qop_auth {
            line.push_str(&format!(", qop=auth, nc={nc:08x}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            line.push_str(&format!(", opaque=\"{opaque}\""));
        }
        line
    }
}

/// `name=value, name="quoted, value"` into pairs.
fn split(params: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let (mut quoted, mut start) = (false, 0);
    let mut cut = |piece: &str| {
        if let Some((name, value)) = piece.split_once('=') {
            pairs.push((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
        }
    };
    for (at, c) in params.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                cut(&params[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    cut(&params[start..]);
    pairs
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1 has other algorithms of the client nonce; this is RFC 2617 §3.5 without qop.
    #[test]
    fn response_without_qop() {
        let challenge = Challenge::parse(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"a,b\"",
            false,
        )
        .unwrap();
        assert_eq!(challenge.opaque.as_deref(), Some("a,b"));
        let line = challenge.answer(("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", 1);
        assert!(line.contains("response=\"670fd8c2df070c60b045671b8b24ff02\""), "{line}");
    }
}
