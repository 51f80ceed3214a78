//! Gateways as all nodes know them, by name: what is alive of each ([`Live`]), and what a person wants to know about it:
//! since when, by whom and why.
#![expect(clippy::disallowed_types, reason = "a shared table")]

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::dispatcher::health::State;
use crate::dispatcher::live::{Live, Order};
use crate::time::Instant;

/// Why a gateway is in the state it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub since: Instant,
    /// Who has said so; empty: its probes.
    pub by: Box<str>,
    pub why: Box<str>,
}

#[derive(Debug, Default)]
struct Entry {
    live: Arc<Live>,
    health: Note,
    order: Note,
    registration: Note,
}

#[derive(Debug, Default)]
pub struct SharedGateways {
    entries: Mutex<BTreeMap<Box<str>, Entry>>,
}

impl SharedGateways {
    /// The same for the same name, whatever configuration asks.
    pub fn live(&self, name: &str) -> Arc<Live> {
        let mut entries = self.entries.lock();
        Arc::clone(&entries.entry(name.into()).or_default().live)
    }

    /// Those of which nobody speaks any more are forgotten.
    pub fn retain(&self, names: &[&str]) {
        self.entries.lock().retain(|name, _| names.contains(&&**name));
    }

    /// False if there is no such gateway.
    pub fn set_order(&self, name: &str, order: Order, note: Note) -> bool {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(name) else { return false };
        entry.live.set_order(order);
        entry.order = note;
        true
    }

    pub fn set_health(&self, name: &str, state: State, note: Note) {
        if let Some(entry) = self.entries.lock().get_mut(name) {
            entry.live.set_health(state);
            entry.health = note;
        }
    }

    pub fn set_registration(&self, name: &str, note: Note) {
        if let Some(entry) = self.entries.lock().get_mut(name) {
            entry.registration = note;
        }
    }

    /// Since when we are registered there, or why we are not.
    pub fn registration(&self, name: &str) -> Note {
        let entries = self.entries.lock();
        entries.get(name).map(|entry| entry.registration.clone()).unwrap_or_default()
    }

    /// Of its health, and of the operator's order.
    pub fn notes(&self, name: &str) -> Option<(Note, Note)> {
        let entries = self.entries.lock();
        entries.get(name).map(|entry| (entry.health.clone(), entry.order.clone()))
    }

    /// What is to be said about it: of the operator's order if it is not in use for that, else of its health.
    pub fn note(&self, name: &str) -> Option<Note> {
        let entries = self.entries.lock();
        let entry = entries.get(name)?;
        let note = if entry.live.order() == Order::Enabled { &entry.health } else { &entry.order };
        Some(note.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_belongs_to_the_name() {
        let gateways = SharedGateways::default();
        let live = gateways.live("a");
        let note = |by: &str, why: &str| Note { since: Instant(7), by: by.into(), why: why.into() };
        gateways.set_health("a", State::Down, note("", "no answer"));
        assert!(!live.is_available() && gateways.live("a").health() == State::Down);
        assert_eq!(gateways.note("a"), Some(note("", "no answer")));
        assert!(gateways.set_order("a", Order::Disabled, note("root", "maintenance")));
        assert_eq!(gateways.note("a"), Some(note("root", "maintenance")));
        assert!(!gateways.set_order("b", Order::Disabled, note("root", "")));
        gateways.live("b");
        gateways.retain(&["b"]);
        assert_eq!(gateways.note("a"), None);
    }
}
