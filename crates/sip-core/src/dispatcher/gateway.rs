//! One gateway: where it is, how much it may carry, who may speak for it. It is the configuration's; what changes while
//! the server runs is its [`Live`].

use core::net::SocketAddr;
use std::sync::Arc;

use sip_message::{Scheme, Uri};

use super::account::Account;
use super::health::Thresholds;
use super::live::{Caps, Live, Seat};
use crate::config::Network;
use crate::flow::Flow;
use crate::locate::Sought;
use crate::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Gateway {
    pub name: Box<str>,
    /// What stands behind the `@` of a Request-URI for it: `203.0.113.99:5060;transport=tcp`.
    pub host: Box<str>,
    pub way: Way,
    /// Its share; 0: it is given nothing.
    pub weight: u32,
    /// Those of a lower priority are used when none of a higher one can be.
    pub priority: u32,
    pub caps: Caps,
    /// A call of which nothing is heard for so long is over, for all that is counted.
    pub call_max: Duration,
    /// Where its requests come from; if empty, its own address and port.
    pub sources: Vec<Network>,
    /// They are taken without a challenge.
    pub inbound: bool,
    /// RFC 3325 §2.3: a member of our trust domain. Its asserted identities are believed, and it is told ours.
    pub trusted: bool,
    pub probe: Option<Probe>,
    /// What we are to it.
    pub account: Option<Arc<Account>>,
    /// The line of the file, for `explain`; 0: unknown.
    pub line: u32,
    pub live: Arc<Live>,
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    Flow(Flow),
    /// Its addresses have to be found out (RFC 3263).
    Name(Box<Sought>),
}

/// How a gateway is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub every: Duration,
    /// No answer for so long is none.
    pub timeout: Duration,
    pub thresholds: Thresholds,
    /// What is a good answer.
    pub ok: Statuses,
}

impl Gateway {
    /// Where it listens, if it is not a name.
    pub const fn address(&self) -> Option<SocketAddr> {
        match &self.way {
            Way::Flow(flow) => Some(flow.remote),
            Way::Name(_) => None,
        }
    }

    /// Room for one more call; see [`Live::take_seat`]. `urgent`: there is always room.
    pub fn take_seat(&self, now: Instant, urgent: bool) -> Option<Seat> {
        self.live.take_seat(now, if urgent { Caps::default() } else { self.caps })
    }

    /// The Request-URI for this number: RFC 3261 §25.1 says which bytes a user part has.
    pub fn uri(&self, number: &[u8]) -> Vec<u8> {
        let mut uri = Vec::with_capacity(5 + number.len() + self.host.len());
        uri.extend_from_slice(b"sip:");
        push_user(number, &mut uri);
        if !number.is_empty() {
            uri.push(b'@');
        }
        uri.extend_from_slice(self.host.as_bytes());
        uri
    }

    /// Whether this URI names it.
    pub fn is_named_by(&self, uri: &Uri<'_>) -> bool {
        let own = [b"sip:", self.host.as_bytes()].concat();
        Uri::parse(&own).is_ok_and(|own| {
            uri.scheme == Scheme::Sip
                && own.host_bytes.eq_ignore_ascii_case(uri.host_bytes)
                && own.port.unwrap_or(PORT_DEFAULT) == uri.port.unwrap_or(PORT_DEFAULT)
        })
    }
}

/// RFC 3261 §19.1.2.
const PORT_DEFAULT: u16 = 5060;

/// RFC 3261 §25.1: `user = 1*( unreserved / escaped / user-unreserved )`; what is neither is escaped.
pub fn push_user(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(byte);
        } else {
            // A nibble is below 16.
            let [high, low] = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

/// Some of the final statuses: `404`, `5xx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `503` or `5xx`; false for anything else.
    pub fn add(&mut self, text: &str) -> bool {
        let range = match text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            Some(class) => class
                .parse::<u16>()
                .ok()
                .filter(|c| class.len() == 1 && (2..=6).contains(c))
                .map(|class| (class * 100, class * 100 + 99)),
            None => text.parse::<u16>().ok().filter(|c| (200..700).contains(c)).map(|c| (c, c)),
        };
        self.0.extend(range);
        range.is_some()
    }

    /// From words that are known to be right.
    pub fn of(words: &[&str]) -> Self {
        let mut statuses = Self::default();
        for word in words {
            statuses.add(word);
        }
        statuses
    }
}

impl core::fmt::Display for Statuses {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            match (first, last) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, _) => write!(f, "{}xx", first / 100)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::flow::ListenerId;

    pub(crate) fn gateway(name: &str, address: &str) -> Gateway {
        let remote: SocketAddr = address.parse().unwrap();
        Gateway {
            name: name.into(),
            host: address.into(),
            way: Way::Flow(Flow::udp(ListenerId(0), remote)),
            weight: 1,
            priority: 0,
            caps: Caps::default(),
            call_max: Duration::from_secs(4 * 3600),
            sources: Vec::new(),
            inbound: true,
            trusted: true,
            probe: None,
            account: None,
            line: 0,
            live: Arc::default(),
        }
    }

    #[test]
    fn uris_are_whole_whatever_the_number() {
        let gateway = gateway("a", "203.0.113.99:5060");
        let uri = |number: &[u8]| String::from_utf8(gateway.uri(number)).unwrap();
        assert_eq!(uri(b"+15551234"), "sip:+15551234@203.0.113.99:5060");
        assert_eq!(uri(b""), "sip:203.0.113.99:5060");
        assert_eq!(uri(b"1@evil>\r\n"), "sip:1%40evil%3E%0D%0A@203.0.113.99:5060");
        assert_eq!(uri(b"#31#5%"), "sip:%2331%235%25@203.0.113.99:5060");
        let named = |uri: &str| gateway.is_named_by(&Uri::parse(uri.as_bytes()).unwrap());
        assert!(named("sip:x@203.0.113.99") && named("sip:203.0.113.99:5060;transport=tcp"));
        assert!(!named("sip:x@203.0.113.99:5061") && !named("sip:x@203.0.113.9"));
    }

    #[test]
    fn statuses_are_read_and_written() {
        let mut statuses = Statuses::default();
        for good in ["2xx", "404", "5XX"] {
            assert!(statuses.add(good), "{good}");
        }
        for bad in ["", "xx", "1xx", "7xx", "12xx", "100", "700", "-1", "4x4"] {
            assert!(!statuses.add(bad), "{bad}");
        }
        assert_eq!(statuses.to_string(), "2xx, 404, 5xx");
        assert!(statuses.contains(299) && statuses.contains(404) && statuses.contains(503));
        assert!(!statuses.contains(405) && !statuses.contains(600));
    }
}
