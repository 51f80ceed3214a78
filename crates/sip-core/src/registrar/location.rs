//! `Location`: the location service of RFC 3261 §10, address of record -> bindings, as one plain table. It never
//! locks (`shared.rs` does), never reads a clock and never answers a message. A change is all or nothing (§10.3).
//!
//! Expired bindings are never returned, swept or not. The sweep keeps one ordered entry per address of record, which
//! a refresh does not move: it is moved when its time comes and the bindings turn out to live on.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::output::{BindingRow, Event, Removal};
use crate::seal::{Purpose, Seal};
use crate::time::{Duration, Instant};

use super::binding::Binding;
use super::record::{Changed, Record, Refusal, Undo, Update, health_event};
use crate::nat::health::{Health, Report};
use crate::nat::keepalive::{Due, Watched, uri_length};

/// The bindings of one user at one moment: what a look-up returns. It shares the table's memory; later changes do
/// not show in it.
#[derive(Clone, Debug)]
pub struct Bindings {
    record: Arc<Record>,
    now: Instant,
}

impl Bindings {
    /// In order of registration, the expired left out.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.record.bindings.iter().filter(|b| b.is_live(self.now))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub aors: usize,
    pub bindings: usize,
}

#[derive(Debug)]
pub struct Location {
    seal: Seal,
    records: HashTable<Arc<Record>>,
    /// (second, hash): when to look at a record again. The hash is cut in two to save four bytes of padding.
    agenda: BTreeSet<(u32, [u32; 2])>,
    bindings: usize,
    bindings_max: usize,
}

impl Location {
    pub fn new(seal: Seal, bindings_max: usize) -> Self {
        let records = HashTable::new();
        Self { seal, records, agenda: BTreeSet::new(), bindings: 0, bindings_max }
    }

    /// The keyed hash every method wants: computed once, used for the stripe and for the place in it.
    pub fn hash(seal: &Seal, aor: &str) -> u64 {
        seal.mac(Purpose::Table, &[aor.as_bytes()])
    }

    pub fn counts(&self) -> Counts {
        Counts { aors: self.records.len(), bindings: self.bindings }
    }

    pub fn lookup(&self, now: Instant, hash: u64, aor: &str) -> Option<Bindings> {
        let record = self.records.find(hash, |r| &*r.aor == aor)?;
        let live = record.bindings.iter().any(|b| b.is_live(now));
        live.then(|| Bindings { record: record.clone(), now })
    }

    /// RFC 3261 §10.3 steps 6 and 7, all or nothing. `same` compares Contact URIs by §19.1.4; `read` sees the bindings
    /// as they are afterwards.
    pub fn update<T>(
        &mut self,
        now: Instant,
        hash: u64,
        aor: &str,
        update: &Update<'_>,
        same: impl Fn(&str, &str) -> bool,
        read: impl FnOnce(&[Binding]) -> T,
    ) -> Result<(Changed, T), Refusal> {
        let stored = self.records.find(hash, |r| &*r.aor == aor).map_or(&[][..], |r| &r.bindings);
        let added = update.check(now, stored, &same)?;
        if added > 0 && self.bindings + added > self.bindings_max {
            return Err(Refusal::Full);
        }
        let mut changed = Changed::default();
        let read = self.change(hash, aor, |record| {
            record.grant(now, update, &same, &mut changed);
            read(&record.bindings)
        });
        Ok((changed, read))
    }

