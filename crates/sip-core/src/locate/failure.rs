//! Who has just failed (RFC 3263 §4.3): a destination that did not answer, refused, or said 503 is tried last for a while,
//! by every call. It is only ever a matter of order: the last one left is tried whatever is known of it, and an address
//! says nothing about its neighbours or about the name that led to it.

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::Destination;
use crate::time::{Duration, Instant};

const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// A plain table: `shared.rs` locks it.
#[derive(Debug)]
pub struct Failures {
    until: HashMap<Destination, Instant, FixedState>,
    max: usize,
}

impl Failures {
    pub fn new(max: usize, seed: u64) -> Self {
        Self { until: HashMap::with_hasher(FixedState::with_seed(seed)), max }
    }

    pub fn note(&mut self, now: Instant, destination: Destination) {
        if self.until.len() >= self.max && !self.until.contains_key(&destination) {
            self.until.retain(|_, until| now < *until);
            // Full of fresh ones: one more is not worth forgetting another.
            if self.until.len() >= self.max {
                return;
            }
        }
        self.until.insert(destination, now + REMEMBERED_FOR);
    }

    /// It has answered.
    pub fn forgive(&mut self, destination: &Destination) {
        self.until.remove(destination);
    }

    pub fn has_failed(&self, now: Instant, destination: &Destination) -> bool {
        self.until.get(destination).is_some_and(|until| now < *until)
    }

    pub fn len(&self) -> usize {
        self.until.len()
    }

    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    const START: Instant = Instant::from_secs(1_000);

    fn at(port: u16) -> Destination {
        Destination { transport: Transport::Udp, address: ([192, 0, 2, 1], port).into() }
    }

    /// RFC 3263 §4.3: what failed is one address, and no more than that.
    #[test]
    fn one_transport_address_and_port_for_half_a_minute() {
        let mut failures = Failures::new(8, 1);
        failures.note(START, at(5060));
        let later = |s| START + Duration::from_secs(s);
        assert!(failures.has_failed(later(29), &at(5060)));
        assert!(!failures.has_failed(later(30), &at(5060)));
        assert!(!failures.has_failed(START, &at(5061)));
        assert!(
            !failures.has_failed(START, &Destination { transport: Transport::Tcp, ..at(5060) })
        );
        failures.note(later(20), at(5060));
        assert!(failures.has_failed(later(49), &at(5060)));
        failures.forgive(&at(5060));
        assert!(!failures.has_failed(later(21), &at(5060)) && failures.is_empty());
    }

    #[test]
    fn it_has_a_size() {
        let mut failures = Failures::new(8, 1);
        for port in 1..1_000 {
            failures.note(START, at(port));
        }
        assert_eq!(failures.len(), 8);
        failures.note(START + Duration::from_secs(60), at(5060));
        assert_eq!(failures.len(), 1, "the old ones made room");
    }
}
