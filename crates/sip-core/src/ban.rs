//! Who is kept out for a while: an operator said so, or an address guessed passwords and proved, by answering a nonce that
//! was sent to it, that it really is there. An address that only stands on a datagram is never held against anybody.
//! Everything is bounded and ends by itself. Plain: `shared.rs` locks it.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::config::{self, Network};
use crate::time::{Duration, Instant};

/// Bans at the same time. When one more comes, the one that would have ended first ends.
pub const BANS_MAX: usize = 65_536;
/// Of them, networks wider than one source: each is compared with every message.
pub const NETWORKS_MAX: usize = 256;
/// Sources whose wrong answers are counted, in sets of four.
const FAILURE_SETS: usize = 4_096;
const WAYS: usize = 4;

/// One IPv4 address, or one IPv6 /64, which is what one subscriber is given.
pub fn source_of(ip: IpAddr) -> Network {
    match ip.to_canonical() {
        IpAddr::V4(v4) => Network { address: v4.into(), prefix: 32 },
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Network { address: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(), prefix: 64 }
        }
    }
}

/// Why somebody is kept out, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything.
    Operator,
    /// What comes by a flow that has proven nothing: those who share the address with the guesser go on.
    Guessing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub network: Network,
    pub until: Instant,
    pub reason: Reason,
}

/// Who is kept out now.
#[derive(Debug, Default)]
pub struct Bans {
    rows: HashMap<Network, (Instant, Reason)>,
    /// The same, the first to end first.
    ends: BTreeSet<(Instant, Network)>,
    /// Those that are no single source.
    networks: Vec<Network>,
}

impl Bans {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds or replaces. Gives what had to make room; `false` when there is no room for one more wide network.
    pub fn add(&mut self, row: &Row) -> Result<Option<Network>, NoRoom> {
        let is_wide = source_of(row.network.address) != row.network;
        if is_wide && !self.rows.contains_key(&row.network) && self.networks.len() >= NETWORKS_MAX {
            return Err(NoRoom);
        }
        self.remove(&row.network);
        let full = self.rows.len() >= BANS_MAX;
        let first = self.ends.first().map(|(_, network)| *network).filter(|_| full);
        if let Some(first) = first {
            self.remove(&first);
        }
        self.rows.insert(row.network, (row.until, row.reason));
        self.ends.insert((row.until, row.network));
        if is_wide {
            self.networks.push(row.network);
        }
        Ok(first)
    }

    /// Whether it was there.
    pub fn remove(&mut self, network: &Network) -> bool {
        let Some((until, _)) = self.rows.remove(network) else { return false };
        self.ends.remove(&(until, *network));
        self.networks.retain(|wide| wide != network);
        true
    }

    pub fn find(&self, now: Instant, ip: IpAddr) -> Option<Reason> {
        let live = |(until, reason): &(Instant, Reason)| (*until > now).then_some(*reason);
        if let Some(reason) = self.rows.get(&source_of(ip)).and_then(live) {
            return Some(reason);
        }
        let wide = self.networks.iter().filter(|network| network.contains(ip));
        wide.filter_map(|network| self.rows.get(network)).find_map(live)
    }

    /// Removes and gives those that have ended.
    pub fn expire(&mut self, now: Instant) -> Vec<Network> {
        let mut ended = Vec::new();
        while let Some((_, network)) = self.ends.first().copied().filter(|(until, _)| *until <= now)
        {
            self.remove(&network);
            ended.push(network);
        }
        ended
    }

    /// The first to end first.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(until, network): &(Instant, Network)| {
            let reason = self.rows.get(network)?.1;
            Some(Row { network: *network, until: *until, reason })
        };
        self.ends.iter().filter_map(row).collect()
    }
}

/// No room for one more wide network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u64,
    begun: Instant,
    count: u32,
}

/// Wrong answers by source: a fixed table, evicting the oldest count.
#[derive(Debug, Default)]
pub struct Failures {
    /// Empty until somebody fails.
    places: Vec<Place>,
}