    /// Changes one record, made for the occasion if need be; then keeps the count, keeps its agenda entry early enough,
    /// and drops it if it has no bindings.
    fn change<T>(&mut self, hash: u64, aor: &str, change: impl FnOnce(&mut Record) -> T) -> T {
        let seal = &self.seal;
        let hasher = |r: &Arc<Record>| Self::hash(seal, &r.aor);
        let mut entry = match self.records.entry(hash, |r| &*r.aor == aor, hasher) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert(Arc::new(Record::new(aor))),
        };
        let record = Arc::make_mut(entry.get_mut());
        let before = record.bindings.len();
        let result = change(record);
        self.bindings = self.bindings + record.bindings.len() - before;
        let scheduled = (record.due, split(hash));
        match record.earliest() {
            Some(second) if record.due == 0 || second < record.due => {
                record.due = second;
                self.agenda.remove(&scheduled);
                self.agenda.insert((second, split(hash)));
            }
            Some(_) => {}
            None => {
                self.agenda.remove(&scheduled);
                entry.remove();
            }
        }
        result
    }

    /// Takes back what [`update`](Self::update) did, except where something newer has happened since.
    pub fn undo(&mut self, now: Instant, hash: u64, aor: &str, undo: Undo) {
        self.change(hash, aor, |record| record.undo(now, undo));
    }

    /// A row from the store, at start. `expires_max` bounds it: a wall clock that stood wrong when the row was written
    /// must not make a binding live for years. Returns false for rows that are over, or over the table's limit.
    pub fn load(
        &mut self,
        now: Instant,
        hash: u64,
        row: &BindingRow,
        expires_max: Duration,
    ) -> bool {
        if row.expires_at <= now || self.bindings >= self.bindings_max {
            return false;
        }
        let binding = Binding::from_row(row, row.expires_at.min(now + expires_max));
        self.change(hash, &row.aor, |record| record.put(binding));
        true
    }

    /// The operator's hand: removes one Contact, or all of the user's.
    pub fn remove(
        &mut self,
        hash: u64,
        aor: &str,
        contact: Option<&str>,
        durable: bool,
    ) -> Changed {
        let mut changed = Changed::default();
        self.change(hash, aor, |record| match contact {
            Some(contact) => {
                record.remove_contact(contact, Removal::Command, durable, &mut changed)
            }
            None => record.clear(Removal::Command, durable, &mut changed),
        });
        changed
    }

    /// Removes what has expired, at most `records_max` users at a time. Returns whether more is waiting.
    pub fn expire(
        &mut self,
        now: Instant,
        records_max: usize,
        durable: bool,
        changed: &mut Changed,
    ) -> bool {
        let is_due = |second: u32| u64::from(second) <= now.as_secs();
        for _ in 0..records_max {
            let Some(&(due, halves)) = self.agenda.first().filter(|(due, _)| is_due(*due)) else {
                return false;
            };
            self.agenda.pop_first();
            let hash = join(halves);
            // The table compares 7 bits of a hash by itself; the rest is asked for here.
            let is = |r: &Arc<Record>| r.due == due && Self::hash(&self.seal, &r.aor) == hash;
            let Some(record) = self.records.find(hash, is) else { continue };
            let aor = record.aor.clone();
            self.change(hash, &aor, |record| {
                record.due = 0;
                record.purge(now, durable, changed);
            });
        }
        self.agenda.first().is_some_and(|(due, _)| is_due(*due))
    }

    /// The binding that a keep-alive remembers, if it is still the same one.
    fn watched(&mut self, now: Instant, watched: Watched) -> Option<(&str, &mut Binding)> {
        let seal = &self.seal;
        // The table compares 7 bits of a hash by itself; the rest is asked for here.
        let is = |r: &Arc<Record>| Self::hash(seal, &r.aor) == watched.user;
        let record = self.records.find_mut(watched.user, is)?;
        let same = |b: &Binding| {
            b.is_live(now) && b.health().is_some_and(|health| health.key() == watched.key)
        };
        let index = record.bindings.iter().position(same)?;
        let Record { aor, bindings, .. } = Arc::make_mut(record);
        Some((aor, bindings.get_mut(index)?))
    }

    /// A phone behind a NAT is about to be pinged. `None`: no longer.
    pub fn ping(&mut self, now: Instant, watched: Watched) -> Option<Due> {
        let (aor, binding) = self.watched(now, watched)?;
        let flow = binding.flow();
        if flow.transport.is_reliable() {
            return None;
        }
        let change = binding.health_mut()?.ping();
        let contact = binding.uri(uri_length(binding.contact()));
        Some(Due { contact, flow, event: health_event(aor, binding, change) })
    }

    /// It has answered. `None`: it is gone meanwhile.
    pub fn answered(
        &mut self,
        now: Instant,
        watched: Watched,
        sent_at: Instant,
    ) -> Option<Option<Event>> {
        let (aor, binding) = self.watched(now, watched)?;
        let change = binding.health_mut()?.answered(now, sent_at);
        Some(health_event(aor, binding, change))
    }

    /// When [`expire`](Self::expire) has something to do, to the second.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| Instant::from_secs(u64::from(*due)))
    }

    /// Every live binding of this table as a row.
    pub fn rows(&self, now: Instant) -> Vec<BindingRow> {
        let live = |r: &Arc<Record>| -> Vec<BindingRow> {
            r.bindings.iter().filter(|b| b.is_live(now)).map(|b| b.row(&r.aor)).collect()
        };
        self.records.iter().flat_map(live).collect()
    }

    /// The same with what is known of the ways, for `regs list`.
    pub fn list(&self, now: Instant) -> Vec<Listed> {
        let one = |r: &Record, b: &Binding| Listed {
            row: b.row(&r.aor),
            health: b.health().map(Health::report),
        };
        let live = |r: &Arc<Record>| -> Vec<Listed> {
            r.bindings.iter().filter(|b| b.is_live(now)).map(|b| one(r, b)).collect()
        };
        self.records.iter().flat_map(live).collect()
    }

    /// Bindings to be pinged, and the Call-ID of their REGISTER: whoever owns that pings them.
    pub fn to_watch(&self, now: Instant) -> Vec<(Box<str>, Watched)> {
        let pinged = |b: &&Binding| b.is_live(now) && !b.flow().transport.is_reliable();
        let one = |r: &Record, b: &Binding| {
            let key = b.health()?.key();
            Some((b.call_id().into(), Watched { user: Self::hash(&self.seal, &r.aor), key }))
        };
        let live = |r: &Arc<Record>| -> Vec<_> {
            r.bindings.iter().filter(pinged).filter_map(|b| one(r, b)).collect()
        };
        self.records.iter().flat_map(live).collect()
    }
}

/// A binding as an operator sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub row: BindingRow,
    /// Of a phone behind a NAT.
    pub health: Option<Report>,
}

const fn split(hash: u64) -> [u32; 2] {
    [(hash >> 32) as u32, hash as u32]
}

const fn join(halves: [u32; 2]) -> u64 {
    ((halves[0] as u64) << 32) | halves[1] as u64
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod oracle;
