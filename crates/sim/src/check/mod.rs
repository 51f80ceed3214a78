//! What must hold after every run, whatever the scenario: read from the wire, not from the server's own opinion.
//!
//! One final response per INVITE (RFC 3261 §17.2.1), every non-2xx ACKed hop by hop (§17.1.1.3), no CANCEL before
//! a provisional (§9.1), retransmissions at the RFC's times, nothing remembered 64*T1 after the last message.

mod hop;
mod stateless;
mod timing;

use std::collections::{BTreeMap, HashMap, HashSet};

use sip_core::output::Event;
use sip_core::time::Instant;
use sip_core::ua::Sizes;

use crate::heard::Heard;
use crate::network::PlaceId;
use crate::wire::Wire;
use crate::world::{START, World};

/// Everything that is wrong with a finished run, one line each; empty is good.
pub fn all(world: &World) -> Vec<String> {
    let mut wrong = world.trace.violations.clone();
    for view in View::of_each_call(world) {
        one_final_response(&view, &mut wrong);
        hop::acks(&view, &mut wrong);
        hop::cancels(&view, &mut wrong);
        hop::forwarded(&view, &mut wrong);
        timing::requests(&view, &mut wrong);
        timing::finals(&view, &mut wrong);
    }
    stateless::at_once(world, &mut wrong);
    for lost in unanswered(world) {
        wrong.push(format!("no final response was ever sent to {lost}"));
    }
    for server in world.servers() {
        for left in server.leftovers() {
            wrong.push(format!("something is left 64*T1 after the last message: {left}"));
        }
        for (_, event) in &server.events {
            if let Event::LimitHit { limit, .. } = event {
                wrong.push(format!("limit exceeded: {limit}"));
            }
        }
    }
    for phone in world.phones() {
        let left = phone.agent.borrow().mind.as_ref().map(|mind| mind.sizes()).unwrap_or_default();
        if left != Sizes::default() {
            let name = phone.name();
            wrong.push(format!("something is left 64*T1 after the last message: {name} {left:?}"));
        }
    }
    wrong.retain(|w| !world.allowed.iter().any(|a| w.contains(a)));
    wrong
}

/// One call of the trace, sorted for the checks.
pub(crate) struct View<'a> {
    pub world: &'a World,
    /// Sent by a server with state or a real user agent.
    pub sent: Vec<&'a Wire>,
    /// Arrived at one of these: once per copy.
    pub arrived: Vec<(Instant, &'a Wire)>,
    pub end: Instant,
}

impl<'a> View<'a> {
    /// Everything that is checked happens inside one Call-ID.
    fn of_each_call(world: &'a World) -> Vec<Self> {
        let mut calls: BTreeMap<&str, Self> = BTreeMap::new();
        for w in world.trace.wires.iter().filter(|w| !w.message.broken) {
            let empty = || Self { world, sent: Vec::new(), arrived: Vec::new(), end: world.now };
            let view = calls.entry(&w.message.call_id).or_insert_with(empty);
            if world.is_ours(w.from) {
                view.sent.push(w);
            }
            if w.to.is_some_and(|to| world.is_ours(to)) {
                view.arrived.extend(w.arrivals.iter().map(|at| (*at, w)));
            }
        }
        let mut views: Vec<Self> = calls.into_values().collect();
        for view in &mut views {
            view.arrived.sort_by_key(|(at, _)| *at);
        }
        views
    }

    /// Arrivals at `server` from `peer` that belong to the client transaction `branch`.
    pub fn responses(
        &self,
        server: PlaceId,
        branch: &str,
        method: &str,
    ) -> impl Iterator<Item = &(Instant, &'a Wire)> {
        self.arrived.iter().filter(move |(_, w)| {
            let m = &w.message;
            w.to == Some(server) && m.status != 0 && m.branch == branch && m.method == method
        })
    }

    pub fn time(&self, at: Instant) -> String {
        let since = at.since(START);
        format!("{}.{:06}", since.as_secs(), since.subsec_micros())
    }
}

/// The same for a request and the responses to it, whatever `received` was added on the way.
pub(crate) fn key(message: &Heard) -> String {
    let cookie = message.branch.get(..7).is_some_and(|c| c.eq_ignore_ascii_case("z9hG4bK"));
    if cookie {
        format!("{}|{}", message.branch, message.sent_by)
    } else {
        format!("{}|{}|{}", message.call_id, message.cseq, message.from_tag)
    }
}

/// A keep-alive of a server for a phone behind a NAT: the next one is its repetition.
pub(crate) fn is_ping(message: &Heard) -> bool {
    message.method == "OPTIONS"
        && message.branch.starts_with("z9hG4bKp")
        && message.branch.len() == 64
}

/// INVITEs that arrived at a living server or user agent and have no final response.
pub fn unanswered(world: &World) -> impl Iterator<Item = String> {
    let finals: HashMap<(PlaceId, String), u16> = world
        .trace
        .wires
        .iter()
        .filter(|w| w.message.status >= 200 && w.message.method == "INVITE")
        .map(|w| ((w.from, key(&w.message)), w.message.status))
        .collect();
    let mut seen = HashSet::new();
    world.trace.wires.iter().filter_map(move |w| {
        let server = w.to.filter(|to| world.is_ours(*to))?;
        let dead = world.servers().iter().any(|s| s.place == server && s.dead)
            || world.phones().iter().any(|p| p.place == server && p.agent.borrow().dead);
        let m = &w.message;
        let open = m.is_request() && m.method == "INVITE" && !w.arrivals.is_empty();
        let open = open && seen.insert((server, key(m)));
        (open && !dead && !finals.contains_key(&(server, key(m))))
            .then(|| format!("INVITE {} of call {}", m.uri, m.call_id))
    })
}

fn one_final_response(view: &View<'_>, wrong: &mut Vec<String>) {
    let mut finals: HashMap<(PlaceId, String), Vec<(Instant, &Heard)>> = HashMap::new();
    for w in &view.sent {
        if w.message.status >= 200 && w.message.method == "INVITE" {
            let finals = finals.entry((w.from, key(&w.message))).or_default();
            finals.push((w.sent, &w.message));
        }
    }
    for responses in finals.values() {
        let Some(&(_, first)) = responses.first() else { continue };
        if registered_between(view, responses.iter().map(|(at, _)| *at)) {
            continue;
        }
        for (_, other) in responses {
            let both_good = first.status < 300 && other.status < 300;
            let same = first.status == other.status && first.to_tag == other.to_tag;
            if !both_good && !same {
                wrong.push(format!(
                    "two final responses for one INVITE: {} and {} (call {})",
                    first.status, other.status, first.call_id
                ));
            }
        }
    }
}

/// A refusal is stateless: the INVITE repeated after it is decided again. It meets the same decision, unless just then
/// the callee registered or went away. That price was agreed on; anything else is a fault.
pub(crate) fn registered_between(
    view: &View<'_>,
    mut finals: impl Iterator<Item = Instant>,
) -> bool {
    let Some(first) = finals.next() else { return false };
    let last = finals.last().unwrap_or(first);
    view.world.servers().iter().flat_map(|s| &s.events).any(|(at, event)| {
        matches!(event, Event::BindingAdded { .. } | Event::BindingRemoved { .. })
            && (first..=last).contains(at)
    })
}
