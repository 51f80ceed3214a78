//! The calls that stand at gateways, each with its seat: from the answer to the BYE. A BYE may never come: then a call is
//! over when its session timer has run out (RFC 4028 §10), if the two ends have agreed on one, and else when nothing
//! was heard of it for the gateway's `call_max`. It ends no call; it only stops counting it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::gateway::Gateway;
use super::live::Seat;
use crate::limits;
use crate::seal::{Purpose, Seal};
use crate::time::{Duration, Instant};

/// How long after the end of a session timer its BYE may still come: 64*T1.
const GRACE: Duration = Duration::from_secs(32);

/// What a fork carries that goes to a gateway.
#[derive(Debug)]
pub struct Trunk {
    pub gateway: Arc<Gateway>,
    /// An INVITE has one.
    pub seat: Option<Seat>,
    /// The Request-URI it is asked for.
    pub uri: Box<[u8]>,
    /// Header lines for it alone.
    pub lines: Option<Arc<[u8]>>,
}

/// Names a dialog to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(u64);

impl CallKey {
    pub fn new(seal: &Seal, call_id: &[u8], caller_tag: &[u8], callee_tag: &[u8]) -> Self {
        Self(seal.mac(Purpose::Table, &[b"trunk", call_id, caller_tag, callee_tag]))
    }
}

#[derive(Debug)]
struct Standing {
    trunk: Arc<Trunk>,
    until: Instant,
}

#[derive(Debug, Default)]
pub struct Calls {
    standing: HashMap<CallKey, Standing>,
    ends: BTreeSet<(Instant, CallKey)>,
}

impl Calls {
    pub fn len(&self) -> usize {
        self.standing.len()
    }

    pub fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The call was answered. `session`: RFC 4028's Session-Expires, if the answer has one. False: there is no room, and
    /// the call is not counted.
    pub fn answered(
        &mut self,
        now: Instant,
        key: CallKey,
        trunk: Arc<Trunk>,
        session: Option<Duration>,
    ) -> bool {
        if self.standing.contains_key(&key) {
            // The same 2xx again.
            return true;
        }
        if self.standing.len() >= limits::GATEWAY_CALLS.max {
            return false;
        }
        let until = now + lasts(&trunk.gateway, session);
        self.standing.insert(key, Standing { trunk, until });
        self.ends.insert((until, key));
        true
    }

    /// The two ends have shown that the call stands.
    pub fn refreshed(&mut self, now: Instant, key: CallKey, session: Option<Duration>) {
        let Some(standing) = self.standing.get_mut(&key) else { return };
        let until = now + lasts(&standing.trunk.gateway, session);
        self.ends.remove(&(core::mem::replace(&mut standing.until, until), key));
        self.ends.insert((until, key));
    }

    /// A BYE has been answered.
    pub fn ended(&mut self, key: CallKey) {
        if let Some(standing) = self.standing.remove(&key) {
            self.ends.remove(&(standing.until, key));
        }
    }

    /// Those of which nothing was heard for too long.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.ends.first().filter(|(at, _)| *at <= now) {
            self.ends.remove(&(at, key));
            self.standing.remove(&key);
        }
    }
}

fn lasts(gateway: &Gateway, session: Option<Duration>) -> Duration {
    session.map_or(gateway.call_max, |session| gateway.call_max.min(session + GRACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::gateway::tests::gateway;

    const NOW: Instant = Instant::from_secs(1_800_000_000);

    fn after(seconds: u64) -> Instant {
        NOW + Duration::from_secs(seconds)
    }

    fn key(n: u8) -> CallKey {
        CallKey::new(&Seal::new([1; 16]), &[n], b"a", b"b")
    }

    #[test]
    fn a_call_has_its_seat_until_its_bye() {
        let gateway = Arc::new(gateway("a", "192.0.2.1:5060"));
        let trunk = || {
            let seat = gateway.take_seat(NOW, false);
            Arc::new(Trunk { gateway: Arc::clone(&gateway), seat, uri: [].into(), lines: None })
        };
        let mut calls = Calls::default();
        for n in 0..3 {
            assert!(calls.answered(NOW, key(n), trunk(), None));
        }
        assert!(calls.answered(NOW, key(2), trunk(), None), "a 2xx comes twice");
        assert_eq!((calls.len(), gateway.live.calls()), (3, 3));
        calls.ended(key(1));
        calls.ended(key(1));
        assert_eq!((calls.len(), gateway.live.calls()), (2, 2));
    }

    #[test]
    fn a_call_without_a_bye_ends_all_the_same() {
        let gateway = Arc::new(gateway("a", "192.0.2.1:5060"));
        let trunk = || {
            let seat = gateway.take_seat(NOW, false);
            Arc::new(Trunk { gateway: Arc::clone(&gateway), seat, uri: [].into(), lines: None })
        };
        let mut calls = Calls::default();
        calls.answered(NOW, key(0), trunk(), None);
        calls.answered(NOW, key(1), trunk(), Some(Duration::from_secs(1800)));
        assert_eq!(calls.next_deadline(), Some(after(1832)));
        calls.refreshed(after(900), key(1), Some(Duration::from_secs(1800)));
        calls.expire(after(1832));
        assert_eq!(calls.len(), 2);
        calls.expire(after(900 + 1832));
        assert_eq!((calls.len(), gateway.live.calls()), (1, 1));
        calls.expire(after(4 * 3600));
        assert_eq!((calls.len(), gateway.live.calls(), calls.next_deadline()), (0, 0, None));
    }
}
