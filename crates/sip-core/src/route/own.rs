//! Which names are ours: served domains, and our own addresses at our own ports (RFC 3261 §16.4, §16.5). A phone on
//! the same machine has our address and another port: that is not us.

use core::net::IpAddr;

use sip_message::{Scheme, Uri};

use crate::config::{AorBuf, Config};

/// Whether a request for this URI has arrived: we are responsible for it.
pub fn names_us(config: &Config, uri: &Uri<'_>) -> bool {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return false;
    }
    // RFC 3261 §19.1.1: `maddr` overrides the host. One that is not ours asks us to relay.
    if uri.param("maddr").is_some_and(|maddr| config.domains.canonical(maddr).is_none()) {
        return false;
    }
    match uri.host.ip() {
        Some(ip) => is_own_address(config, uri.host_bytes, ip, uri.port),
        None => config.domains.canonical(uri.host_bytes).is_some(),
    }
}

/// The user this URI names, if it is one of ours.
pub fn aor(config: &Config, uri: &Uri<'_>) -> Option<AorBuf> {
    let domains = &config.domains;
    // An IPv6 address has many spellings; any of ours means the default domain.
    domains.aor(uri).or_else(|| {
        let host = uri.host.ip().and_then(|_| domains.served.first())?;
        names_us(config, uri).then(|| domains.aor_from(uri.user?, host.as_bytes())).flatten()
    })
}

fn is_own_address(config: &Config, spelled: &[u8], ip: IpAddr, port: Option<u16>) -> bool {
    let listeners = &config.listeners;
    let bound = listeners.iter().any(|listener| listener.address.ip() == ip);
    if !bound && config.domains.canonical(spelled).is_none() {
        return false;
    }
    // An advertised address that no listener is bound to (we are behind a NAT) is ours at any of our ports.
    port.is_none_or(|port| {
        let here = |ip_bound: IpAddr| !bound || ip_bound == ip;
        listeners.iter().any(|l| l.address.port() == port && here(l.address.ip()))
    })
}
