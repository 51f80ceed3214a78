//! Retransmission times, to the microsecond: RFC 3261 §17.1.1.2 (Timers A, B), §17.1.2.2 (E, F), §17.2.1 (G, H).
//! Loss changes how many there are, never when they are sent.

use sip_core::output::Event;
use sip_core::time::{Duration, Instant};

use super::hop::first_sent;
use super::{View, is_ping, key, registered_between};
use crate::wire::Wire;
use crate::world::GIVE_UP;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// Requests of our client transactions.
pub(super) fn requests(view: &View<'_>, wrong: &mut Vec<String>) {
    let mut methods: Vec<&str> = view
        .sent
        .iter()
        .filter(|w| w.message.is_request() && w.message.method != "ACK")
        .map(|w| w.message.method.as_str())
        .collect();
    methods.sort_unstable();
    methods.dedup();
    for method in methods {
        for first in first_sent(view, method) {
            let copies: Vec<&Wire> = view
                .sent
                .iter()
                .filter(|w| {
                    let same = w.message.method == method && w.message.is_request();
                    same && w.message.branch == first.message.branch && w.from == first.from
                })
                .copied()
                .collect();
            // A stream that was gone: once more, by the way the Contact names (RFC 3261 §18.1.1, RFC 5626 §5.3).
            if let [gone, second] = copies[..]
                && gone.reliable
                && second.reliable
                && gone.arrivals.is_empty()
            {
                continue;
            }
            // A stream that was refused to a large request: as a datagram, as if it had never been anything else (§18.1.1).
            let (first, copies) = match &copies[..] {
                [gone, second, ..]
                    if gone.reliable && gone.arrivals.is_empty() && !second.reliable =>
                {
                    (*second, copies.get(1..).unwrap_or_default())
                }
                all => (first, all),
            };
            let times: Vec<Instant> = copies.iter().map(|w| w.sent).collect();
            let expected = expected_requests(view, first);
            if times != expected {
                wrong.push(format!(
                    "{method} was sent at {}, RFC 3261 wants {} (call {})",
                    list(view, &times),
                    list(view, &expected),
                    first.message.call_id
                ));
            }
        }
    }
}

fn expected_requests(view: &View<'_>, first: &Wire) -> Vec<Instant> {
    let m = &first.message;
    let mut times = vec![first.sent];
    // A ping to a phone behind a NAT is repeated by the next ping.
    if first.reliable || is_ping(m) {
        return times;
    }
    let invite = m.method == "INVITE";
    let heard = |low: u16, high: u16| {
        view.responses(first.from, &m.branch, &m.method)
            .filter(|(_, w)| (low..high).contains(&w.message.status) && Some(w.from) == first.to)
            .map(|(at, _)| *at)
            .min()
    };
    let provisional = heard(100, 200).unwrap_or(Instant::FAR);
    let last = heard(200, 700).unwrap_or(Instant::FAR).min(given_up(view, first));
    let (mut at, mut gap) = (first.sent + T1, T1);
    while at < first.sent + GIVE_UP && at < last && at <= view.end {
        if invite && at > provisional {
            break;
        }
        // A response that arrives in the very microsecond of the timer: arrivals go first.
        if invite && at == provisional {
            break;
        }
        times.push(at);
        gap = match () {
            () if invite => gap * 2,
            () if at >= provisional => T2,
            () => (gap * 2).min(T2),
        };
        at = at + gap;
    }
    times
}

/// When the server has told that it could not be sent (RFC 3261 §18.4), or that somebody else is tried (RFC 3263 §4.3).
fn given_up(view: &View<'_>, first: &Wire) -> Instant {
    if first.message.method == "OPTIONS" && first.message.vias.len() == 1 {
        // A probe of ours is given up when its time is over; what was sent until then is at the right times.
        let sent = view.sent.iter().filter(|w| w.message.cseq == first.message.cseq);
        return sent.map(|w| w.sent + T1 / 1000).max().unwrap_or(Instant::FAR);
    }
    let events = view.world.servers().iter().flat_map(|s| &s.events);
    let times = events.filter_map(|(at, event)| match event {
        Event::FailedOver { call_id, from, .. }
        | Event::SendFailed { call_id, flow: from }
        | Event::GatewayFailed { call_id, flow: from, .. } => {
            let is_it = **call_id == *first.message.call_id && *at >= first.sent;
            (is_it && view.world.place_of(from.remote) == first.to).then_some(*at)
        }
        _ => None,
    });
    times.min().unwrap_or(Instant::FAR)
}

