//! `Name`: a domain name in one spelling (RFC 1035 §2.3.1, §2.3.4): lower case, no dot at the end, at most 253 bytes in
//! labels of at most 63. What is no such name is never asked about.

use core::fmt;

/// RFC 1035 §2.3.4, without the dot at the end and the length byte that goes with it.
const BYTES_MAX: usize = 253;
const LABEL_MAX: usize = 63;

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Letters, digits, hyphens and the underscore that service names begin with. `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let fits = |label: &[u8]| {
            (1..=LABEL_MAX).contains(&label.len())
                && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if text.len() > BYTES_MAX || !text.split(|b| *b == b'.').all(fits) {
            return None;
        }
        Some(Self(core::str::from_utf8(text).ok()?.to_ascii_lowercase().into()))
    }

    /// `_sip._udp.` before the name (RFC 3263 §4.1). `None`: too long to exist.
    pub fn service(&self, prefix: &str) -> Option<Self> {
        Self::parse([prefix, ".", &self.0].concat().as_bytes())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        let name = |text: &str| Name::parse(text.as_bytes()).map(|n| n.to_string());
        assert_eq!(name("Sip.Example.COM.").as_deref(), Some("sip.example.com"));
        assert_eq!(name("localhost").as_deref(), Some("localhost"));
        assert_eq!(name("_sip._udp.a").as_deref(), Some("_sip._udp.a"));
        for bad in ["", ".", "a..b", ".a", "a b", "a;b", "\u{e9}.example", "a\0.b", "%61.example"] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    /// RFC 1035 §2.3.4, and never a query for a name over 255 bytes on the wire.
    #[test]
    fn no_name_is_too_long() {
        let label = "a".repeat(63);
        assert!(Name::parse(label.as_bytes()).is_some());
        assert!(Name::parse("a".repeat(64).as_bytes()).is_none());
        let longest = [&*label, &*label, &*label, &"a".repeat(61)].join(".");
        assert_eq!(longest.len(), 253);
        let longest = Name::parse(longest.as_bytes()).unwrap();
        assert_eq!(longest.service("_sip._udp"), None);
    }
}
