//! `Record`: the bindings of one user, and what one REGISTER does to them (RFC 3261 §10.3 steps 6 and 7). It knows no
//! other user, no table and no lock; `location.rs` keeps the records.

use smallvec::SmallVec;

use crate::flow::Flow;
use crate::nat::health::Change;
use crate::output::{BindingWrite, Event, Removal};
use crate::time::{Duration, Instant};

use super::binding::{Binding, Draft};

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub aor: Box<str>,
    /// Second of this record's entry in the agenda; 0: it has none.
    pub due: u32,
    pub bindings: SmallVec<[Binding; 1]>,
}

/// One Contact as a REGISTER asks for it. `expires` zero asks for its removal.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub contact: &'a str,
    pub q: u16,
    pub expires: Duration,
    /// The phone is behind a NAT.
    pub natted: bool,
}

/// What a REGISTER asks for, syntax and expiry rules already checked.
#[derive(Clone, Copy, Debug)]
pub enum Wishes<'a> {
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    Contacts(&'a [Wish<'a>]),
}

/// One REGISTER for [`Location::update`](super::location::Location::update).
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub wishes: Wishes<'a>,
    pub call_id: &'a str,
    pub cseq: u32,
    pub user_agent: &'a str,
    pub path: &'a str,
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

impl Update<'_> {
    /// RFC 3261 §10.3 step 7: with the Call-ID of the stored binding, only a higher CSeq may change it. An equal one is a
    /// retransmission when it asks for what is there; asking for its removal it is not the same request.
    fn is_stale(&self, stored: &Binding, removal: bool) -> bool {
        stored.call_id() == self.call_id
            && (self.cseq < stored.cseq() || (removal && self.cseq == stored.cseq()))
    }

    /// Whether all wishes can be granted to a user with these bindings, and how many bindings that adds.
    pub(super) fn check(
        &self,
        now: Instant,
        stored: &[Binding],
        same: &impl Fn(&str, &str) -> bool,
    ) -> Result<usize, Refusal> {
        let mut live = stored.iter().filter(|b| b.is_live(now));
        let wishes = match self.wishes {
            Wishes::RemoveAll if live.any(|b| self.is_stale(b, true)) => {
                return Err(Refusal::OutOfOrder);
            }
            Wishes::RemoveAll => return Ok(0),
            Wishes::Contacts(wishes) => wishes,
        };
        let (mut added, mut removed) = (0_usize, 0_usize);
        for wish in wishes {
            let removal = wish.expires.is_zero();
            match live.clone().find(|b| same(b.contact(), wish.contact)) {
                Some(binding) if self.is_stale(binding, removal) => {
                    return Err(Refusal::OutOfOrder);
                }
                Some(_) => removed += usize::from(removal),
                None => added += usize::from(!removal),
            }
        }
        if added > 0 && live.clone().count() + added > self.contacts_max + removed {
            let first = live.map(Binding::expires_at).min().unwrap_or(now);
            return Err(Refusal::TooMany { until_free: first.since(now) });
        }
        Ok(added)
    }
}

impl Record {
    pub fn new(aor: &str) -> Self {
        Self { aor: aor.into(), due: 0, bindings: SmallVec::new() }
    }

