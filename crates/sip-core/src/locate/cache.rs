//! What the DNS said, for as long as it is good. A plain table: `shared.rs` stripes and locks it, so that all nodes learn
//! from one answer. It has a fixed size, and nothing in it can be kept longer than an hour by whoever wrote its TTL.

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::{Found, Query, Resolution};
use crate::time::{Duration, Instant};

/// RFC 1035 §3.2.1: a TTL of 0 forbids caching. It is not obeyed to the letter: every call would ask, and a dialog would
/// change its way between two requests.
const TTL_MIN: Duration = Duration::from_secs(5);
const TTL_MAX: Duration = Duration::from_secs(3600);

/// RFC 2308 §5: that there is nothing, for as long as the answer says and no longer than this.
const NOTHING_MAX: Duration = Duration::from_secs(30);

/// How long nobody asks again after nobody has answered: a burst of calls to one dead name waits once, and a name server
/// that is back is noticed by the next call but a few.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// RFC 8767 §4: records past their time are better than none while the name server does not answer; until then, and asked
/// for again so often.
const STALE_MAX: Duration = Duration::from_secs(3600);
const STALE_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Entry {
    found: Found,
    fresh_until: Instant,
    stale_until: Instant,
}

#[derive(Debug)]
pub struct Cache {
    entries: HashMap<Query, Entry, FixedState>,
    max: usize,
}

impl Cache {
    /// Room for `max` answers. `seed` is secret: nobody can choose names that collide.
    pub fn new(max: usize, seed: u64) -> Self {
        Self { entries: HashMap::with_hasher(FixedState::with_seed(seed)), max }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `None`: ask.
    pub fn find(&self, now: Instant, query: &Query) -> Option<Found> {
        let entry = self.entries.get(query).filter(|entry| now < entry.fresh_until)?;
        Some(entry.found.clone())
    }

    /// What is past its time and better than nothing; it is good for a while again.
    pub fn find_old(&mut self, now: Instant, query: &Query) -> Option<Found> {
        let entry = self.entries.get_mut(query).filter(|entry| now < entry.stale_until)?;
        entry.fresh_until = entry.fresh_until.max(now + STALE_FOR);
        Some(entry.found.clone())
    }

    /// Takes an answer, and says what is to be believed now.
    pub fn store(&mut self, now: Instant, query: Query, resolution: Resolution) -> Found {
        let (found, fresh, stale) = match resolution {
            Resolution::Records { records, ttl } => {
                let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
                match Found::of(query.kind, records) {
                    Found::Nothing => (Found::Nothing, NOTHING_MAX, Duration::ZERO),
                    found => (found, ttl, ttl + STALE_MAX),
                }
            }
            Resolution::Nothing { ttl } => {
                (Found::Nothing, ttl.clamp(TTL_MIN, NOTHING_MAX), Duration::ZERO)
            }
            Resolution::Failed => {
                if let Some(found) = self.find_old(now, &query) {
                    return found;
                }
                (Found::Failed, FAILED_FOR, Duration::ZERO)
            }
        };
        self.make_room(now, &query);
        let entry =
            Entry { found: found.clone(), fresh_until: now + fresh, stale_until: now + stale };
        self.entries.insert(query, entry);
        found
    }

    /// What is past its time goes, or else what would be past it next.
    fn make_room(&mut self, now: Instant, query: &Query) {
        if self.entries.len() < self.max || self.entries.contains_key(query) {
            return;
        }
        self.entries.retain(|_, entry| now < entry.fresh_until);
        if self.entries.len() >= self.max {
            let next = self.entries.iter().min_by_key(|(_, entry)| entry.fresh_until);
            if let Some(next) = next.map(|(query, _)| query.clone()) {
                self.entries.remove(&next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Name, Record, RecordKind};
    use super::*;

    const START: Instant = Instant::from_secs(1_000);

    fn query(name: &str) -> Query {
        Query { name: Name::parse(name.as_bytes()).unwrap(), kind: RecordKind::A }
    }

    fn records(last: u8, ttl: u64) -> Resolution {
        let records = vec![Record::Address([192, 0, 2, last].into())];
        Resolution::Records { records, ttl: Duration::from_secs(ttl) }
    }

    fn cache() -> Cache {
        Cache::new(8, 1)
    }

    /// How many whole seconds after START an answer is still given.
    fn lasts(resolution: Resolution) -> u64 {
        let mut cache = cache();
        cache.store(START, query("a"), resolution);
        let gone = |s: &u64| cache.find(START + Duration::from_secs(*s), &query("a")).is_none();
        (0..10_000).find(gone).unwrap()
    }

    /// RFC 1035 §3.2.1, RFC 2308 §5.
    #[test]
    fn every_time_to_live_has_a_floor_and_a_ceiling() {
        assert_eq!(lasts(records(1, 0)), 5);
        assert_eq!(lasts(records(1, 300)), 300);
        assert_eq!(lasts(records(1, u64::from(u32::MAX))), 3600);
        let nothing = |ttl| Resolution::Nothing { ttl: Duration::from_secs(ttl) };
        assert_eq!(lasts(nothing(0)), 5);
        assert_eq!(lasts(nothing(20)), 20);
        assert_eq!(lasts(nothing(86_400)), 30);
        assert_eq!(lasts(Resolution::Failed), 5);
        assert_eq!(lasts(Resolution::Records { records: vec![], ttl: TTL_MAX }), 30);
    }

    /// RFC 8767 §4: while nobody answers, what was known for an hour more; then no longer.
    #[test]
    fn what_was_known_outlives_a_dead_name_server() {
        let mut cache = cache();
        let known = cache.store(START, query("a"), records(1, 60));
        let later = |s| START + Duration::from_secs(s);
        assert_eq!(cache.find(later(60), &query("a")), None, "asked for again");
        assert_eq!(cache.store(later(65), query("a"), Resolution::Failed), known);
        assert_eq!(cache.find(later(94), &query("a")), Some(known));
        assert_eq!(cache.find(later(95), &query("a")), None, "and again");
        assert_eq!(cache.store(later(60 + 3600), query("a"), Resolution::Failed), Found::Failed);
    }

    /// That a name is gone is believed at once: only silence keeps the old records.
    #[test]
    fn a_name_that_is_gone_is_gone() {
        let mut cache = cache();
        cache.store(START, query("a"), records(1, 5));
        let later = START + Duration::from_secs(10);
        let gone = Resolution::Nothing { ttl: Duration::ZERO };
        assert_eq!(cache.store(later, query("a"), gone), Found::Nothing);
        let later = later + Duration::from_secs(10);
        assert_eq!(cache.store(later, query("a"), Resolution::Failed), Found::Failed);
    }

    #[test]
    fn it_has_a_size() {
        let mut cache = cache();
        for n in 0..1_000u64 {
            cache.store(START, query(&format!("host{n}")), records(1, 100 + n));
            assert!(cache.len() <= 8);
        }
        assert!(cache.find(START, &query("host999")).is_some(), "the newest is there");
        cache.store(START, query("host999"), records(2, 100));
        assert_eq!(cache.len(), 8, "a second answer takes no second place");
    }
}