/// Non-2xx final responses of INVITE server transactions over UDP.
pub(super) fn finals(view: &View<'_>, wrong: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    for first in &view.sent {
        let m = &first.message;
        if m.status < 300 || m.method != "INVITE" || first.reliable {
            continue;
        }
        let name = format!("{:?}{}{}", first.from, key(m), m.to_tag);
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let times: Vec<Instant> = view
            .sent
            .iter()
            .filter(|w| w.from == first.from && key(&w.message) == key(m))
            .filter(|w| w.message.method == "INVITE" && w.message.status >= 300)
            .map(|w| w.sent)
            .collect();
        if registered_between(view, times.iter().copied()) {
            continue;
        }
        let arrivals = |method: &str| -> Vec<Instant> {
            view.arrived
                .iter()
                .filter(|(_, w)| w.to == Some(first.from) && w.message.method == method)
                .filter(|(_, w)| w.message.is_request() && key(&w.message) == key(m))
                .map(|(at, _)| *at)
                .collect()
        };
        let (invites, acks) = (arrivals("INVITE"), arrivals("ACK"));
        let forwarded = view.sent.iter().any(|w| {
            let f = &w.message;
            f.is_request()
                && f.method == "INVITE"
                && f.call_id == m.call_id
                && f.cseq == m.cseq
                && w.from == first.from
        });
        // A stateless refusal repeats exactly when its request does; a user agent makes none.
        let is_kept = forwarded || has_tried(view, first) || view.world.is_softphone(first.from);
        let plan = if is_kept { schedule(first.sent, &acks, view.end) } else { Vec::new() };
        for at in &times {
            if !plan.contains(at) && !invites.contains(at) && *at != first.sent {
                wrong.push(format!(
                    "{} repeated at {}, for no reason (call {})",
                    m.label(),
                    view.time(*at),
                    m.call_id
                ));
            }
        }
        // RFC 3261 §17.2.1: in Completed a repeated INVITE gets the response again, at once.
        let acked = acks.iter().filter(|at| **at >= first.sent).min().copied();
        let until = acked.unwrap_or(Instant::FAR).min(first.sent + GIVE_UP);
        let asked = invites.iter().filter(|at| **at > first.sent && **at < until);
        let owed: Vec<Instant> = plan.iter().chain(asked).copied().collect();
        for at in &owed {
            if !times.contains(at) {
                wrong.push(format!(
                    "{} was not repeated at {} (call {})",
                    m.label(),
                    view.time(*at),
                    m.call_id
                ));
            }
        }
    }
}

/// Whoever has said 100 keeps a transaction, also when it finds nobody to forward to.
fn has_tried(view: &View<'_>, last: &Wire) -> bool {
    let is_trying = |w: &&Wire| w.from == last.from && w.message.status == 100;
    view.sent.iter().copied().filter(is_trying).any(|w| key(&w.message) == key(&last.message))
}

/// Timer G from the first response until the ACK or Timer H.
fn schedule(first: Instant, acks: &[Instant], end: Instant) -> Vec<Instant> {
    let acked = acks.iter().filter(|at| **at >= first).min().copied().unwrap_or(Instant::FAR);
    let mut times = Vec::new();
    let (mut at, mut gap) = (first + T1, T1);
    while at < first + GIVE_UP && at < acked && at <= end {
        times.push(at);
        gap = (gap * 2).min(T2);
        at = at + gap;
    }
    times
}

fn list(view: &View<'_>, times: &[Instant]) -> String {
    let words: Vec<String> = times.iter().map(|at| view.time(*at)).collect();
    words.join(" ")
}
