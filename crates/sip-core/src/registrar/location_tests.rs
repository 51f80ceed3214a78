//! The table: order, limits, expiry, undo (RFC 3261 §10.3). URIs are compared as bytes here.

use super::*;
use crate::flow::{Flow, ListenerId};
use crate::output::{BindingWrite, Event};
use crate::registrar::record::{Wish, Wishes};

const START: Instant = Instant::from_secs(1_800_000_000);
const AOR: &str = "alice@example.com";
const HOUR: Duration = Duration::from_secs(3600);

fn seal() -> Seal {
    Seal::new([9; 16])
}

fn location() -> Location {
    Location::new(seal(), 1_000_000)
}

fn hash(aor: &str) -> u64 {
    Location::hash(&seal(), aor)
}

fn flow() -> Flow {
    Flow::udp(ListenerId(0), "192.0.2.7:5060".parse().unwrap())
}

fn wish(contact: &str, seconds: u64) -> Wish<'_> {
    Wish { contact, q: 1000, expires: Duration::from_secs(seconds), natted: false }
}

fn update<'a>(wishes: &'a [Wish<'a>], cseq: u32) -> Update<'a> {
    Update {
        wishes: Wishes::Contacts(wishes),
        call_id: "call-1",
        cseq,
        user_agent: "phone",
        path: "",
        flow: flow(),
        contacts_max: 3,
        durable: true,
    }
}

fn apply(location: &mut Location, now: Instant, update: &Update<'_>) -> Result<Changed, Refusal> {
    location.update(now, hash(AOR), AOR, update, |a, b| a == b, |_| ()).map(|(changed, ())| changed)
}

fn contacts(location: &Location, now: Instant) -> Vec<String> {
    let found = location.lookup(now, hash(AOR), AOR);
    found.iter().flat_map(Bindings::iter).map(|b| b.contact().into()).collect()
}

fn stored(location: &Location) -> Vec<Binding> {
    location
        .records
        .find(hash(AOR), |r| &*r.aor == AOR)
        .map(|r| r.bindings.to_vec())
        .unwrap_or_default()
}

fn later(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

#[test]
fn add_refresh_remove() {
    let mut location = location();
    let added = apply(&mut location, START, &update(&[wish("sip:a@192.0.2.7", 3600)], 1)).unwrap();
    assert!(matches!(&added.events[..], [Event::BindingAdded { expires: HOUR, .. }]));
    assert!(matches!(&added.writes[..], [BindingWrite::Put(row)] if row.cseq == 1));
    let refreshed =
        apply(&mut location, later(9), &update(&[wish("sip:a@192.0.2.7", 3600)], 2)).unwrap();
    assert!(matches!(&refreshed.events[..], [Event::BindingRefreshed { .. }]));
    assert_eq!(stored(&location)[0].expires_at(), later(3609));
    assert_eq!(location.counts(), Counts { aors: 1, bindings: 1 });
    let removed =
        apply(&mut location, later(10), &update(&[wish("sip:a@192.0.2.7", 0)], 3)).unwrap();
    assert!(matches!(
        &removed.events[..],
        [Event::BindingRemoved { why: Removal::Unregistered, .. }]
    ));
    assert!(matches!(&removed.writes[..], [BindingWrite::Remove { .. }]));
    assert_eq!(location.counts(), Counts::default());
    assert!(location.agenda.is_empty(), "nothing is left behind");
}

#[test]
fn removing_what_is_not_there_is_fine() {
    let mut location = location();
    let changed = apply(&mut location, START, &update(&[wish("sip:a@192.0.2.7", 0)], 1)).unwrap();
    assert!(changed.events.is_empty() && changed.writes.is_empty());
    assert_eq!(location.counts(), Counts::default());
}

#[test]
fn older_cseq_of_the_same_call_changes_nothing_at_all() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@192.0.2.7", 3600)], 5)).unwrap();
    let both = [wish("sip:b@192.0.2.7", 3600), wish("sip:a@192.0.2.7", 60)];
    assert_eq!(apply(&mut location, later(1), &update(&both, 4)).unwrap_err(), Refusal::OutOfOrder);
    assert_eq!(
        contacts(&location, later(1)),
        ["sip:a@192.0.2.7"],
        "the good half is not done either"
    );
    let other_call = Update { call_id: "call-2", ..update(&both, 1) };
    apply(&mut location, later(2), &other_call).unwrap();
    assert_eq!(contacts(&location, later(2)), ["sip:a@192.0.2.7", "sip:b@192.0.2.7"]);
}

#[test]
fn same_cseq_is_a_retransmission_unless_it_asks_for_removal() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@192.0.2.7", 3600)], 5)).unwrap();
    let again =
        apply(&mut location, later(4), &update(&[wish("sip:a@192.0.2.7", 3600)], 5)).unwrap();
    assert!(again.events.is_empty());
    assert!(
        matches!(&again.writes[..], [BindingWrite::Put(_)]),
        "its answer too must wait for the store"
    );
    assert_eq!(stored(&location)[0].expires_at(), later(3600), "not prolonged");
    let removal = apply(&mut location, later(5), &update(&[wish("sip:a@192.0.2.7", 0)], 5));
    assert_eq!(removal.unwrap_err(), Refusal::OutOfOrder);
}

