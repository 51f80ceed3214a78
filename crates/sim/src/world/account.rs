//! What can be told after a run: ladders, bindings, counts.

use sip_core::time::Duration;

use super::{Kind, PlaceId, START, World};
use crate::ladder;
use crate::wire::Wire;

impl World {
    /// The call flow so far: the first phone on the left, then the servers, then the other phones.
    pub fn ladder(&self) -> String {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_key(|i| match self.places.get(*i).map(|p| &p.kind) {
            Some(Kind::Phone(0)) | None => 0,
            Some(Kind::Server(_)) => 1,
            Some(Kind::Phone(_)) => 2,
        });
        let parties: Vec<(PlaceId, &str)> =
            order.into_iter().map(|i| (PlaceId(i), self.name(PlaceId(i)))).collect();
        ladder::draw(&parties, &self.trace.wires, START)
    }

    /// Contacts of a user of the first server, as they are now, sorted.
    pub fn bindings(&self, user: &str) -> Vec<String> {
        let Some(s) = self.servers.first() else { return Vec::new() };
        let found = s.shared.location.lookup(self.now, &format!("{user}@{}", s.domain));
        let mut contacts: Vec<String> =
            found.iter().flat_map(|b| b.iter()).map(|b| b.contact().to_owned()).collect();
        contacts.sort_unstable();
        contacts
    }

    /// The last message of this label on any wire, as text.
    pub fn last(&self, label: &str) -> String {
        let found = self.trace.wires.iter().rev().find(|w| w.message.label() == label);
        found.map_or(String::new(), |w| String::from_utf8_lossy(&w.bytes).into_owned())
    }

    /// How many messages of this label left `from`, repetitions included.
    pub fn sent(&self, from: &str, label: &str) -> usize {
        let sent = |w: &&Wire| self.name(w.from) == from && w.message.label() == label;
        self.trace.wires.iter().filter(sent).count()
    }

    /// Seconds since the start of the world.
    pub fn elapsed(&self) -> Duration {
        self.now.since(START)
    }
}
