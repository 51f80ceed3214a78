//! What the nodes share about next hops: the answers of the DNS, and who has just failed (docs/adr/0009-shared-next-hops.md).
//! Plain tables from `locate`, cut into stripes behind locks like everything in `shared.rs`; it decides nothing.
#![expect(clippy::disallowed_types, reason = "the shared tables are locked here and in shared.rs")]

use core::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use parking_lot::RwLock;

use crate::locate::cache::Cache;
use crate::locate::failure::Failures;
use crate::locate::search::Memory;
use crate::locate::{Destination, Found, Query, Resolution};
use crate::seal::{Purpose, Seal};
use crate::time::Instant;

const STRIPES: usize = 16;

/// Answers in all stripes together. One has 32 records at the most, so this is some MB at the worst, and usually one.
const ANSWERS_MAX: usize = 4_096;

/// Failed destinations in all stripes together.
const FAILURES_MAX: usize = 4_096;

#[derive(Debug)]
struct Stripe {
    cache: RwLock<Cache>,
    failures: RwLock<Failures>,
}

#[derive(Debug)]
pub struct SharedHops {
    places: FixedState,
    stripes: Box<[Stripe]>,
}

impl SharedHops {
    pub(super) fn new(seal: &Seal) -> Self {
        let seed = seal.mac(Purpose::Path, &[b"places"]);
        let one = |_| Stripe {
            cache: RwLock::new(Cache::new(ANSWERS_MAX / STRIPES, seed)),
            failures: RwLock::new(Failures::new(FAILURES_MAX / STRIPES, seed)),
        };
        Self { places: FixedState::with_seed(!seed), stripes: (0..STRIPES).map(one).collect() }
    }

    fn stripe(&self, of: impl core::hash::Hash) -> &Stripe {
        // There are STRIPES of them: they are built here and nowhere else.
        &self.stripes[self.places.hash_one(of) as usize % STRIPES]
    }

    /// An answer has come: what is to be believed now.
    pub fn store(&self, now: Instant, query: Query, resolution: Resolution) -> Found {
        self.stripe(&query).cache.write().store(now, query, resolution)
    }

    /// Somebody else answers from now on.
    pub fn forget_answers(&self) {
        for stripe in &self.stripes {
            stripe.cache.write().clear();
        }
    }

    /// RFC 3263 §4.3: it timed out, refused, or said 503.
    pub fn failed(&self, now: Instant, destination: Destination) {
        self.stripe(destination).failures.write().note(now, destination);
    }

    /// It has answered.
    pub fn answered(&self, destination: &Destination) {
        let stripe = self.stripe(destination);
        // Look before locking for writing: almost always there is nothing to forgive.
        if !stripe.failures.read().is_empty() {
            stripe.failures.write().forgive(destination);
        }
    }

    /// Answers kept, and destinations that have failed lately.
    pub fn counts(&self) -> (usize, usize) {
        let one = |s: &Stripe| (s.cache.read().len(), s.failures.read().len());
        self.stripes.iter().map(one).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Memory for SharedHops {
    fn find(&self, now: Instant, query: &Query) -> Option<Found> {
        self.stripe(query).cache.read().find(now, query)
    }

    fn find_old(&self, now: Instant, query: &Query) -> Option<Found> {
        self.stripe(query).cache.write().find_old(now, query)
    }

    fn has_failed(&self, now: Instant, destination: &Destination) -> bool {
        self.stripe(destination).failures.read().has_failed(now, destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;
    use crate::locate::{Name, Record, RecordKind};
    use crate::time::Duration;

    #[test]
    fn what_one_node_learned_all_know() {
        let hops = SharedHops::new(&Seal::new([1; 16]));
        let now = Instant::from_secs(1_000);
        let query = Query { name: Name::parse(b"sip.example.org").unwrap(), kind: RecordKind::A };
        assert_eq!(hops.find(now, &query), None);
        let records = vec![Record::Address([192, 0, 2, 1].into())];
        let ttl = Duration::from_secs(60);
        let found = hops.store(now, query.clone(), Resolution::Records { records, ttl });
        assert_eq!(hops.find(now, &query), Some(found));
        let to = Destination { transport: Transport::Udp, address: ([192, 0, 2, 1], 5060).into() };
        hops.failed(now, to);
        assert!(hops.has_failed(now, &to));
        assert_eq!(hops.counts(), (1, 1));
        hops.forget_answers();
        assert_eq!((hops.find(now, &query), hops.counts()), (None, (0, 1)));
        hops.answered(&to);
        assert!(!hops.has_failed(now, &to));
    }
}