#[test]
fn remove_all_obeys_the_order_too() {
    let mut location = location();
    let two = [wish("sip:a@192.0.2.7", 3600), wish("sip:b@192.0.2.7", 3600)];
    apply(&mut location, START, &update(&two, 5)).unwrap();
    let all = Update { wishes: Wishes::RemoveAll, ..update(&[], 5) };
    assert_eq!(apply(&mut location, later(1), &all).unwrap_err(), Refusal::OutOfOrder);
    let all = Update { cseq: 6, ..all };
    let changed = apply(&mut location, later(1), &all).unwrap();
    assert_eq!((changed.events.len(), changed.writes.len()), (2, 2));
    assert!(contacts(&location, later(1)).is_empty());
    assert!(
        apply(&mut location, later(2), &all).unwrap().events.is_empty(),
        "again: nothing to do"
    );
}

#[test]
fn the_limit_counts_what_will_be_there() {
    let mut location = location();
    let three = [wish("sip:a@h", 60), wish("sip:b@h", 3600), wish("sip:c@h", 3600)];
    apply(&mut location, START, &update(&three, 1)).unwrap();
    let fourth = apply(&mut location, later(10), &update(&[wish("sip:d@h", 3600)], 2));
    assert_eq!(fourth.unwrap_err(), Refusal::TooMany { until_free: Duration::from_secs(50) });
    let refresh = apply(&mut location, later(10), &update(&[wish("sip:c@h", 3600)], 2));
    assert!(refresh.is_ok(), "a refresh is no new binding");
    let swap = [wish("sip:d@h", 3600), wish("sip:b@h", 0)];
    apply(&mut location, later(11), &update(&swap, 3)).unwrap();
    assert_eq!(contacts(&location, later(11)), ["sip:a@h", "sip:c@h", "sip:d@h"]);
    let expired = apply(&mut location, later(60), &update(&[wish("sip:e@h", 3600)], 4)).unwrap();
    assert!(matches!(expired.events[0], Event::BindingRemoved { why: Removal::Expired, .. }));
    assert_eq!(contacts(&location, later(60)), ["sip:c@h", "sip:d@h", "sip:e@h"]);
}

#[test]
fn the_table_has_a_limit() {
    let mut location = Location::new(seal(), 1);
    apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    let second = apply(&mut location, START, &update(&[wish("sip:b@h", 60)], 2));
    assert_eq!(second.unwrap_err(), Refusal::Full);
    assert!(apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 2)).is_ok());
}

#[test]
fn expired_is_gone_before_the_sweep() {
    let mut location = location();
    let two = [wish("sip:a@h", 60), wish("sip:b@h", 61)];
    apply(&mut location, START, &update(&two, 1)).unwrap();
    assert_eq!(contacts(&location, Instant(later(60).0 - 1)).len(), 2);
    assert_eq!(contacts(&location, later(60)), ["sip:b@h"]);
    assert!(location.lookup(later(61), hash(AOR), AOR).is_none());
    assert_eq!(location.counts().bindings, 2, "not swept yet");
}

