//! What a scenario says about the network: this message is lost, that one comes late.

use sip_core::time::Duration;

use super::{ConnectionId, Parcel, World};
use crate::network::{Effect, PlaceId, Which};
use crate::phone::Phone;

impl World {
    /// The n-th messages (from 1) of this label, `"200 BYE"`, on this way, `"bob -> proxy"`, are lost.
    pub fn lose(&mut self, way: &str, label: &str, nth: &[u32]) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Lose);
    }

    pub fn lose_all(&mut self, way: &str, label: &str) {
        self.rule(way, label, Which::All, Effect::Lose);
    }

    pub fn delay(&mut self, way: &str, label: &str, nth: &[u32], by: Duration) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Delay(by));
    }

    /// The network delivers the n-th of them once more, this much later.
    pub fn repeat(&mut self, way: &str, label: &str, nth: &[u32], later: Duration) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Repeat(later));
    }

    /// # Panics
    /// The way is not `"name -> name"` of parties that exist: a mistake in the scenario.
    #[expect(clippy::expect_used, reason = "a scenario with a wrong name must fail loudly")]
    fn rule(&mut self, way: &str, label: &str, which: Which, effect: Effect) {
        let (from, to) = way.split_once(" -> ").expect("a way is written `from -> to`");
        let find = |name: &str| self.places.iter().position(|p| p.name == name).map(PlaceId);
        let from = find(from).expect("no party has the first name");
        let to = find(to).expect("no party has the second name");
        self.network.rule(from, to, label, which, effect);
    }

    /// Every stream of this phone breaks.
    pub fn cut(&mut self, phone: &Phone) {
        for index in 0..self.connections.len() {
            let mine = self.connections.get(index).is_some_and(|c| {
                c.open && self.phones.get(c.phone).is_some_and(|p| p.place == phone.place)
            });
            if mine {
                self.close(index);
            }
        }
    }

    pub(super) fn close(&mut self, index: usize) {
        let Some(c) = self.connections.get_mut(index) else { return };
        c.open = false;
        let (server, at) = (c.server, self.now + Duration::from_millis(1));
        let connection = ConnectionId(index as u64 + 1);
        self.post(at, Parcel::Closed { server, connection });
    }
}
