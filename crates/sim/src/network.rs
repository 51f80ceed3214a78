//! The network between places: latency, jitter, loss, duplication, reordering. It decides the fate of one message
//! and never looks at a clock.
//!
//! Fates depend on (seed, from, to, Call-ID, how many before it), not on the order in which calls interleave: so
//! N nodes meet the same weather as one.

use std::collections::HashMap;

use sip_core::time::{Duration, Instant};

use crate::random::{Dice, hash, mix};

/// A party on the network: a server or a phone. Index into the world's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceId(pub usize);

/// How a path behaves in one direction. Chances in thousandths; streams lose, double and reorder nothing.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub latency: Duration,
    /// Added at random, 0..=jitter. More than the gap between two messages reorders them.
    pub jitter: Duration,
    pub loss: u32,
    pub duplicate: u32,
    /// Chance that a message is held back by `held`, so that later ones overtake it.
    pub reorder: u32,
    pub held: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            held: Duration::from_millis(700),
        }
    }
}

/// "The first two `200 INVITE` from bob to proxy are lost."
#[derive(Clone, Debug)]
pub struct Rule {
    pub from: PlaceId,
    pub to: PlaceId,
    /// As printed in a ladder: `INVITE`, `200 BYE`. `*` is every message.
    pub label: String,
    pub which: Which,
    pub effect: Effect,
    seen: u32,
}

#[derive(Clone, Debug)]
pub enum Which {
    All,
    /// Counted from 1.
    Nth(Vec<u32>),
}

#[derive(Clone, Copy, Debug)]
pub enum Effect {
    Lose,
    /// On top of the link's latency.
    Delay(Duration),
    /// A second copy this much later.
    Repeat(Duration),
}

#[derive(Clone, Debug, Default)]
pub struct Network {
    pub seed: u64,
    pub usual: Link,
    pub links: HashMap<(PlaceId, PlaceId), Link>,
    rules: Vec<Rule>,
    sent: HashMap<(PlaceId, PlaceId, u64), u64>,
}

/// When the copies of a message arrive. None: it is lost.
pub type Fate = Vec<Instant>;

impl Network {
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub fn rule(&mut self, from: PlaceId, to: PlaceId, label: &str, which: Which, effect: Effect) {
        self.rules.push(Rule { from, to, label: label.to_owned(), which, effect, seen: 0 });
    }

    pub fn link(&self, from: PlaceId, to: PlaceId) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or(self.usual)
    }

    /// Decides what happens to a message put on the wire now.
    pub fn fate(
        &mut self,
        now: Instant,
        (from, to): (PlaceId, PlaceId),
        reliable: bool,
        call_id: &str,
        label: &str,
    ) -> Fate {
        let link = self.link(from, to);
        let call = hash(call_id.as_bytes());
        let count = self.sent.entry((from, to, call)).or_default();
        *count += 1;
        let mut dice =
            Dice::new(mix(mix(self.seed ^ call) ^ *count) ^ ((from.0 as u64) << 32 | to.0 as u64));
        let mut delay = link.latency + roll(&mut dice, link.jitter);
        let mut lost = !reliable && dice.chance(link.loss);
        let mut copies = Vec::new();
        if !reliable && dice.chance(link.duplicate) {
            copies.push(
                now + link.latency + roll(&mut dice, link.jitter + Duration::from_millis(20)),
            );
        }
        if !reliable && dice.chance(link.reorder) {
            delay += link.held;
        }
        for rule in &mut self.rules {
            if rule.from != from || rule.to != to || (rule.label != label && rule.label != "*") {
                continue;
            }
            rule.seen += 1;
            let hit = match &rule.which {
                Which::All => true,
                Which::Nth(list) => list.contains(&rule.seen),
            };
            match rule.effect {
                _ if !hit => {}
                Effect::Lose => lost = true,
                Effect::Delay(extra) => delay += extra,
                Effect::Repeat(later) => copies.push(now + delay + later),
            }
        }
        if lost {
            return Vec::new();
        }
        copies.insert(0, now + delay);
        copies
    }
}

fn roll(dice: &mut Dice, most: Duration) -> Duration {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(if micros == 0 { 0 } else { dice.below(micros + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: (PlaceId, PlaceId) = (PlaceId(0), PlaceId(1));

    #[test]
    fn calls_do_not_share_their_luck() {
        let run = |order: &[&str]| {
            let mut n = Network::new(9);
            n.usual.loss = 500;
            let mut fates: HashMap<String, Vec<bool>> = HashMap::new();
            for call in order {
                let lost = n.fate(Instant::ZERO, PATH, false, call, "INVITE").is_empty();
                fates.entry((*call).to_owned()).or_default().push(lost);
            }
            fates
        };
        assert_eq!(run(&["a", "a", "b", "b", "a"]), run(&["b", "a", "a", "b", "a"]));
    }

    #[test]
    fn rules_count_from_one() {
        let mut n = Network::new(1);
        n.rule(PATH.0, PATH.1, "BYE", Which::Nth(vec![2]), Effect::Lose);
        let fates: Vec<_> =
            (0..3).map(|_| n.fate(Instant::ZERO, PATH, false, "c", "BYE").len()).collect();
        assert_eq!(fates, [1, 0, 1]);
        assert_eq!(n.fate(Instant::ZERO, PATH, false, "c", "ACK").len(), 1);
    }
}