#[test]
fn the_sweep_removes_on_the_second_and_tells() {
    let mut location = location();
    let two = [wish("sip:a@h", 60), wish("sip:b@h", 90)];
    apply(&mut location, START, &update(&two, 1)).unwrap();
    assert_eq!(location.next_expiry(), Some(later(60)));
    let mut changed = Changed::default();
    assert!(!location.expire(later(59), 100, true, &mut changed));
    assert!(changed.events.is_empty());
    location.expire(later(60), 100, true, &mut changed);
    assert!(
        matches!(&changed.events[..], [Event::BindingRemoved { contact, why: Removal::Expired, .. }] if &**contact == "sip:a@h")
    );
    assert!(matches!(&changed.writes[..], [BindingWrite::Remove { .. }]));
    assert_eq!(location.next_expiry(), Some(later(90)));
    location.expire(later(90), 100, true, &mut changed);
    assert_eq!(location.counts(), Counts::default());
    assert_eq!(location.next_expiry(), None);
}

#[test]
fn a_refresh_does_not_move_the_agenda_and_is_not_swept() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    apply(&mut location, later(50), &update(&[wish("sip:a@h", 60)], 2)).unwrap();
    assert_eq!(location.next_expiry(), Some(later(60)), "lazy");
    let mut changed = Changed::default();
    location.expire(later(60), 100, false, &mut changed);
    assert!(changed.events.is_empty());
    assert_eq!(location.next_expiry(), Some(later(110)));
    assert_eq!(contacts(&location, later(60)), ["sip:a@h"]);
}

#[test]
fn a_shorter_expiry_moves_the_agenda_forward_and_keeps_one_entry() {
    let mut location = location();
    for (cseq, seconds) in (1..).zip((60..3600).rev().step_by(10)) {
        apply(&mut location, START, &update(&[wish("sip:a@h", seconds)], cseq)).unwrap();
        assert_eq!(location.agenda.len(), 1, "one ordered entry per address of record");
        assert_eq!(location.next_expiry(), Some(later(seconds)));
    }
}

#[test]
fn the_sweep_works_in_portions() {
    let mut location = location();
    for n in 0..10 {
        let aor = format!("u{n}@example.com");
        location
            .update(
                START,
                hash(&aor),
                &aor,
                &update(&[wish("sip:a@h", 60)], 1),
                |a, b| a == b,
                |_| (),
            )
            .unwrap();
    }
    let mut changed = Changed::default();
    assert!(location.expire(later(60), 4, false, &mut changed), "more is waiting");
    assert_eq!(changed.events.len(), 4);
    location.expire(later(60), 100, false, &mut changed);
    assert_eq!(changed.events.len(), 10);
}

#[test]
fn undo_of_an_addition() {
    let mut location = location();
    let changed = apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    location.undo(START, hash(AOR), AOR, changed.undo);
    assert_eq!(location.counts(), Counts::default());
    assert!(location.agenda.is_empty());
}

#[test]
fn undo_of_a_refresh_and_of_a_removal() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@h", 60), wish("sip:b@h", 60)], 1)).unwrap();
    let before = location.rows(START);
    let both = [wish("sip:a@h", 3600), wish("sip:b@h", 0)];
    let changed = apply(&mut location, later(1), &update(&both, 2)).unwrap();
    assert_eq!(contacts(&location, later(1)), ["sip:a@h"]);
    location.undo(later(2), hash(AOR), AOR, changed.undo);
    assert_eq!(location.rows(START), before);
    assert_eq!(location.next_expiry(), Some(later(60)));
}

