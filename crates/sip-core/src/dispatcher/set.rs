//! A set of gateways, and how one of them is chosen for a call. All algorithms keep to who is available, has room and is
//! of the highest priority there is; they differ in which of those it is. Nobody is chosen twice for the same call.

use core::cmp::Reverse;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;

use smallvec::SmallVec;

use super::gateway::{Gateway, Statuses};
use super::hash::{HashedSet, Member};
use super::live::Seat;
use crate::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other.
    #[default]
    RoundRobin,
    /// In the proportion of their weights, as evenly as whole calls allow.
    Weighted,
    /// The same key to the same gateway, as long as it is there; weights are shares.
    Hash(Key),
    /// Who has the fewest calls for its weight.
    LeastCalls,
    /// The first of the file that can be used.
    Priority,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    CallId,
    From,
    To,
    Uri,
}

impl Algorithm {
    pub const ALL: [Self; 8] = [
        Self::RoundRobin,
        Self::Weighted,
        Self::Hash(Key::CallId),
        Self::Hash(Key::From),
        Self::Hash(Key::To),
        Self::Hash(Key::Uri),
        Self::LeastCalls,
        Self::Priority,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::Hash(Key::CallId) => "hash:call-id",
            Self::Hash(Key::From) => "hash:from",
            Self::Hash(Key::To) => "hash:to",
            Self::Hash(Key::Uri) => "hash:uri",
            Self::LeastCalls => "least-calls",
            Self::Priority => "priority",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

/// When another gateway is tried after one has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failover {
    /// The one before has answered so, and the phone has not rung.
    pub on: Statuses,
    /// The one before has said nothing at all for so long.
    pub silence: Option<Duration>,
}

/// What the caller hears when nobody can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllDown {
    pub status: u16,
    /// Seconds; 0: nothing is said of it.
    pub retry_after: u32,
}

impl Default for AllDown {
    fn default() -> Self {
        Self { status: 503, retry_after: 10 }
    }
}

#[derive(Debug)]
pub struct Set {
    pub name: Box<str>,
    pub algorithm: Algorithm,
    pub failover: Failover,
    pub all_down: AllDown,
    /// The line of the file; 0: unknown.
    pub line: u32,
    members: HashedSet<Arc<Gateway>>,
    /// Whose turn it is.
    ticket: AtomicU32,
}

/// What is asked of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It takes a seat, if there is one.
    Call,
    /// It takes one whether there is room or not; and who seems down is better than nobody.
    Urgent,
    /// It is over at once, and counts for nothing.
    Message,
}

/// Who was tried for a call: keys of [`Gateway`]s by name.
pub type Tried = SmallVec<[u64; 4]>;

type Candidates<'s> = SmallVec<[&'s Member<Arc<Gateway>>; 16]>;

impl Set {
    pub fn new(name: &str, algorithm: Algorithm, gateways: Vec<Arc<Gateway>>) -> Self {
        let member = |gateway: Arc<Gateway>| {
            let name = gateway.name.clone();
            Member::new(&name, gateway.weight, gateway)
        };
        Self {
            name: name.into(),
            algorithm,
            failover: Failover::default(),
            all_down: AllDown::default(),
            line: 0,
            members: HashedSet::new(gateways.into_iter().map(member).collect()),
            ticket: AtomicU32::new(0),
        }
    }

    pub fn members(&self) -> impl Iterator<Item = &Arc<Gateway>> {
        self.members.members().iter().map(|member| &member.hop)
    }

    pub const fn hashed(&self) -> &HashedSet<Arc<Gateway>> {
        &self.members
    }

    /// The gateway for one more request, with a seat at it; it is `tried` from then on. `key`: what is hashed, if
    /// anything.
    pub fn pick(
        &self,
        now: Instant,
        key: &[u8],
        tried: &mut Tried,
        load: Load,
    ) -> Option<(Arc<Gateway>, Option<Seat>)> {
        let urgent = load == Load::Urgent;
        // A call takes one turn, however many gateways it needs: else whoever fails would always be the first again.
        let turns = u32::from(tried.is_empty());
        let ticket = self.ticket.fetch_add(turns, Relaxed);
        let usable = |gateway: &Gateway| gateway.live.is_available();
        let last_resort = |gateway: &Gateway| urgent && !gateway.live.is_disabled();
        for may in [&usable as &dyn Fn(&Gateway) -> bool, &last_resort] {
            while let Some(member) = self.choose(ticket, key, tried, may) {
                tried.push(member.key());
                let seat = match load {
                    Load::Message => None,
                    _ => match member.hop.take_seat(now, urgent) {
                        Some(seat) => Some(seat),
                        None => continue,
                    },
                };
                member.hop.live.count_given();
                return Some((Arc::clone(&member.hop), seat));
            }
        }
        None
    }

    /// Who would be chosen for a call now, and nothing else happens.
    pub fn peek(&self, key: &[u8], urgent: bool) -> Option<&Arc<Gateway>> {
        let ticket = self.ticket.load(Relaxed);
        let usable = |gateway: &Gateway| {
            let Gateway { caps, live, .. } = gateway;
            let has_room = caps.calls == 0 || live.calls() < caps.calls || urgent;
            (live.is_available() && has_room) || (urgent && !live.is_disabled())
        };
        self.choose(ticket, key, &Tried::new(), &usable).map(|member| &member.hop)
    }

