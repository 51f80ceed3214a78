//! The client's side of digest authentication (RFC 7616), written from the RFC for the tests. It keeps the nonce and its count, so
//! that a test can also replay them.

use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::sip::Message;

#[derive(Clone, Debug)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub algorithm: String,
    /// It came in Proxy-Authenticate, so the answer goes into Proxy-Authorization.
    pub proxy: bool,
}

impl Challenge {
    /// Every challenge of a 401 or 407, in its order.
    pub fn all(message: &Message) -> Vec<Self> {
        let read = |value: &str, proxy: bool| Self {
            realm: quoted(value, "realm"),
            nonce: quoted(value, "nonce"),
            algorithm: match quoted(value, "algorithm") {
                none if none.is_empty() => "MD5".into(),
                named => named,
            },
            proxy,
        };
        let www = message.all("www-authenticate").map(|v| read(v, false));
        let proxy = message.all("proxy-authenticate").map(|v| read(v, true));
        www.chain(proxy).collect()
    }

    pub fn header(&self) -> &'static str {
        if self.proxy { "Proxy-Authorization" } else { "Authorization" }
    }

    /// The whole header line that answers this challenge, `count` uses into its nonce.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        count: u32,
    ) -> String {
        let cnonce = "0a4f113b";
        let ha1 = self.hash(&format!("{user}:{}:{password}", self.realm));
        let ha2 = self.hash(&format!("{method}:{uri}"));
        let response = self.hash(&format!("{ha1}:{}:{count:08x}:{cnonce}:auth:{ha2}", self.nonce));
        format!(
            "{}: Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={}, cnonce=\"{cnonce}\", qop=auth, nc={count:08x}\r\n",
            self.header(),
            self.realm,
            self.nonce,
            self.algorithm
        )
    }

    fn hash(&self, text: &str) -> String {
        if self.algorithm.eq_ignore_ascii_case("SHA-256") {
            hex(&Sha256::digest(text))
        } else {
            hex(&Md5::digest(text))
        }
    }
}

/// The value of a parameter, with or without quotes; empty if absent.
fn quoted(value: &str, name: &str) -> String {
    let value = value.trim_start_matches("Digest").trim_start();
    for part in value.split(',') {
        if let Some((n, v)) = part.trim().split_once('=')
            && n.eq_ignore_ascii_case(name)
        {
            return v.trim_matches('"').to_owned();
        }
    }
    String::new()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_and_answered() {
        let text = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n\
                    WWW-Authenticate: Digest realm=\"a\", nonce=\"m\", qop=\"auth\"\r\n\r\n";
        let message = Message::parse(text.as_bytes()).unwrap();
        let all = Challenge::all(&message);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].algorithm, "SHA-256");
        assert_eq!(all[1].algorithm, "MD5");
        assert_eq!(all[1].hash("abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert!(all[0].answer("u", "p", "REGISTER", "sip:a", 1).contains("nc=00000001"));
    }
}
