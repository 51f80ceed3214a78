//! Where a request goes (RFC 3261 §8.1.2, §18.1.1, RFC 3263): an address is used as it is; a name becomes a question,
//! which the shell answers. It never resolves anything itself.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use sip_message::{Host, Scheme, Uri};

use crate::config::Listener;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};

/// RFC 3261 §19.1.2: the port of a SIP URI that names none, for UDP and TCP.
pub const PORT_DEFAULT: u16 = 5060;

/// A next hop before anybody knows its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// `None`: nobody said; RFC 3263 §4.1 chooses, UDP for an address.
    pub transport: Option<Transport>,
    /// A name, or an address; IPv6 with its brackets.
    pub host: Box<str>,
    pub port: Option<u16>,
}

impl NextHop {
    /// The hop that an address of ours is.
    pub fn address(transport: Transport, address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { transport: Some(transport), host: host.into(), port: Some(address.port()) }
    }

    /// What a URI says about the way to it; `None` for a scheme or a transport that we cannot use. `maddr` goes before
    /// the host (RFC 3261 §19.1.1).
    pub fn of(uri: &Uri<'_>) -> Option<Self> {
        if uri.scheme != Scheme::Sip {
            return None;
        }
        let transport = match uri.param("transport") {
            None => None,
            Some(token) if token.eq_ignore_ascii_case(b"udp") => Some(Transport::Udp),
            Some(token) if token.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
            Some(_) => return None,
        };
        let host = uri.param("maddr").unwrap_or(uri.host_bytes);
        let host = core::str::from_utf8(host).ok()?.to_ascii_lowercase();
        Some(Self { transport, host: host.into(), port: uri.port })
    }

    /// The flow that leads there from one of `listeners`, if the host is an address: the outer `None` is a name, the
    /// inner one says that no listener reaches it.
    pub fn flow(&self, listeners: &[Listener]) -> Option<Option<Flow>> {
        let ip = Host::parse(self.host.as_bytes()).ok()?.ip()?;
        let remote = SocketAddr::new(ip, self.port.unwrap_or(PORT_DEFAULT));
        let transport = self.transport.unwrap_or(Transport::Udp);
        Some(flow_to(listeners, transport, remote).or_else(|| {
            // RFC 3263 §4.1: nobody asked for UDP, and we have only a stream.
            let fallback = self.transport.is_none() && remote.port() != 0;
            flow_to(listeners, Transport::Tcp, remote).filter(|_| fallback)
        }))
    }
}

/// From the first listener of the right transport and family.
fn flow_to(listeners: &[Listener], transport: Transport, remote: SocketAddr) -> Option<Flow> {
    let fits = |l: &Listener| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4();
    let listener = ListenerId(u16::try_from(listeners.iter().position(fits)?).ok()?);
    Some(Flow { transport, listener, connection: ConnectionId::NONE, remote })
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(uri: &str) -> Option<String> {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        let hop = NextHop::of(&uri)?;
        Some(format!("{hop} {:?}", hop.transport))
    }

    /// RFC 3261 §19.1.1, RFC 3263 §4.1: what a URI says about the way to it.
    #[test]
    fn what_a_uri_says() {
        for (uri, wanted) in [
            ("sip:bob@Example.COM", Some("example.com None")),
            ("sip:bob@example.com:5070;transport=TCP", Some("example.com:5070 Some(Tcp)")),
            ("sip:bob@example.com;maddr=192.0.2.9;transport=udp", Some("192.0.2.9 Some(Udp)")),
            ("sip:[2001:db8::1]:5062", Some("[2001:db8::1]:5062 None")),
            ("sip:bob@example.com;transport=tls", None),
            ("sips:bob@example.com", None),
            ("tel:+15551234", None),
        ] {
            assert_eq!(hop(uri).as_deref(), wanted, "{uri}");
        }
    }

    #[test]
    fn addresses_need_no_question() {
        let listener = |transport, address: &str| Listener {
            transport,
            address: address.parse().unwrap(),
            advertised: address.into(),
        };
        let listeners = [
            listener(Transport::Tcp, "192.0.2.1:5060"),
            listener(Transport::Udp, "[2001:db8::1]:5060"),
        ];
        let flow = |transport, host: &str| {
            let hop = NextHop { transport, host: host.into(), port: None };
            hop.flow(&listeners).map(|flow| flow.map(|f| (f.to_string(), f.listener.0)))
        };
        assert_eq!(flow(None, "example.com"), None);
        assert_eq!(flow(None, "[2001:db8::2]"), Some(Some(("udp:[2001:db8::2]:5060".into(), 1))));
        // Nobody said UDP, and there is only a stream.
        assert_eq!(flow(None, "192.0.2.2"), Some(Some(("tcp:192.0.2.2:5060".into(), 0))));
        assert_eq!(flow(Some(Transport::Udp), "192.0.2.2"), Some(None));
        let own = NextHop::address(Transport::Udp, "[2001:db8::2]:7".parse().unwrap());
        assert_eq!(own.to_string(), "[2001:db8::2]:7");
    }
}
