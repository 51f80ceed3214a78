//! Our own addresses: what a wildcard listener stands for, and the name we go by when nobody gave us one. Expanded once,
//! at the start: an answer leaves from the address the request came to because each address has a socket of its own.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

/// The machine's addresses, IPv4 first, loopback last, link-local ones left out (they mean nothing without an interface).
pub fn own() -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) if !v6.ip().is_unicast_link_local() => IpAddr::V6(v6.ip()),
            _ => continue,
        };
        if !own.contains(&ip) {
            own.push(ip);
        }
    }
    own.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    own
}

/// The concrete addresses a listener stands for.
pub fn expand(address: SocketAddr, own: &[IpAddr]) -> Vec<SocketAddr> {
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    let same_family = own.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
    same_family.map(|ip| SocketAddr::new(*ip, address.port())).collect()
}

/// As a URI names it: IPv6 in brackets.
pub fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// This machine's name, if it has one that a URI can carry.
pub fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?.to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_become_addresses_of_their_family() {
        let own: Vec<IpAddr> =
            ["192.0.2.1", "2001:db8::1", "127.0.0.1"].map(|a| a.parse().unwrap()).into();
        let any4 = expand("0.0.0.0:5060".parse().unwrap(), &own);
        assert_eq!(any4, ["192.0.2.1:5060", "127.0.0.1:5060"].map(|a| a.parse().unwrap()));
        let any6 = expand("[::]:5070".parse().unwrap(), &own);
        assert_eq!(any6, ["[2001:db8::1]:5070".parse().unwrap()]);
        let one = "198.51.100.1:5060".parse().unwrap();
        assert_eq!(expand(one, &own), [one]);
    }

    #[test]
    fn loopback_is_ours_and_comes_last() {
        let own = own();
        assert!(own.last().is_some_and(IpAddr::is_loopback), "{own:?}");
    }
}
