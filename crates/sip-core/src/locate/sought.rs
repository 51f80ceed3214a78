//! What a URI asks for (RFC 3263 §4): an address outright, or a name with what the URI itself says about transport and
//! port. `maddr` goes before the host (RFC 3261 §19.1.1).

use core::net::SocketAddr;

use sip_message::{Host, Scheme, Uri};

use super::{Destination, Name, is_one_place};
use crate::flow::Transport;

/// RFC 3261 §19.1.2: the port of a SIP URI that names none, for UDP and TCP.
pub const PORT_DEFAULT: u16 = 5060;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Numeric: nothing has to be found out.
    Address(Destination),
    Name(Sought),
}

/// A host name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    pub host: Name,
    pub port: Option<u16>,
    pub transport: Option<Transport>,
}

impl Place {
    /// `None`: nowhere that we could send anything: a transport we do not have, an address that is no single place, a
    /// name that cannot exist, `sips`, which asks for TLS on every hop.
    pub fn of(uri: &Uri<'_>) -> Option<Self> {
        if uri.scheme != Scheme::Sip || uri.port == Some(0) {
            return None;
        }
        let transport = match uri.param("transport") {
            None => None,
            Some(token) if token.eq_ignore_ascii_case(b"udp") => Some(Transport::Udp),
            Some(token) if token.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
            Some(_) => return None,
        };
        let host = match uri.param("maddr") {
            Some(maddr) => Host::parse(maddr).ok()?,
            None => uri.host,
        };
        Some(match (host.ip(), host) {
            (Some(ip), _) if is_one_place(ip) => Self::Address(Destination {
                transport: transport.unwrap_or(Transport::Udp),
                address: SocketAddr::new(ip, uri.port.unwrap_or(PORT_DEFAULT)),
            }),
            (None, Host::Name(name)) => {
                Self::Name(Sought { host: Name::parse(name)?, port: uri.port, transport })
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3263 §4.1, §4.2; RFC 3261 §19.1.1, §19.1.2.
    #[test]
    fn uris() {
        let place = |uri: &str| match Place::of(&Uri::parse(uri.as_bytes()).unwrap()) {
            None => "nowhere".to_owned(),
            Some(Place::Address(to)) => to.to_string(),
            Some(Place::Name(sought)) => format!(
                "{} port {} by {}",
                sought.host,
                sought.port.map_or("?".into(), |p| p.to_string()),
                sought.transport.map_or("?", Transport::uri_token)
            ),
        };
        let cases = [
            ("sip:a@192.0.2.1", "udp:192.0.2.1:5060"),
            ("sip:192.0.2.1:5070;transport=TCP", "tcp:192.0.2.1:5070"),
            ("sip:[2001:db8::1]", "udp:[2001:db8::1]:5060"),
            ("sip:a@example.org;maddr=192.0.2.9", "udp:192.0.2.9:5060"),
            ("sip:a@192.0.2.1;maddr=hosts.example.org", "hosts.example.org port ? by ?"),
            ("sip:a@Example.ORG", "example.org port ? by ?"),
            ("sip:a@example.org:5070", "example.org port 5070 by ?"),
            ("sip:a@example.org;transport=tcp", "example.org port ? by tcp"),
            ("sip:a@example.org;transport=tls", "nowhere"),
            ("sip:a@example.org:0", "nowhere"),
            ("sips:a@example.org", "nowhere"),
            ("sip:a@224.0.0.1", "nowhere"),
            ("sip:a@0.0.0.0", "nowhere"),
            ("sip:a@255.255.255.255", "nowhere"),
            ("sip:a@b..c", "nowhere"),
        ];
        for (uri, expected) in cases {
            assert_eq!(place(uri), expected, "{uri}");
        }
    }
}
