//! `Location`: the location service of RFC 3261 §10, address of record -> bindings, as one plain table. It never
//! locks (`shared.rs` does), never reads a clock and never answers a message. A change is all or nothing (§10.3).
//!
//! Expired bindings are never returned, swept or not. The sweep keeps one ordered entry per address of record, which
//! a refresh does not move: it is moved when its time comes and the bindings turn out to live on.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::flow::Flow;
use crate::output::{BindingRow, BindingWrite, Event, Removal};
use crate::seal::{Purpose, Seal};
use crate::time::{Duration, Instant};

use super::binding::{Binding, Draft};

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

#[derive(Clone, Debug)]
struct Record {
    aor: Box<str>,
    /// Second of this record's entry in the agenda.
    due: u32,
    bindings: SmallVec<[Binding; 1]>,
}

/// One Contact as a REGISTER asks for it. `expires` zero asks for its removal.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub contact: &'a str,
    pub q: u16,
    pub expires: Duration,
}

/// What a REGISTER asks for (RFC 3261 §10.3 steps 6 and 7), syntax and expiry rules already checked.
#[derive(Clone, Copy, Debug)]
pub enum Wishes<'a> {
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    Contacts(&'a [Wish<'a>]),
}

/// One REGISTER for [`Location::update`].
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub wishes: Wishes<'a>,
    pub call_id: &'a str,
    pub cseq: u32,
    pub user_agent: &'a str,
    pub flow: Flow,
    /// Bindings this user may have.
    pub contacts_max: usize,
    /// Prepare rows for the store, and the way back should it refuse them.
    pub durable: bool,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 3261 §10.3 step 7: a newer request with this Call-ID has been here already.
    OutOfOrder,
    /// The user has all the bindings a user may have; the first of them ends in this time.
    TooMany { until_free: Duration },
    /// The table is at its limit.
    Full,
}

/// What was changed.
#[derive(Debug, Default)]
pub struct Changed {
    pub events: Vec<Event>,
    /// Empty unless `durable`.
    pub writes: Vec<BindingWrite>,
    /// Empty unless `durable`.
    pub undo: Undo,
}

/// The way back from one change, should the store refuse it.
#[derive(Debug, Default)]
pub struct Undo {
    steps: SmallVec<[Step; 1]>,
}