    fn choose(
        &self,
        ticket: u32,
        key: &[u8],
        tried: &Tried,
        may: &dyn Fn(&Gateway) -> bool,
    ) -> Option<&Member<Arc<Gateway>>> {
        let may = |member: &Member<Arc<Gateway>>| {
            let gateway = &member.hop;
            gateway.weight > 0 && !tried.contains(&member.key()) && may(gateway)
        };
        let all = self.members.members();
        let highest = all.iter().filter(|m| may(m)).map(|m| m.hop.priority).max()?;
        let of = |member: &Member<Arc<Gateway>>| member.hop.priority == highest && may(member);
        if let Algorithm::Hash(_) = self.algorithm {
            return self.members.pick(key, of);
        }
        let candidates: Candidates<'_> = all.iter().filter(|m| of(m)).collect();
        let count = candidates.len().max(1);
        let turn = ticket as usize % count;
        let chosen = match self.algorithm {
            Algorithm::RoundRobin => candidates.get(turn),
            Algorithm::Priority => candidates.first(),
            Algorithm::Weighted => weighted(&candidates, ticket),
            Algorithm::LeastCalls => {
                // Equal ones take turns.
                let rotated = candidates.iter().cycle().skip(turn).take(count);
                rotated.min_by(|a, b| {
                    let load = |of: &Gateway, by: &Gateway| {
                        u64::from(of.live.calls()) * u64::from(by.weight)
                    };
                    load(&a.hop, &b.hop).cmp(&load(&b.hop, &a.hop))
                })
            }
            Algorithm::Hash(_) => None,
        };
        chosen.copied()
    }

    /// In words, for a person: `carrier-a up (70), carrier-b down`.
    pub fn describe(&self) -> String {
        let mut members: Vec<&Arc<Gateway>> = self.members().collect();
        members.sort_by_key(|gateway| Reverse(gateway.priority));
        let words: Vec<String> = members.iter().map(|gateway| gateway.describe()).collect();
        words.join(", ")
    }
}

impl Gateway {
    /// `carrier-a up (70)`.
    pub fn describe(&self) -> String {
        format!("{} {} ({})", self.name, self.live.word(), self.weight)
    }
}

