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
