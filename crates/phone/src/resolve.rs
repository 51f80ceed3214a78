//! Names to addresses with the system's resolver, hosts file and all (RFC 3263 §4.2 for A and AAAA; NAPTR and SRV are not
//! asked for). It waits on tokio's blocking threads, never in the loop.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use sip_core::ua::NextHop;

use crate::target::PORT_DEFAULT;

/// The system's resolver may try several servers; longer than this nobody waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// A name with more addresses than this is an attack or a mistake.
const ADDRESSES_MAX: usize = 16;

/// Every address of the host, in the resolver's order. The error is in words.
pub async fn addresses(hop: &NextHop) -> Result<Vec<SocketAddr>, String> {
    let port = hop.port.unwrap_or(PORT_DEFAULT);
    let host = hop.host.trim_matches(['[', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let asked = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let mut found: Vec<SocketAddr> = match asked {
        Err(_) => return Err("the resolver did not answer in 10 s".to_owned()),
        Ok(Err(error)) => return Err(words(&error)),
        Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
    };
    found.dedup();
    if found.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(found)
}

/// The system's sentence without its preamble.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

/// The address of ours from which the system would reach `remote`. No packet is sent.
pub fn source_towards(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// Our address where nobody in particular is meant: the one of the default route, or loopback when there is none.
pub fn source_of_default_route(ipv6: bool) -> IpAddr {
    // Documentation addresses (RFC 5737, RFC 3849): routed by default, never reached.
    let far: SocketAddr = match ipv6 {
        false => ([192, 0, 2, 1], 9).into(),
        true => (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), 9).into(),
    };
    let loopback = match ipv6 {
        false => IpAddr::from([127, 0, 0, 1]),
        true => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    source_towards(far).unwrap_or(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let source = source_towards(([127, 0, 0, 1], 9).into()).expect("there is always loopback");
        assert_eq!(source, IpAddr::from([127, 0, 0, 1]));
    }

    #[tokio::test]
    async fn addresses_need_no_resolver() {
        let hop = NextHop { transport: None, host: "[::1]".into(), port: Some(5070) };
        assert_eq!(addresses(&hop).await, Ok(vec!["[::1]:5070".parse().unwrap()]));
    }
}