/// Steps of the golden section of the circle fall as evenly as can be, whatever the arcs on it; so no memory is needed of
/// whose turn it was, and nobody's share changes when others leave.
fn weighted<'c, 's>(
    candidates: &'c Candidates<'s>,
    ticket: u32,
) -> Option<&'c &'s Member<Arc<Gateway>>> {
    const GOLDEN: u32 = 0x9e37_79b9;
    let total: u64 = candidates.iter().map(|member| u64::from(member.hop.weight)).sum();
    let mut at = (u64::from(ticket.wrapping_mul(GOLDEN)) * total) >> 32;
    candidates.iter().find(|member| {
        let weight = u64::from(member.hop.weight);
        let is_here = at < weight;
        at = at.saturating_sub(weight);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dispatcher::gateway::tests::gateway;
    use crate::dispatcher::health::State;
    use crate::dispatcher::live::{Caps, Order};

    const NOW: Instant = Instant::from_secs(1_800_000_000);

    fn set(algorithm: Algorithm, members: &[(&str, u32)]) -> Set {
        let one = |(at, (name, weight)): (usize, &(&str, u32))| {
            let mut gateway = gateway(name, &format!("192.0.2.{}:5060", at + 1));
            gateway.weight = *weight;
            Arc::new(gateway)
        };
        Set::new("s", algorithm, members.iter().enumerate().map(one).collect())
    }

    fn live<'s>(set: &'s Set, name: &str) -> &'s Arc<Gateway> {
        set.members().find(|gateway| *gateway.name == *name).unwrap()
    }

    /// How many of `calls` calls each gets, those that end at once.
    fn shares(set: &Set, calls: u32) -> BTreeMap<String, u32> {
        let mut shares = BTreeMap::new();
        for call in 0..calls {
            let picked = set.pick(NOW, &call.to_be_bytes(), &mut Tried::new(), Load::Call);
            let name = picked.map_or("nobody".to_owned(), |(g, _)| g.name.to_string());
            *shares.entry(name).or_default() += 1;
        }
        shares
    }

    fn counts(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn round_robin_takes_turns() {
        let set = set(Algorithm::RoundRobin, &[("a", 1), ("b", 9), ("c", 1)]);
        assert_eq!(shares(&set, 30), counts(&[("a", 10), ("b", 10), ("c", 10)]));
        live(&set, "b").live.set_health(State::Down);
        assert_eq!(shares(&set, 30), counts(&[("a", 15), ("c", 15)]));
    }

    /// Of two that take turns, of which one refuses every call, each is the first for half of them.
    #[test]
    fn failover_does_not_take_a_turn() {
        let set = set(Algorithm::RoundRobin, &[("a", 1), ("b", 1)]);
        let mut first = BTreeMap::<String, u32>::new();
        for _ in 0..20 {
            let mut tried = Tried::new();
            let one = set.pick(NOW, b"", &mut tried, Load::Call).unwrap().0;
            let other = set.pick(NOW, b"", &mut tried, Load::Call).unwrap().0;
            assert_ne!(one.name, other.name);
            *first.entry(one.name.to_string()).or_default() += 1;
        }
        assert_eq!(first, counts(&[("a", 10), ("b", 10)]));
    }

    #[test]
    fn weights_are_kept_to_within_one_call_in_a_hundred() {
        for (weights, calls) in [([70, 30, 0], 100), ([50, 30, 20], 1_000), ([1, 1, 1], 300)] {
            let members = [("a", weights[0]), ("b", weights[1]), ("c", weights[2])];
            let set = set(Algorithm::Weighted, &members);
            let got = shares(&set, calls);
            for (name, weight) in members {
                let wanted = calls * weight / weights.iter().sum::<u32>();
                let got = got.get(name).copied().unwrap_or(0);
                assert!(got.abs_diff(wanted) <= 1 + calls / 100, "{name}: {got}, not {wanted}");
            }
        }
        let set = set(Algorithm::Weighted, &[("a", 70), ("b", 30)]);
        live(&set, "a").live.set_order(Order::Draining);
        assert_eq!(shares(&set, 50), counts(&[("b", 50)]));
    }

    #[test]
    fn the_same_key_finds_the_same_gateway_and_losing_one_moves_only_its_share() {
        let set = set(Algorithm::Hash(Key::CallId), &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let find = |call: u32| set.peek(&call.to_be_bytes(), false).unwrap().name.clone();
        let before: Vec<_> = (0..1_000).map(find).collect();
        live(&set, "c").live.set_health(State::Down);
        let after: Vec<_> = (0..1_000).map(find).collect();
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        let was_c = before.iter().filter(|name| ***name == *"c").count();
        assert_eq!(moved, was_c);
        assert!((200..300).contains(&was_c), "{was_c} of 1000");
        live(&set, "c").live.set_health(State::Up);
        assert_eq!((0..1_000).map(find).collect::<Vec<_>>(), before);
    }

    #[test]
    fn least_calls_counts_those_that_stand() {
        let set = set(Algorithm::LeastCalls, &[("a", 1), ("b", 1), ("c", 2)]);
        let mut standing = Vec::new();
        let mut got = BTreeMap::<String, u32>::new();
        for _ in 0..40 {
            let (gateway, seat) = set.pick(NOW, b"", &mut Tried::new(), Load::Call).unwrap();
            *got.entry(gateway.name.to_string()).or_default() += 1;
            standing.push((gateway.name.clone(), seat));
        }
        assert_eq!(got, counts(&[("a", 10), ("b", 10), ("c", 20)]));
        standing.retain(|(name, _)| **name != *"a");
        for _ in 0..10 {
            let (gateway, seat) = set.pick(NOW, b"", &mut Tried::new(), Load::Call).unwrap();
            assert_eq!(&*gateway.name, "a");
            standing.push((gateway.name.clone(), seat));
        }
    }

    #[test]
    fn priorities_go_before_everything_else() {
        let mut main = gateway("main", "192.0.2.1:5060");
        main.priority = 10;
        main.caps = Caps { calls: 3, per_second: 0 };
        let spare = gateway("spare", "192.0.2.2:5060");
        let set = Set::new("s", Algorithm::RoundRobin, vec![Arc::new(spare), Arc::new(main)]);
        let mut seats = Vec::new();
        let mut take = || {
            let (gateway, seat) = set.pick(NOW, b"", &mut Tried::new(), Load::Call)?;
            seats.push(seat);
            Some(gateway.name.to_string())
        };
        let names: Vec<_> = (0..5).map_while(|_| take()).collect();
        assert_eq!(names, ["main", "main", "main", "spare", "spare"]);
    }

    #[test]
    fn nobody_is_tried_twice_and_nobody_else_is_an_answer() {
        let set = set(Algorithm::Priority, &[("a", 1), ("b", 1), ("c", 1)]);
        let mut tried = Tried::new();
        let mut next = |urgent| {
            set.pick(NOW, b"", &mut tried, if urgent { Load::Urgent } else { Load::Call })
                .map(|(g, _)| g.name.clone())
        };
        live(&set, "b").live.set_order(Order::Disabled);
        assert_eq!(next(false).as_deref(), Some("a"));
        live(&set, "c").live.set_health(State::Down);
        assert_eq!(next(false), None);
        assert_eq!(next(true).as_deref(), Some("c"), "an emergency tries who seems down");
        assert_eq!(next(true), None, "and not whom the operator has taken out");
        assert_eq!(live(&set, "a").live.calls(), 0);
        assert_eq!(set.describe(), "a up (1), b disabled (1), c down (1)");
    }

    #[test]
    fn words_are_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_word(algorithm.word()), Some(algorithm));
        }
    }
}
