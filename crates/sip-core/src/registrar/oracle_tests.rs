//! The location table against an oracle: a plain list that obeys the sentences of RFC 3261 §10.3 one after the other.
//! Thousands of random REGISTERs, pauses, sweeps and failing stores must leave both the same.

use super::*;
use crate::flow::{Flow, ListenerId};
use crate::registrar::record::{Wish, Wishes};

const START: Instant = Instant::from_secs(1_800_000_000);
const CONTACTS_MAX: usize = 3;
const BINDINGS_MAX: usize = 12;

/// xorshift64*: the same sequence for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    aor: &'static str,
    contact: &'static str,
    call_id: &'static str,
    cseq: u32,
    expires_at: Instant,
}

#[derive(Clone, Default)]
struct Oracle {
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    OutOfOrder,
    TooMany,
    Full,
}

impl Oracle {
    fn of<'a>(&'a self, now: Instant, aor: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.aor == aor && e.expires_at > now)
    }

    fn register(
        &mut self,
        now: Instant,
        aor: &'static str,
        call_id: &'static str,
        cseq: u32,
        wishes: Option<&[(&'static str, u64)]>,
        stored: usize,
    ) -> Outcome {
        let all: Vec<(&'static str, u64)> = self.of(now, aor).map(|e| (e.contact, 0)).collect();
        let wishes = wishes.map_or(all, <[_]>::to_vec);
        let mut next: Vec<Entry> = self.of(now, aor).cloned().collect();
        let mut added = 0;
        for (contact, seconds) in wishes {
            // Against the bindings as they were: the request is one change, not several.
            if let Some(old) =
                self.of(now, aor).find(|e| e.contact == contact && e.call_id == call_id)
                && (cseq < old.cseq || (cseq == old.cseq && seconds == 0))
            {
                return Outcome::OutOfOrder;
            }
            let expires_at = now + Duration::from_secs(seconds);
            let entry = Entry { aor, contact, call_id, cseq, expires_at };
            match next.iter().position(|e| e.contact == contact) {
                Some(index) if seconds == 0 => drop(next.remove(index)),
                Some(index) if next[index].call_id == call_id && next[index].cseq == cseq => {}
                Some(index) => next[index] = entry,
                None if seconds == 0 => {}
                None => {
                    added += 1;
                    next.push(entry);
                }
            }
        }
        if added > 0 && next.len() > CONTACTS_MAX {
            return Outcome::TooMany;
        }
        if added > 0 && stored + added > BINDINGS_MAX {
            return Outcome::Full;
        }
        self.entries.retain(|e| e.aor != aor);
        self.entries.extend(next);
        Outcome::Done
    }
}

struct World {
    random: Random,
    now: Instant,
    location: Location,
    oracle: Oracle,
}

const AORS: [&str; 5] =
    ["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"];

impl World {
    fn new(seed: u64) -> Self {
        let location = Location::new(Seal::new([seed as u8; 16]), BINDINGS_MAX);
        Self { random: Random(seed | 1), now: START, location, oracle: Oracle::default() }
    }

    fn hash(&self, aor: &str) -> u64 {
        Location::hash(&self.location.seal, aor)
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 | 1 => {
                let seconds = self.random.one_of(&[1, 5, 60, 90]);
                self.now = self.now + Duration::from_secs(seconds);
            }
            2 => {
                self.location.expire(self.now, 2, false, &mut Changed::default());
            }
            _ => self.register(),
        }
        self.compare();
    }

    fn register(&mut self) {
        let random = &mut self.random;
        let aor = random.one_of(&AORS);
        let call_id = random.one_of(&["c1", "c2"]);
        let cseq = random.below(40) as u32;
        // Contacts of one request differ: what two wishes for one Contact mean nobody says.
        let mut contacts = vec!["sip:1@h", "sip:2@h", "sip:3@h", "sip:4@h"];
        let chosen: Vec<(&'static str, u64)> = (0..=random.below(2))
            .map(|_| {
                let contact = contacts.remove(random.below(contacts.len() as u64) as usize);
                (contact, random.one_of(&[0, 60, 61, 120, 600]))
            })
            .collect();
        let all = random.below(12) == 0;
        let fails = random.below(6) == 0;
        let wishes: Vec<Wish<'_>> = chosen
            .iter()
            .map(|(contact, s)| Wish {
                contact,
                q: 1000,
                expires: Duration::from_secs(*s),
                natted: false,
            })
            .collect();
        let update = Update {
            wishes: if all { Wishes::RemoveAll } else { Wishes::Contacts(&wishes) },
            call_id,
            cseq,
            user_agent: "",
            path: "",
            flow: Flow::udp(ListenerId(0), "192.0.2.7:5060".parse().unwrap()),
            contacts_max: CONTACTS_MAX,
            durable: true,
        };
        let (hash, before) = (self.hash(aor), self.oracle.clone());
        let stored = self.location.counts().bindings;
        let wanted = (!all).then_some(&chosen[..]);
        let expected = self.oracle.register(self.now, aor, call_id, cseq, wanted, stored);
        let found = self.location.update(self.now, hash, aor, &update, |a, b| a == b, |_| ());
        let outcome = match &found {
            Ok(_) => Outcome::Done,
            Err(Refusal::OutOfOrder) => Outcome::OutOfOrder,
            Err(Refusal::TooMany { .. }) => Outcome::TooMany,
            Err(Refusal::Full) => Outcome::Full,
        };
        assert_eq!(outcome, expected, "{update:?} at {:?}", self.now);
        if let (Ok((changed, ())), true) = (found, fails) {
            self.location.undo(self.now, hash, aor, changed.undo);
            self.oracle = before;
        }
    }

    /// The same bindings, and nothing left in any table.
    fn compare(&self) {
        for aor in AORS {
            let found = self.location.lookup(self.now, self.hash(aor), aor);
            let mut found: Vec<Entry> = found
                .iter()
                .flat_map(Bindings::iter)
                .map(|b| {
                    let of_oracle =
                        self.oracle.of(self.now, aor).find(|e| e.contact == b.contact());
                    let known =
                        of_oracle.unwrap_or_else(|| panic!("{aor}: {b:?} is not the oracle's"));
                    let (cseq, expires_at) = (b.cseq(), b.expires_at());
                    assert_eq!(b.call_id(), known.call_id);
                    Entry { cseq, expires_at, ..known.clone() }
                })
                .collect();
            let mut expected: Vec<Entry> = self.oracle.of(self.now, aor).cloned().collect();
            found.sort_by_key(|e| e.contact);
            expected.sort_by_key(|e| e.contact);
            assert_eq!(found, expected, "{aor} at {:?}", self.now);
        }
        let Counts { aors, bindings } = self.location.counts();
        let records = || self.location.records.iter();
        assert_eq!(bindings, records().map(|r| r.bindings.len()).sum());
        assert_eq!(self.location.agenda.len(), aors, "one entry each");
        for record in records() {
            let entry = (record.due, split(self.hash(&record.aor)));
            assert!(self.location.agenda.contains(&entry), "{entry:?} {:?}", self.location.agenda);
            assert!(record.earliest().is_some_and(|second| record.due <= second), "{record:?}");
        }
    }
}

#[test]
fn random_registers_agree_with_the_oracle() {
    for seed in 1..=200 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        world.now = world.now + Duration::from_secs(601);
        while world.location.expire(world.now, 2, false, &mut Changed::default()) {}
        assert_eq!(world.location.counts(), Counts::default(), "seed {seed}");
        assert!(world.location.agenda.is_empty(), "seed {seed}");
    }
}