    /// The second in which the first binding ends, rounded up; `None` without bindings.
    pub fn earliest(&self) -> Option<u32> {
        let first = self.bindings.iter().map(Binding::expires_at).min()?;
        Some(u32::try_from(first.0.div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    /// Grants what [`Update::check`] has found grantable.
    pub fn grant(
        &mut self,
        now: Instant,
        update: &Update<'_>,
        same: &impl Fn(&str, &str) -> bool,
        changed: &mut Changed,
    ) {
        self.purge(now, update.durable, changed);
        let wishes = match update.wishes {
            Wishes::RemoveAll => return self.clear(Removal::Unregistered, update.durable, changed),
            Wishes::Contacts(wishes) => wishes,
        };
        for wish in wishes {
            let found = self.bindings.iter().position(|b| same(b.contact(), wish.contact));
            match found {
                Some(index) if wish.expires.is_zero() => {
                    self.remove(index, Removal::Unregistered, update.durable, changed);
                }
                Some(index) => self.refresh(index, now, update, wish, changed),
                None if wish.expires.is_zero() => {}
                None => self.add(now, update, wish, changed),
            }
        }
    }

    fn add(&mut self, now: Instant, update: &Update<'_>, wish: &Wish<'_>, changed: &mut Changed) {
        let binding = Binding::new(&draft(now, update, wish));
        changed.events.push(Event::BindingAdded {
            aor: self.aor.clone(),
            contact: wish.contact.into(),
            flow: update.flow,
            expires: wish.expires,
        });
        if update.durable {
            changed.writes.push(BindingWrite::Put(Box::new(binding.row(&self.aor))));
            changed.undo.steps.push(Step { before: None, after: Some(binding.clone()) });
        }
        self.bindings.push(binding);
    }

    fn refresh(
        &mut self,
        index: usize,
        now: Instant,
        update: &Update<'_>,
        wish: &Wish<'_>,
        changed: &mut Changed,
    ) {
        let Some(binding) = self.bindings.get_mut(index) else { return };
        let before = update.durable.then(|| binding.clone());
        if binding.call_id() == update.call_id && binding.cseq() == update.cseq {
            binding.touch();
        } else {
            let change = binding.refresh(&draft(now, update, wish));
            changed.events.extend(health_event(&self.aor, binding, change));
            changed.events.push(Event::BindingRefreshed {
                aor: self.aor.clone(),
                contact: wish.contact.into(),
                flow: update.flow,
                expires: wish.expires,
            });
        }
        let Some(before) = before else { return };
        // The phone may write the same URI differently; its newest spelling is kept, and the row of the old one goes.
        if before.contact() != binding.contact() {
            let contact = before.contact().into();
            changed.writes.push(BindingWrite::Remove { aor: self.aor.clone(), contact });
        }
        changed.writes.push(BindingWrite::Put(Box::new(binding.row(&self.aor))));
        changed.undo.steps.push(Step { before: Some(before), after: Some(binding.clone()) });
    }

    fn remove(&mut self, index: usize, why: Removal, durable: bool, changed: &mut Changed) {
        let binding = self.bindings.remove(index);
        let (aor, contact) = (self.aor.clone(), binding.contact().into());
        changed.events.push(Event::BindingRemoved { aor, contact, why });
        if durable {
            let (aor, contact) = (self.aor.clone(), binding.contact().into());
            changed.writes.push(BindingWrite::Remove { aor, contact });
            if why == Removal::Unregistered {
                changed.undo.steps.push(Step { before: Some(binding), after: None });
            }
        }
    }

    /// Removes all bindings.
    pub fn clear(&mut self, why: Removal, durable: bool, changed: &mut Changed) {
        while !self.bindings.is_empty() {
            self.remove(0, why, durable, changed);
        }
    }

    /// Removes the binding with exactly this Contact.
    pub fn remove_contact(
        &mut self,
        contact: &str,
        why: Removal,
        durable: bool,
        changed: &mut Changed,
    ) {
        if let Some(index) = self.bindings.iter().position(|b| b.contact() == contact) {
            self.remove(index, why, durable, changed);
        }
    }

    /// Removes what has expired.
    pub fn purge(&mut self, now: Instant, durable: bool, changed: &mut Changed) {
        while let Some(index) = self.bindings.iter().position(|b| !b.is_live(now)) {
            self.remove(index, Removal::Expired, durable, changed);
        }
    }

    /// Puts a binding in, in the place of the one with the same Contact, byte for byte.
    pub fn put(&mut self, binding: Binding) {
        match self.bindings.iter_mut().find(|b| b.contact() == binding.contact()) {
            Some(same) => *same = binding,
            None => self.bindings.push(binding),
        }
    }

    /// Takes back what [`grant`](Self::grant) did, except where something newer has happened since.
    pub fn undo(&mut self, now: Instant, undo: Undo) {
        for Step { before, after } in undo.steps.into_iter().rev() {
            let named = after.as_ref().or(before.as_ref());
            let Some(name) = named.map(Binding::contact) else { continue };
            let place = self.bindings.iter().position(|b| b.contact() == name);
            let stored = place.and_then(|index| self.bindings.get(index));
            let same = match (stored, &after) {
                (Some(stored), Some(after)) => stored.is_same_write(after),
                (None, None) => true,
                _ => false,
            };
            if !same {
                continue;
            }
            match (place, before.filter(|b| b.is_live(now))) {
                (Some(index), Some(before)) => {
                    if let Some(binding) = self.bindings.get_mut(index) {
                        *binding = before;
                    }
                }
                (Some(index), None) => drop(self.bindings.remove(index)),
                (None, Some(before)) => self.bindings.push(before),
                (None, None) => {}
            }
        }
    }
}

fn draft<'a>(now: Instant, update: &Update<'a>, wish: &Wish<'a>) -> Draft<'a> {
    Draft {
        contact: wish.contact,
        call_id: update.call_id,
        user_agent: update.user_agent,
        path: update.path,
        cseq: update.cseq,
        q: wish.q,
        expires_at: now + wish.expires,
        modified_at: now,
        flow: update.flow,
        natted: wish.natted,
    }
}

/// What is told of the way to a phone.
pub(super) fn health_event(aor: &str, binding: &Binding, change: Change) -> Option<Event> {
    let (aor, contact, flow) = (|| aor.into(), || binding.contact().into(), binding.flow());
    match change {
        Change::None => None,
        Change::FellSilent => Some(Event::BindingSilent { aor: aor(), contact: contact(), flow }),
        Change::AnswersAgain => {
            Some(Event::BindingAnswers { aor: aor(), contact: contact(), flow })
        }
    }
}
