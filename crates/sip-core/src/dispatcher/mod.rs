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
//! probe      OPTIONS to each of them, by one node for all
//! calls      the calls that stand, so that a gateway is not given too many
//! route      when a request goes where
//! number     telephone numbers: patterns, and what is made of a match
//! hours      times of the week
//! ```

pub mod calls;
pub mod gateway;
pub mod hash;
pub mod health;
pub mod hours;
pub mod live;
pub mod number;
pub mod probe;
pub mod route;
pub mod set;

use core::net::IpAddr;
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

    /// The gateway whose requests come from `ip`, if it may send any; the first of the file. An address on a datagram can
    /// be forged: gateways belong where nobody else can send from.
    pub fn speaks_from(&self, ip: IpAddr) -> Option<&Arc<Gateway>> {
        if self.gateways.is_empty() {
            return None;
        }
        let ip = ip.to_canonical();
        let first = self.addresses.partition_point(|(address, _)| *address < ip);
        let exact = self.addresses.get(first).filter(|(address, _)| *address == ip);
        let wide = || {
            let within = |gateway: &&Arc<Gateway>| gateway.sources.iter().any(|n| n.contains(ip));
            self.gateways.iter().find(within)
        };
        let gateway = exact.and_then(|(_, at)| self.gateways.get(*at)).or_else(wide)?;
        (gateway.inbound && !gateway.live.is_disabled()).then_some(gateway)
    }
}