#[derive(Debug)]
struct Step {
    before: Option<Binding>,
    after: Option<Binding>,
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
        record
            .bindings
            .iter()
            .any(|b| b.is_live(now))
            .then(|| Bindings { record: record.clone(), now })
    }

    /// The bindings of `aor` as stored, the expired among them: callers filter with [`Binding::is_live`].
    pub fn stored(&self, hash: u64, aor: &str) -> &[Binding] {
        self.records.find(hash, |r| &*r.aor == aor).map_or(&[], |r| &r.bindings)
    }

    /// RFC 3261 §10.3 steps 6 and 7, all or nothing. `same` compares Contact URIs by §19.1.4.
    pub fn update(
        &mut self,
        now: Instant,
        hash: u64,
        aor: &str,
        update: &Update<'_>,
        same: impl Fn(&str, &str) -> bool,
    ) -> Result<Changed, Refusal> {
        let stored = self.stored(hash, aor);
        self.check(now, stored, update, &same)?;
        let mut changed = Changed::default();
        if stored.iter().any(|b| !b.is_live(now)) {
            self.purge(now, hash, aor, update.durable, &mut changed);
        }
        match update.wishes {
            Wishes::RemoveAll => {
                let all = self.stored(hash, aor).iter().map(|b| b.contact().into());
                for contact in all.collect::<Vec<Box<str>>>() {
                    self.remove_one(
                        hash,
                        aor,
                        &contact,
                        Removal::Unregistered,
                        update.durable,
                        &mut changed,
                    );
                }
            }
            Wishes::Contacts(wishes) => {
                for wish in wishes {
                    self.grant(now, hash, aor, update, wish, &same, &mut changed);
                }
            }
        }
        self.schedule(hash, aor);
        Ok(changed)
    }

    /// Whether all wishes can be granted. Changes nothing.
    fn check(
        &self,
        now: Instant,
        stored: &[Binding],
        update: &Update<'_>,
        same: &impl Fn(&str, &str) -> bool,
    ) -> Result<(), Refusal> {
        // §10.3 step 7: with the Call-ID of the stored binding, only a higher CSeq may change it. An equal one is a
        // retransmission when it asks for what is there; asking for its removal it is not the same request.
        let stale = |b: &Binding, removal: bool| {
            b.call_id() == update.call_id
                && (update.cseq < b.cseq() || (removal && update.cseq == b.cseq()))
        };
        let mut live = stored.iter().filter(|b| b.is_live(now));
        let wishes = match update.wishes {
            Wishes::RemoveAll if live.any(|b| stale(b, true)) => return Err(Refusal::OutOfOrder),
            Wishes::RemoveAll => return Ok(()),
            Wishes::Contacts(wishes) => wishes,
        };
        let (mut added, mut removed) = (0_usize, 0_usize);
        for wish in wishes {
            match live.clone().find(|b| same(b.contact(), wish.contact)) {
                Some(binding) if stale(binding, wish.expires.is_zero()) => {
                    return Err(Refusal::OutOfOrder);
                }
                Some(_) => removed += usize::from(wish.expires.is_zero()),
                None => added += usize::from(!wish.expires.is_zero()),
            }
        }
        if added == 0 {
            return Ok(());
        }
        if live.clone().count() + added > update.contacts_max + removed {
            let first = live.map(Binding::expires_at).min().unwrap_or(now);
            return Err(Refusal::TooMany { until_free: first.since(now) });
        }
        if self.bindings + added > self.bindings_max { Err(Refusal::Full) } else { Ok(()) }
    }

    /// One Contact: add, update, remove, or recognise a retransmission.
    #[expect(clippy::too_many_arguments, reason = "the place (hash, aor) travels with everything")]
    fn grant(
        &mut self,
        now: Instant,
        hash: u64,
        aor: &str,
        update: &Update<'_>,
        wish: &Wish<'_>,
        same: &impl Fn(&str, &str) -> bool,
        changed: &mut Changed,
    ) {
        let found = self.stored(hash, aor).iter().position(|b| same(b.contact(), wish.contact));
        if wish.expires.is_zero() {
            let stored = found.and_then(|index| self.stored(hash, aor).get(index));
            if let Some(contact) = stored.map(|b| Box::<str>::from(b.contact())) {
                self.remove_one(
                    hash,
                    aor,
                    &contact,
                    Removal::Unregistered,
                    update.durable,
                    changed,
                );
            }
            return;
        }
        let draft = Draft {
            contact: wish.contact,
            call_id: update.call_id,
            user_agent: update.user_agent,
            cseq: update.cseq,
            q: wish.q,
            expires_at: now + wish.expires,
            modified_at: now,
            flow: update.flow,
        };
        let seal = &self.seal;
        let record = self
            .records
            .entry(hash, |r| &*r.aor == aor, |r| Self::hash(seal, &r.aor))
            .or_insert_with(|| {
                Arc::new(Record { aor: aor.into(), due: 0, bindings: SmallVec::new() })
            });
        let record = Arc::make_mut(record.into_mut());
        let (contact, flow, expires) = (wish.contact, update.flow, wish.expires);
        let (before, after) = match found.and_then(|index| record.bindings.get_mut(index)) {
            Some(binding) => {
                let before = update.durable.then(|| binding.clone());
                // The phone may write the same URI differently; its newest spelling is kept, and the row of the old
                // one goes.
                if update.durable && binding.contact() != contact {
                    let contact = binding.contact().into();
                    changed.writes.push(BindingWrite::Remove { aor: aor.into(), contact });
                }
                if binding.call_id() == update.call_id && binding.cseq() == update.cseq {
                    binding.touch();
                } else {
                    binding.refresh(&draft);
                    let event = Event::BindingRefreshed {
                        aor: aor.into(),
                        contact: contact.into(),
                        flow,
                        expires,
                    };
                    changed.events.push(event);
                }
                (before, binding)
            }
            None => {
                record.bindings.push(Binding::new(&draft));
                self.bindings += 1;
                let event =
                    Event::BindingAdded { aor: aor.into(), contact: contact.into(), flow, expires };
                changed.events.push(event);
                let Some(added) = record.bindings.last_mut() else { return };
                (None, added)
            }
        };
        if update.durable {
            changed.writes.push(BindingWrite::Put(Box::new(after.row(aor))));
            changed.undo.steps.push(Step { before, after: Some(after.clone()) });
        }
    }

    fn remove_one(
        &mut self,
        hash: u64,
        aor: &str,
        contact: &str,
        why: Removal,
        durable: bool,
        changed: &mut Changed,
    ) {
        let Some(record) = self.records.find_mut(hash, |r| &*r.aor == aor) else { return };
        let Some(index) = record.bindings.iter().position(|b| b.contact() == contact) else {
            return;
        };
        let binding = Arc::make_mut(record).bindings.remove(index);
        self.bindings -= 1;
        changed.events.push(Event::BindingRemoved {
            aor: aor.into(),
            contact: contact.into(),
            why,
        });
        if durable {
            let contact = contact.into();
            changed.writes.push(BindingWrite::Remove { aor: aor.into(), contact });
            changed.undo.steps.push(Step { before: Some(binding), after: None });
        }
    }

    /// Takes back what [`update`](Self::update) did, except where something newer has happened since.
    pub fn undo(&mut self, now: Instant, hash: u64, aor: &str, undo: Undo) {
        for Step { before, after } in undo.steps.into_iter().rev() {
            let named = after.as_ref().or(before.as_ref());
            let Some(name) = named.map(|b| Box::<str>::from(b.contact())) else { continue };
            let current = self.stored(hash, aor).iter().find(|b| b.contact() == &*name);
            if current != after.as_ref() {
                continue;
            }
            let before = before.filter(|b| b.is_live(now));
            if after.is_some() && before.as_ref().is_none_or(|b| b.contact() != &*name) {
                let unseen = &mut Changed::default();
                self.remove_one(hash, aor, &name, Removal::Unregistered, false, unseen);
            }
            if let Some(before) = before {
                self.put(hash, aor, before);
            }
        }
        self.schedule(hash, aor);
    }

    /// Puts a binding in, replacing the one with the same Contact, byte for byte.
    fn put(&mut self, hash: u64, aor: &str, binding: Binding) {
        let seal = &self.seal;
        let record = self
            .records
            .entry(hash, |r| &*r.aor == aor, |r| Self::hash(seal, &r.aor))
            .or_insert_with(|| {
                Arc::new(Record { aor: aor.into(), due: 0, bindings: SmallVec::new() })
            });
        let record = Arc::make_mut(record.into_mut());
        if let Some(same) = record.bindings.iter_mut().find(|b| b.contact() == binding.contact()) {
            *same = binding;
        } else {
            record.bindings.push(binding);
            self.bindings += 1;
        }
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
        let mut row = row.clone();
        row.expires_at = row.expires_at.min(now + expires_max);
        self.put(hash, &row.aor, Binding::from_row(&row));
        self.schedule(hash, &row.aor);
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
        let stored = self.stored(hash, aor).iter().map(Binding::contact);
        let chosen: Vec<Box<str>> =
            stored.filter(|c| contact.is_none_or(|wanted| wanted == *c)).map(Box::from).collect();
        for contact in chosen {
            self.remove_one(hash, aor, &contact, Removal::Command, durable, &mut changed);
        }
        self.schedule(hash, aor);
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
        for _ in 0..records_max {
            let Some(&(due, halves)) = self.agenda.first() else { return false };
            if u64::from(due) > now.as_secs() {
                return false;
            }
            self.agenda.pop_first();
            let hash = join(halves);
            let Some(record) = self.records.find_mut(hash, |r| r.due == due) else { continue };
            Arc::make_mut(record).due = 0;
            let aor = record.aor.clone();
            self.purge(now, hash, &aor, durable, changed);
            self.schedule(hash, &aor);
        }
        self.agenda.first().is_some_and(|(due, _)| u64::from(*due) <= now.as_secs())
    }

    /// When [`expire`](Self::expire) has something to do, to the second.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| Instant::from_secs(u64::from(*due)))
    }

    fn purge(&mut self, now: Instant, hash: u64, aor: &str, durable: bool, changed: &mut Changed) {
        let Some(record) = self.records.find_mut(hash, |r| &*r.aor == aor) else { return };
        let record = Arc::make_mut(record);
        let before = record.bindings.len();
        record.bindings.retain(|binding| {
            if binding.is_live(now) {
                return true;
            }
            let contact: Box<str> = binding.contact().into();
            if durable {
                let contact = contact.clone();
                changed.writes.push(BindingWrite::Remove { aor: aor.into(), contact });
            }
            let why = Removal::Expired;
            changed.events.push(Event::BindingRemoved { aor: aor.into(), contact, why });
            false
        });
        self.bindings -= before - record.bindings.len();
    }

    /// Keeps the record's agenda entry early enough, and drops a record without bindings.
    fn schedule(&mut self, hash: u64, aor: &str) {
        let Ok(mut entry) = self.records.find_entry(hash, |r| &*r.aor == aor) else { return };
        let record = entry.get_mut();
        let due = record.due;
        let Some(earliest) = record.bindings.iter().map(Binding::expires_at).min() else {
            self.agenda.remove(&(due, split(hash)));
            entry.remove();
            return;
        };
        let second = u32::try_from(earliest.0.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        if due == 0 || second < due {
            Arc::make_mut(record).due = second;
            self.agenda.remove(&(due, split(hash)));
            self.agenda.insert((second, split(hash)));
        }
    }

    /// Every live binding of this table as a row, for `regs list`.
    pub fn rows(&self, now: Instant) -> Vec<BindingRow> {
        let records = self.records.iter();
        records
            .flat_map(|r| r.bindings.iter().filter(|b| b.is_live(now)).map(|b| b.row(&r.aor)))
            .collect()
    }
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
