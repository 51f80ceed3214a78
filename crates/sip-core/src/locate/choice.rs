//! Which of several equals comes first (RFC 2782, RFC 3263 §4.4). The dice are thrown with a hash of the Call-ID: many
//! calls share the load as the weights say, and every message of one call goes the same way, on every node and after
//! every restart, without anything being remembered. The order in which a name server lists records does not matter.

use core::net::IpAddr;

use super::{Name, Record};

/// A target of SRV records, in the order of [`order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: Name,
    pub port: u16,
}

/// Dice from a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..=most, evenly: `most` is a sum of 16-bit weights, so the bias of a remainder is nothing.
    fn up_to(&mut self, most: u64) -> u64 {
        self.roll() % (most + 1)
    }
}

/// RFC 2782: by priority; among equals a weighted draw, again and again until nobody is left.
pub fn order(records: &[Record], key: u64) -> Vec<Host> {
    let mut left: Vec<(u16, u16, Host)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Srv { priority, weight, port, target: Some(name) } => {
                Some((*priority, *weight, Host { name: name.clone(), port: *port }))
            }
            _ => None,
        })
        .collect();
    // RFC 2782: weight 0 first, beyond that any order; here always the same one.
    left.sort_by(|a, b| (a.0, a.1, &a.2.name, a.2.port).cmp(&(b.0, b.1, &b.2.name, b.2.port)));
    let mut dice = Dice(key);
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(&(lowest, ..)) = left.first() {
        let equals = left.iter().take_while(|(priority, ..)| *priority == lowest);
        let sum = equals.map(|(_, weight, _)| u64::from(*weight)).sum();
        // A number from 0 to the sum of the weights, both included; the first whose running sum reaches it is chosen.
        let drawn = dice.up_to(sum);
        let mut running = 0;
        let chosen = left.iter().position(|(_, weight, _)| {
            running += u64::from(*weight);
            running >= drawn
        });
        ordered.push(left.remove(chosen.unwrap_or(0)).2);
    }
    ordered
}

/// The addresses of one host: they are equals, so each call begins somewhere else.
pub fn turn(records: &[Record], key: u64) -> Vec<IpAddr> {
    let address = |record: &Record| match record {
        Record::Address(ip) => Some(*ip),
        _ => None,
    };
    let mut addresses: Vec<IpAddr> = records.iter().filter_map(address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if let Some(most) = (addresses.len() as u64).checked_sub(1) {
        let first = Dice(key).up_to(most);
        addresses.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Purpose, Seal};

    fn srv(priority: u16, weight: u16, name: &str) -> Record {
        Record::Srv { priority, weight, port: 5060, target: Name::parse(name.as_bytes()) }
    }

    fn key(call: u32) -> u64 {
        Seal::new([7; 16]).mac(Purpose::Path, &[format!("call-{call}@example.com").as_bytes()])
    }

    fn names(hosts: &[Host]) -> Vec<&str> {
        hosts.iter().map(|host| host.name.as_str()).collect()
    }

    /// RFC 2782: 100,000 calls over weights 60, 30 and 10 of one priority; 3 of 7 ask again after the first failed.
    #[test]
    fn weights_are_shares() {
        let records = [srv(10, 60, "a"), srv(10, 30, "b"), srv(10, 10, "c"), srv(20, 0, "d")];
        let (mut first, mut second_after_a) = ([0u32; 3], [0u32; 3]);
        let place = |name: &str| "abc".find(name).unwrap();
        for call in 0..100_000 {
            let hosts = order(&records, key(call));
            let names = names(&hosts);
            assert_eq!(names[3], "d", "a higher number is a later turn");
            first[place(names[0])] += 1;
            if names[0] == "a" {
                second_after_a[place(names[1])] += 1;
            }
        }
        // Shares of (weight, or weight + 1 for the first in the list) / (sum + 1): the RFC draws from 0 to the sum.
        let near = |count: u32, share: f64, of: u32| {
            let expected = share * f64::from(of);
            let deviation = 4.0 * (expected * (1.0 - share)).sqrt();
            assert!((f64::from(count) - expected).abs() < deviation, "{count} for {expected}");
        };
        near(first[0], 60.0 / 101.0, 100_000);
        near(first[1], 30.0 / 101.0, 100_000);
        near(first[2], 11.0 / 101.0, 100_000);
        near(second_after_a[1], 30.0 / 41.0, first[0]);
        near(second_after_a[2], 11.0 / 41.0, first[0]);
    }

    /// RFC 2782: beside heavier ones, weight 0 has a very small chance, and has it.
    #[test]
    fn weight_zero_is_seldom_and_not_never() {
        let records = [srv(1, 0, "spare"), srv(1, 99, "main")];
        let spare = (0..10_000).filter(|n| names(&order(&records, key(*n)))[0] == "spare").count();
        assert!((40..250).contains(&spare), "{spare} of 10,000");
        let zeros = [srv(1, 0, "a"), srv(1, 0, "b")];
        assert_eq!(order(&zeros, 1).len(), 2);
    }

    /// RFC 3263 §4.4: the same call goes the same way, however the name server has shuffled its records.
    #[test]
    fn a_call_has_one_order() {
        let mut records: Vec<Record> =
            (0..8).map(|n| srv(1, n * 10, &format!("host{n}"))).collect();
        let first = order(&records, key(1));
        records.reverse();
        assert_eq!(order(&records, key(1)), first);
        records.rotate_left(3);
        assert_eq!(order(&records, key(1)), first);
        let others = (2..50).filter(|n| order(&records, key(*n)) != first).count();
        assert!(others > 40, "{others} of 48 calls have another order");
    }

    #[test]
    fn addresses_take_turns() {
        let records: Vec<Record> =
            (1..=4).map(|n| Record::Address([192, 0, 2, n].into())).collect();
        let mut first = [0u32; 4];
        for call in 0..4_000 {
            let addresses = turn(&records, key(call));
            assert_eq!(addresses.len(), 4);
            let IpAddr::V4(v4) = addresses[0] else { panic!("{addresses:?}") };
            first[usize::from(v4.octets()[3]) - 1] += 1;
        }
        assert!(first.iter().all(|count| (850..1_150).contains(count)), "{first:?}");
        assert_eq!(turn(&[], 1), Vec::<IpAddr>::new());
    }
}
