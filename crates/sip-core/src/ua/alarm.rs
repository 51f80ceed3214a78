//! `Alarms`: the deadlines of calls, of arbitrary length, each under the name of its call and its kind. One map says what
//! is due, the other what is set: an alarm that is stopped wakes nobody.

use std::collections::{BTreeMap, HashMap};

use crate::time::Instant;

use super::command::CallId;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Alarm {
    /// RFC 3261 §17.2.1: nothing was said for 200 ms, so 100 is due.
    Trying,
    /// RFC 3261 §13.3.1.1: a provisional response every minute keeps proxies from cancelling.
    StillRinging,
    /// RFC 3261 §13.3.1.4: the 2xx once more.
    RepeatAccepted,
    /// The same: 64*T1 without ACK.
    NoAck,
    /// The same two for the 2xx to a re-INVITE.
    RepeatModified,
    NoModifiedAck,
    /// RFC 3262 §3: the reliable provisional once more, and its 64*T1.
    RepeatReliable,
    NoPrack,
    /// RFC 3261 §14.1: time to try the refused offer again.
    Glare,
    /// RFC 4028 §7.2, §10.
    Refresh,
    SessionEnds,
    /// RFC 3515 §2.4.4: the subscription that a REFER made.
    ReferEnds,
    /// RFC 3261 §13.3.1: the Expires of an INVITE.
    InviteExpires,
}

#[derive(Default)]
pub(super) struct Alarms {
    due: BTreeMap<(Instant, u64), (CallId, Alarm)>,
    set: HashMap<(CallId, Alarm), (Instant, u64)>,
    count: u64,
}

impl Alarms {
    /// Sets it, instead of when it was set to before.
    pub fn set(&mut self, call: CallId, alarm: Alarm, at: Instant) {
        self.stop(call, alarm);
        self.count += 1;
        let key = (at, self.count);
        self.due.insert(key, (call, alarm));
        self.set.insert((call, alarm), key);
    }

    pub fn stop(&mut self, call: CallId, alarm: Alarm) {
        if let Some(key) = self.set.remove(&(call, alarm)) {
            self.due.remove(&key);
        }
    }

    /// The call is over.
    pub fn stop_all(&mut self, call: CallId) {
        let due = &mut self.due;
        self.set.retain(|(owner, _), at| {
            let stays = *owner != call;
            if !stays {
                due.remove(at);
            }
            stays
        });
    }

    /// The earliest that is due by `now`; it is set no longer.
    pub fn expire(&mut self, now: Instant) -> Option<(CallId, Alarm)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let key = entry.remove();
        self.set.remove(&key);
        Some(key)
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_set_once_and_stopped_without_trace() {
        let mut alarms = Alarms::default();
        let (one, two) = (CallId(1), CallId(2));
        alarms.set(one, Alarm::NoAck, Instant(9));
        alarms.set(one, Alarm::NoAck, Instant(5));
        alarms.set(two, Alarm::Glare, Instant(5));
        alarms.set(two, Alarm::Refresh, Instant(1));
        alarms.stop(two, Alarm::Refresh);
        assert_eq!((alarms.len(), alarms.next_deadline()), (2, Some(Instant(5))));
        assert_eq!(alarms.expire(Instant(4)), None);
        assert_eq!(alarms.expire(Instant(5)), Some((one, Alarm::NoAck)));
        alarms.stop_all(two);
        assert_eq!((alarms.len(), alarms.set.len(), alarms.next_deadline()), (0, 0, None));
    }
}
