//! Requests that are too large for a datagram (RFC 3261 §18.1.1): "if a request is within 200 bytes of the path MTU, or if it
//! is larger than 1300 bytes and the path MTU is unknown, the request MUST be sent using an RFC 2914 congestion controlled
//! transport protocol, such as TCP." If the peer refuses the connection it goes as a datagram after all. It opens nothing
//! and remembers nothing.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip_message::{Message, Name, Request, Uri};

use crate::config::Config;
use crate::flow::{Flow, Transport};
use crate::shared::Shared;
use crate::time::Instant;

/// Bytes a datagram may have.
pub const DATAGRAM_MAX: usize = 1_300;

const VIA: &[u8] = b"\r\nVia: SIP/2.0/UDP ";

/// What must be known to decide it: our listeners, and who refused lately.
pub struct Streams {
    pub config: Arc<Config>,
    pub shared: Arc<Shared>,
}

impl Streams {
    /// The request as it goes by a stream instead; see [`by_stream`]. `None` also for a peer that is not where the request
    /// says it is: a phone behind a NAT is reached by the datagrams it sends, and by nothing else.
    pub fn carry(&self, now: Instant, flow: &Flow, wire: &Bytes) -> Option<(Flow, Bytes)> {
        if wire.len() <= DATAGRAM_MAX || self.shared.refusals.is_known(now, flow.remote) {
            return None;
        }
        let Ok(Message::Request(request)) = Message::parse(wire.clone()) else { return None };
        if is_named(&request, flow.remote) { by_stream(&self.config, flow, wire) } else { None }
    }
}

/// The same request by a stream: where to, and with another Via ("If this causes a change in the transport protocol from
/// the one indicated in the top Via, the value in the top Via MUST be changed"). `None` when it is to stay a datagram:
/// small enough, or no listener for streams.
pub fn by_stream(config: &Config, flow: &Flow, wire: &Bytes) -> Option<(Flow, Bytes)> {
    if wire.len() <= DATAGRAM_MAX || flow.transport.is_reliable() {
        return None;
    }
    let from = config.listener(flow.listener)?.address.ip();
    let fits =
        |l: &crate::config::Listener| l.transport == Transport::Tcp && l.address.ip() == from;
    let (listener, at) = config.listeners.iter().zip(0u16..).find(|(l, _)| fits(l))?;
    let Ok(Message::Request(request)) = Message::parse(wire.clone()) else { return None };
    let start = memchr::memmem::find(wire, VIA)?;
    let (before, rest) = wire.split_at_checked(start)?;
    let end = memchr::memchr(b';', rest)?;
    let mut stream = Vec::with_capacity(wire.len() + 32);
    stream.extend_from_slice(before);
    if request.header(Name::ContentLength).is_none() {
        // RFC 3261 §18.3: a stream needs it.
        stream.extend_from_slice(b"\r\nContent-Length: ");
        stream.extend_from_slice(request.body().len().to_string().as_bytes());
    }
    stream.extend_from_slice(b"\r\nVia: SIP/2.0/TCP ");
    stream.extend_from_slice(listener.advertised.as_bytes());
    stream.extend_from_slice(rest.get(end..)?);
    let flow = Flow { transport: Transport::Tcp, listener: crate::flow::ListenerId(at), ..*flow };
    Some((flow, stream.into()))
}

/// Whether the next hop that the request itself names is this address, and does not insist on datagrams.
fn is_named(request: &Request, remote: SocketAddr) -> bool {
    let next = request.routes().next().and_then(Result::ok).and_then(|route| route.uri().ok());
    let Some(uri) = next.or_else(|| request.uri().ok()) else { return false };
    address(&uri) == Some(remote) && uri.param("transport").is_none()
}

fn address(uri: &Uri<'_>) -> Option<SocketAddr> {
    const PORT_DEFAULT: u16 = 5060;
    Some(SocketAddr::new(uri.host.ip()?, uri.port.unwrap_or(PORT_DEFAULT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::flow::{ConnectionId, ListenerId};

    fn draft(uri: &str, extra: &str, body: usize) -> Bytes {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\r\n\
             Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKy\r\n{extra}From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n{}",
            "x".repeat(body)
        );
        text.into()
    }

    fn bob() -> Flow {
        Flow::udp(ListenerId(0), "192.0.2.20:5060".parse().unwrap())
    }

    #[test]
    fn a_large_request_goes_by_stream_with_another_via() {
        let (flow, wire) =
            by_stream(&config(), &bob(), &draft("sip:bob@192.0.2.20", "", 1_100)).unwrap();
        assert_eq!((flow.transport, flow.listener), (Transport::Tcp, ListenerId(1)));
        assert_eq!((flow.remote, flow.connection), (bob().remote, ConnectionId::NONE));
        let text = core::str::from_utf8(&wire).unwrap();
        assert!(text.contains(
            "\r\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKx\r\nVia: SIP/2.0/UDP 192.0.2.9"
        ));
        assert!(text.contains("\r\nContent-Length: 1100\r\n"), "{text}");
        let Ok(Message::Request(request)) = Message::parse(wire) else { panic!() };
        assert!(request.check_stream().is_ok() && request.check().is_ok());
    }

    #[test]
    fn what_stays_a_datagram() {
        let now = Instant::from_secs(7);
        let shared = Arc::new(Shared::new(crate::seal::Seal::new([1; 16]), now));
        let streams = Streams { config: Arc::new(config()), shared };
        let carry =
            |uri: &str, extra: &str, body| streams.carry(now, &bob(), &draft(uri, extra, body));
        let large = |uri: &str, extra: &str| carry(uri, extra, 1_100);
        assert!(carry("sip:bob@192.0.2.20", "", 100).is_none(), "small");
        assert!(large("sip:bob@192.0.2.20;transport=udp", "").is_none(), "it says so");
        assert!(large("sip:bob@10.0.0.9:5060", "").is_none(), "behind a NAT");
        assert!(large("sip:bob@192.0.2.20:5062", "").is_none(), "another port");
        assert!(
            large("sip:bob@10.0.0.9", "Route: <sip:192.0.2.20;lr>\r\n").is_some(),
            "its proxy is there"
        );
        streams.shared.refusals.note(now, bob().remote);
        assert!(large("sip:bob@192.0.2.20", "").is_none(), "it was refused a moment ago");
        let mut config = config();
        config.listeners.retain(|listener| listener.transport == Transport::Udp);
        assert!(
            by_stream(&config, &bob(), &draft("sip:bob@192.0.2.20", "", 1_100)).is_none(),
            "no stream"
        );
    }
}
