//! Which Contact may be registered at all. A binding makes us send every call of that user to it, so it must not
//! point back at us, at everybody, or at what only we can reach (reflection and loops, RFC 5393 §3). Pure checks of one
//! URI; who may register is not decided here.

use core::net::{IpAddr, SocketAddr};

use sip_message::{Host, Scheme, Uri};

use crate::config::Config;
use crate::flow::Flow;
use crate::rejection::Rejection;

/// RFC 3261 §19.1.2: the ports of a URI that names none.
const SIP_PORT: u16 = 5060;
const SIPS_PORT: u16 = 5061;

/// Refuses with 403 a Contact nobody should be reached at.
pub fn check(uri: &Uri<'_>, flow: &Flow, config: &Config) -> Result<(), Rejection> {
    let default_port = match uri.scheme {
        Scheme::Sip => SIP_PORT,
        Scheme::Sips => SIPS_PORT,
        Scheme::Tel | Scheme::Other => return Err(Rejection::forbidden("Contact Is No SIP URI")),
    };
    let port = uri.port.unwrap_or(default_port);
    check_host(uri.host, uri.host_bytes, port, flow, config)?;
    match uri.param("maddr") {
        Some(maddr) => check_host(read_host(maddr), maddr, port, flow, config),
        None => Ok(()),
    }
}

fn read_host(text: &[u8]) -> Host<'_> {
    let inner = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(text);
    let ip = core::str::from_utf8(inner).ok().and_then(|t| t.parse::<IpAddr>().ok());
    match ip {
        Some(IpAddr::V4(v4)) => Host::V4(v4),
        Some(IpAddr::V6(v6)) => Host::V6(v6),
        None => Host::Name(text),
    }
}

fn check_host(
    host: Host<'_>,
    host_bytes: &[u8],
    port: u16,
    flow: &Flow,
    config: &Config,
) -> Result<(), Rejection> {
    let from_loopback = flow.remote.ip().to_canonical().is_loopback();
    let ip = match host {
        Host::V4(v4) => IpAddr::V4(v4),
        Host::V6(v6) => IpAddr::V6(v6).to_canonical(),
        Host::Name(name) => {
            // RFC 4475 §3.3.14: a user of a domain we serve is a place to be reached at (call forwarding); it is looked
            // up here and never sent to ourselves. A name of this machine is not.
            let served =
                config.domains.served.iter().any(|s| s.as_bytes().eq_ignore_ascii_case(name));
            let ours = !served
                && config.domains.canonical(name).is_some()
                && config.listeners.iter().any(|l| l.address.port() == port);
            let local = name.eq_ignore_ascii_case(b"localhost") && !from_loopback;
            return if ours || local || is_advertised(host_bytes, port, config) {
                Err(Rejection::forbidden("Contact Points To This Server"))
            } else {
                Ok(())
            };
        }
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(Rejection::forbidden("Contact Is Nobody's Address"));
    }
    let here = SocketAddr::new(ip, port);
    let listening = config.listeners.iter().any(|l| canonical(l.address) == here);
    if listening || is_advertised(host_bytes, port, config) || (ip.is_loopback() && !from_loopback)
    {
        return Err(Rejection::forbidden("Contact Points To This Server"));
    }
    Ok(())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn is_advertised(host: &[u8], port: u16, config: &Config) -> bool {
    config.listeners.iter().any(|l| {
        let (name, number) = l.advertised.rsplit_once(':').unwrap_or((&l.advertised, ""));
        name.as_bytes().eq_ignore_ascii_case(host) && number.parse().unwrap_or(SIP_PORT) == port
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::flow::ListenerId;

    fn verdict(contact: &str, source: &str) -> Result<(), u16> {
        let flow = Flow::udp(ListenerId(0), source.parse().unwrap());
        let uri = Uri::parse(contact.as_bytes()).unwrap();
        check(&uri, &flow, &config()).map_err(|r| r.status)
    }

    /// SEC-HIJACK-1. The test configuration listens on 192.0.2.1:5060, 192.0.2.1:5070 and [2001:db8::1]:5060, and serves
    /// example.com.
    #[test]
    fn hijack_contact() {
        for contact in [
            "sip:x@192.0.2.1",
            "sip:x@192.0.2.1:5060;transport=tcp",
            "sip:x@192.0.2.1:5070",
            "sip:x@[2001:db8::1]:5060",
            "sip:x@[::ffff:192.0.2.1]:5060",
            "sip:x@198.51.100.7;maddr=192.0.2.1",
            "sip:x@198.51.100.7;maddr=224.0.1.75",
            "sip:x@0.0.0.0:5062",
            "sip:x@[::]:5062",
            "sip:x@255.255.255.255",
            "sip:x@224.0.1.75",
            "sip:x@[ff02::1]",
            "sip:x@127.0.0.1:5062",
            "sip:x@[::1]:5062",
            "sip:x@localhost:5062",
            "tel:+15551234",
            "http://198.51.100.7/",
        ] {
            assert_eq!(verdict(contact, "198.51.100.7:5060"), Err(403), "{contact}");
        }
    }

    #[test]
    fn honest_contacts() {
        for contact in [
            "sip:x@198.51.100.7",
            // RFC 4475 §3.3.14. The proxy leaves the headers out of its Request-URI.
            "sip:x@example.com?Route=%3Csip:elsewhere%3E",
            "sip:x@EXAMPLE.com:5070",
            "sip:x@10.0.0.7:5060;transport=tcp;ob",
            "sips:x@192.0.2.1:5080",
            "sip:x@192.0.2.1:49152",
            "sip:x@phone.example.org",
            "sip:x@[2001:db8::7]",
        ] {
            assert_eq!(verdict(contact, "198.51.100.7:5060"), Ok(()), "{contact}");
        }
        assert_eq!(
            verdict("sip:x@127.0.0.1:5062", "127.0.0.1:5062"),
            Ok(()),
            "the source is loopback"
        );
        assert_eq!(verdict("sip:x@localhost:5062", "[::1]:5062"), Ok(()));
    }
}