impl Failures {
    /// One more wrong answer; whether it was one too many. The count begins anew then.
    pub fn note(&mut self, now: Instant, source: u64, ban: &config::Ban) -> bool {
        if self.places.is_empty() {
            self.places = vec![Place::default(); FAILURE_SETS * WAYS];
        }
        let start = (source as usize & (FAILURE_SETS - 1)) * WAYS;
        let Some(set) = self.places.get_mut(start..start + WAYS) else { return false };
        let mine = set.iter().position(|place| place.tag == source);
        let oldest = || {
            set.iter()
                .enumerate()
                .min_by_key(|(_, place)| place.begun)
                .map_or(0, |(place, _)| place)
        };
        let Some(place) = set.get_mut(mine.unwrap_or_else(oldest)) else { return false };
        if mine.is_none() || now.since(place.begun) > ban.within {
            *place = Place { tag: source, begun: now, count: 0 };
        }
        place.count += 1;
        let too_many = place.count >= ban.after;
        if too_many {
            *place = Place::default();
        }
        too_many
    }
}

/// The longest ban there is.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_secs(1_800_000_000);

    fn row(address: &str, prefix: u8, seconds: u64, reason: Reason) -> Row {
        let network = Network { address: address.parse().unwrap(), prefix };
        Row { network, until: START + Duration::from_secs(seconds), reason }
    }

    #[test]
    fn sources_networks_and_their_end() {
        let mut bans = Bans::default();
        bans.add(&row("192.0.2.7", 32, 60, Reason::Guessing)).unwrap();
        bans.add(&row("2001:db8:1:2::", 64, 30, Reason::Guessing)).unwrap();
        bans.add(&row("198.51.100.0", 24, 90, Reason::Operator)).unwrap();
        let find = |bans: &Bans, seconds: u64, ip: &str| {
            bans.find(START + Duration::from_secs(seconds), ip.parse().unwrap())
        };
        assert_eq!(find(&bans, 0, "192.0.2.7"), Some(Reason::Guessing));
        assert_eq!(find(&bans, 0, "::ffff:192.0.2.7"), Some(Reason::Guessing));
        assert_eq!(find(&bans, 0, "192.0.2.8"), None);
        assert_eq!(find(&bans, 0, "2001:db8:1:2:ffff::9"), Some(Reason::Guessing));
        assert_eq!(find(&bans, 0, "198.51.100.200"), Some(Reason::Operator));
        assert_eq!(find(&bans, 60, "192.0.2.7"), None, "it has ended, swept or not");
        assert_eq!(bans.expire(START + Duration::from_secs(60)).len(), 2);
        assert_eq!(bans.rows(), [row("198.51.100.0", 24, 90, Reason::Operator)]);
        assert!(bans.remove(&row("198.51.100.0", 24, 0, Reason::Operator).network));
        assert_eq!(find(&bans, 0, "198.51.100.200"), None);
        assert!(bans.is_empty() && bans.ends.is_empty() && bans.networks.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_the_first_to_end_makes_room() {
        let mut bans = Bans::default();
        for n in 0..BANS_MAX as u32 {
            let ip = IpAddr::from(n.to_be_bytes()).to_string();
            bans.add(&row(&ip, 32, 1_000 + u64::from(n), Reason::Guessing)).unwrap();
        }
        let first = bans.add(&row("203.0.113.1", 32, 5_000, Reason::Guessing)).unwrap();
        assert_eq!(first.map(|network| network.address.to_string()).as_deref(), Some("0.0.0.0"));
        assert_eq!(bans.len(), BANS_MAX);
        for n in 0..NETWORKS_MAX {
            bans.add(&row(&format!("10.{n}.0.0"), 16, 9_000, Reason::Operator)).unwrap();
        }
        assert_eq!(bans.add(&row("172.16.0.0", 12, 9_000, Reason::Operator)), Err(NoRoom));
    }

    #[test]
    fn so_many_failures_in_so_much_time() {
        let ban =
            config::Ban { after: 3, within: Duration::from_secs(10), ..config::Ban::default() };
        let mut failures = Failures::default();
        let mut note =
            |second, source| failures.note(START + Duration::from_secs(second), source, &ban);
        assert!(!note(0, 1) && !note(1, 1) && !note(1, 2));
        assert!(note(2, 1), "the third");
        assert!(!note(3, 1) && !note(3, 1), "it counts anew");
        assert!(!note(14, 1) && !note(15, 1), "those of before are forgotten");
        assert!(note(16, 1));
        for stranger in 100..100_000 {
            note(20, stranger);
        }
        assert_eq!(failures.places.len(), FAILURE_SETS * WAYS);
    }
}
