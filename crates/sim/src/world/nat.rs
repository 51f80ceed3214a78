//! A NAT as RFC 4787 describes the hard ones: it lets in only what answers to something that went out, forgets a mapping
//! that was not used, and may give each destination a port of its own. It knows no SIP.

use core::net::SocketAddr;

use sip_core::flow::Transport;
use sip_core::time::{Duration, Instant};

use super::World;
use crate::phone::Phone;

/// Which one it is.
#[derive(Clone, Copy, Debug)]
pub struct Nat {
    /// RFC 4787 §4.1: address and port-dependent mapping. Otherwise the phone has one port for everybody.
    pub symmetric: bool,
    /// RFC 4787 §4.3: how long a mapping lives after the last packet from inside.
    pub timeout: Duration,
}

impl Nat {
    pub const fn new(timeout: Duration) -> Self {
        Self { symmetric: false, timeout }
    }

    pub const fn symmetric(timeout: Duration) -> Self {
        Self { symmetric: true, timeout }
    }
}

#[derive(Debug)]
struct Mapping {
    port: u16,
    /// Who was sent to through it, and may answer.
    peers: Vec<SocketAddr>,
    used: Instant,
}

/// One NAT with one phone behind it.
#[derive(Debug)]
pub(super) struct Translator {
    kind: Nat,
    mappings: Vec<Mapping>,
    next_port: u16,
}

impl Translator {
    /// The port a packet to `to` leaves from.
    pub(super) fn outbound(&mut self, now: Instant, to: SocketAddr) -> u16 {
        let Self { kind, mappings, next_port } = self;
        mappings.retain(|m| now.since(m.used) < kind.timeout);
        let known = mappings.iter_mut().find(|m| !kind.symmetric || m.peers.contains(&to));
        let mapping = match known {
            Some(mapping) => mapping,
            None => {
                *next_port += 1;
                mappings.push(Mapping { port: *next_port, peers: Vec::new(), used: now });
                let Some(mapping) = mappings.last_mut() else { return 0 };
                mapping
            }
        };
        mapping.used = now;
        if !mapping.peers.contains(&to) {
            mapping.peers.push(to);
        }
        mapping.port
    }

    /// Whether a packet from `from` to this port goes through.
    pub(super) fn lets_in(&self, now: Instant, port: u16, from: SocketAddr) -> bool {
        let alive = |m: &&Mapping| now.since(m.used) < self.kind.timeout;
        let mut alive = self.mappings.iter().filter(alive);
        alive.any(|m| m.port == port && m.peers.contains(&from))
    }
}

impl World {
    /// A phone with an account behind this NAT. It has no binding yet: its REGISTER opens the way.
    pub fn phone_behind(&mut self, nat: Nat, name: &str) -> Phone {
        let phone = self.unregistered(name);
        self.put_behind(nat, &phone);
        phone
    }

    /// The same on a stream.
    pub fn tcp_phone_behind(&mut self, nat: Nat, name: &str) -> Phone {
        let phone = self.phone_of(name, name, Transport::Tcp, 0, false);
        self.put_behind(nat, &phone);
        phone
    }

    fn put_behind(&mut self, nat: Nat, phone: &Phone) {
        let number = u8::try_from(self.phones.len()).unwrap_or(u8::MAX);
        phone.claims(SocketAddr::from(([192, 168, 0, number], 5060)));
        self.nats
            .insert(phone.place, Translator { kind: nat, mappings: Vec::new(), next_port: 61_000 });
    }

    /// The NAT is switched off and on: what it knew is gone. Streams through it lead nowhere.
    pub fn restart_nat(&mut self, phone: &Phone) {
        if let Some(nat) = self.nats.get_mut(&phone.place) {
            nat.mappings.clear();
        }
    }
}