#[test]
fn undo_does_not_touch_what_is_newer() {
    let mut location = location();
    let first = apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    apply(&mut location, later(1), &update(&[wish("sip:a@h", 600)], 2)).unwrap();
    location.undo(later(2), hash(AOR), AOR, first.undo);
    assert_eq!(stored(&location)[0].cseq(), 2);

    let retransmitted =
        apply(&mut location, later(3), &update(&[wish("sip:a@h", 600)], 3)).unwrap();
    apply(&mut location, later(4), &update(&[wish("sip:a@h", 600)], 3)).unwrap();
    location.undo(later(5), hash(AOR), AOR, retransmitted.undo);
    assert_eq!(stored(&location)[0].cseq(), 3, "the retransmission's own write stands");
}

#[test]
fn a_new_spelling_of_the_contact_replaces_the_row() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@HOST", 60)], 1)).unwrap();
    let newer = [wish("sip:a@host", 60)];
    let spelled = update(&newer, 2);
    let changed = location
        .update(START, hash(AOR), AOR, &spelled, |a, b| a.eq_ignore_ascii_case(b), |_| ())
        .unwrap()
        .0;
    let [BindingWrite::Remove { contact, .. }, BindingWrite::Put(row)] = &changed.writes[..] else {
        panic!("{:?}", changed.writes)
    };
    assert_eq!((&**contact, &*row.contact), ("sip:a@HOST", "sip:a@host"));
    assert_eq!(location.counts().bindings, 1);
}

#[test]
fn load_takes_the_living_and_bounds_them() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    let row = location.rows(START).remove(0);
    let mut restarted = self::location();
    assert!(!restarted.load(later(60), hash(AOR), &row, HOUR), "over");
    assert!(restarted.load(later(30), hash(AOR), &row, HOUR));
    assert_eq!(restarted.rows(later(30)), std::slice::from_ref(&row));
    assert_eq!(restarted.next_expiry(), Some(later(60)));
    let wrong_clock = BindingRow { expires_at: later(10 * 365 * 86400), ..row };
    let mut restarted = self::location();
    assert!(restarted.load(START, hash(AOR), &wrong_clock, HOUR));
    assert!(restarted.lookup(later(3601), hash(AOR), AOR).is_none());
}

#[test]
fn the_operator_removes_one_or_all() {
    let mut location = location();
    let three = [wish("sip:a@h", 60), wish("sip:b@h", 60), wish("sip:c@h", 60)];
    apply(&mut location, START, &update(&three, 1)).unwrap();
    let one = location.remove(hash(AOR), AOR, Some("sip:b@h"), true);
    assert!(matches!(&one.events[..], [Event::BindingRemoved { why: Removal::Command, .. }]));
    assert_eq!(contacts(&location, START), ["sip:a@h", "sip:c@h"]);
    assert_eq!(location.remove(hash(AOR), AOR, None, true).writes.len(), 2);
    assert_eq!(location.counts(), Counts::default());
}

/// R-13 at this level: nothing here but `Instant`, so a wall clock that jumps cannot end or prolong a binding. What
/// is left to prove is that an hour of one-second steps ends each binding on its second.
#[test]
fn r_13_clock_jump_expiry_follows_the_monotonic_clock_only() {
    let mut location = location();
    for n in 0..60_u64 {
        let aor = format!("u{n}@example.com");
        let expires = [wish("sip:a@h", 60 + n)];
        location
            .update(START, hash(&aor), &aor, &update(&expires, 1), |a, b| a == b, |_| ())
            .unwrap();
    }
    let mut changed = Changed::default();
    for second in 1..=120 {
        location.expire(later(second), 100, false, &mut changed);
        let expected = second.saturating_sub(59).min(60);
        assert_eq!(changed.events.len() as u64, expected, "after {second} s");
    }
}

#[test]
fn a_lookup_outlives_the_change_that_follows() {
    let mut location = location();
    apply(&mut location, START, &update(&[wish("sip:a@h", 60)], 1)).unwrap();
    let found = location.lookup(START, hash(AOR), AOR).unwrap();
    apply(&mut location, START, &update(&[wish("sip:a@h", 0)], 2)).unwrap();
    assert_eq!(found.iter().count(), 1);
}
