//! Gateways, the sets they form, and the routes that lead to them: which of several next hops a request takes. It knows
//! who is alive, who is full and whom the operator has taken out of service; it reads no message and sends nothing but
//! the questions of `probe`.
//!
//! ```text
//! gateway    one next hop: where it is, what it may carry, who may speak for it
//! set        several of them, and how one is chosen
//! hash       the choice that needs no memory
//! live       what all nodes know of a gateway at this moment
//! health     up, probing, down: a machine
//! chore     a request of our own to one of them
//! probe      OPTIONS to each of them, by one node for all
//! account    what we are to a provider
//! registrant registrations with providers, by one node for all
//! calls      the calls that stand, so that a gateway is not given too many
//! route      when a request goes where
//! number     telephone numbers: patterns, and what is made of a match
//! hours      times of the week
//! ```

pub mod account;
pub mod calls;
pub mod chore;
pub mod gateway;
pub mod hash;
pub mod health;
pub mod hours;
pub mod live;
pub mod number;
pub mod probe;
pub mod registrant;
pub mod route;
pub mod set;

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway::Gateway;
use route::Route;
use set::Set;

/// Everything of it that is configured.
#[derive(Debug, Default)]
pub struct Dispatcher {
    gateways: Vec<Arc<Gateway>>,
    sets: Vec<Arc<Set>>,
    /// In the order of the file: the first that fits is taken.
    routes: Vec<Route>,
    /// Seconds east of Greenwich, for times of day.
    utc_offset: i32,
    /// Single addresses that requests of gateways come from, sorted; and which gateway.
    addresses: Vec<(IpAddr, usize)>,
}

impl Dispatcher {
    pub fn new(
        gateways: Vec<Arc<Gateway>>,
        sets: Vec<Arc<Set>>,
        routes: Vec<Route>,
        utc_offset: i32,
    ) -> Self {
        let mut addresses: Vec<(IpAddr, usize)> = Vec::new();
        for (at, gateway) in gateways.iter().enumerate() {
            addresses.extend(gateway.sources.iter().filter_map(|n| Some((n.single()?, at))));
            if let (true, Some(own)) = (gateway.sources.is_empty(), gateway.address()) {
                addresses.push((own.ip().to_canonical(), at));
            }
        }
        addresses.sort_unstable();
        Self { gateways, sets, routes, utc_offset, addresses }
    }

    pub fn gateways(&self) -> &[Arc<Gateway>] {
        &self.gateways
    }

    pub fn sets(&self) -> &[Arc<Set>] {
        &self.sets
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub const fn utc_offset(&self) -> i32 {
        self.utc_offset
    }

    pub fn gateway(&self, name: &str) -> Option<&Arc<Gateway>> {
        self.gateways.iter().find(|gateway| *gateway.name == *name)
    }

    /// The gateway that sends from `remote`, if it may send any requests; the first of the file. `port`: where its Via says
    /// that it listens. An address on a datagram can be forged: gateways belong where nobody else can send from.
    pub fn speaks_from(&self, remote: SocketAddr, port: u16) -> Option<&Arc<Gateway>> {
        if self.gateways.is_empty() {
            return None;
        }
        let ip = remote.ip().to_canonical();
        let first = self.addresses.partition_point(|(address, _)| *address < ip);
        let same = self.addresses.iter().skip(first).take_while(|(address, _)| *address == ip);
        let known = same.filter_map(|(_, at)| self.gateways.get(*at));
        // Without a word about it, a gateway speaks from where it listens: others may live at its address.
        let own_port = |gateway: &&Arc<Gateway>| {
            let own = gateway.address().map(|own| own.port());
            !gateway.sources.is_empty() || own == Some(remote.port()) || own == Some(port)
        };
        let wide = || {
            let within = |gateway: &&Arc<Gateway>| gateway.sources.iter().any(|n| n.contains(ip));
            self.gateways.iter().find(within)
        };
        let gateway = known.into_iter().find(own_port).or_else(wide)?;
        (gateway.inbound && !gateway.live.is_disabled()).then_some(gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::live::Order;

    #[test]
    fn a_gateway_is_known_by_where_it_sends_from() {
        let mut wide = gateway::tests::gateway("wide", "203.0.113.9:5060");
        wide.sources = vec!["198.51.100.0/24".parse().unwrap(), "203.0.113.9".parse().unwrap()];
        let mut deaf = gateway::tests::gateway("deaf", "192.0.2.9:5060");
        deaf.inbound = false;
        let a = gateway::tests::gateway("a", "192.0.2.1:5060");
        let b = gateway::tests::gateway("b", "192.0.2.1:5080");
        let all = [a, b, wide, deaf].map(Arc::new).to_vec();
        let dispatcher = Dispatcher::new(all, Vec::new(), Vec::new(), 0);
        let from = |remote: &str, port| {
            let gateway = dispatcher.speaks_from(remote.parse().unwrap(), port);
            gateway.map(|gateway| gateway.name.to_string())
        };
        assert_eq!(from("192.0.2.1:5060", 0).as_deref(), Some("a"));
        assert_eq!(from("192.0.2.1:5080", 0).as_deref(), Some("b"));
        assert_eq!(from("192.0.2.1:40000", 5080).as_deref(), Some("b"), "a connection of its own");
        assert_eq!(from("192.0.2.1:40000", 40000), None, "somebody else on the same machine");
        assert_eq!(from("203.0.113.9:1", 1).as_deref(), Some("wide"));
        assert_eq!(from("198.51.100.77:1", 1).as_deref(), Some("wide"));
        assert_eq!(from("192.0.2.9:5060", 5060), None);
        dispatcher.gateways()[0].live.set_order(Order::Disabled);
        assert_eq!(from("192.0.2.1:5060", 5060), None);
    }
}
