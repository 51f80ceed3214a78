//! Hop by hop duties: ACK to every non-2xx, CANCEL only after a provisional, and what forwarding may change.

use super::{View, is_ping, key};
use crate::wire::Wire;
use crate::world::GIVE_UP;

/// RFC 3261 §17.1.1.3: each non-2xx final response that reaches a living client transaction is ACKed to where the
/// INVITE went, on the INVITE's branch, every time it arrives.
pub(super) fn acks(view: &View<'_>, wrong: &mut Vec<String>) {
    for invite in first_sent(view, "INVITE") {
        let branch = &invite.message.branch;
        let finals: Vec<_> = view
            .responses(invite.from, branch, "INVITE")
            .filter(|(_, w)| w.message.status >= 300 && Some(w.from) == invite.to)
            .collect();
        let Some((first, response)) = finals.first() else { continue };
        // Timer B: too late, the transaction is gone (RFC 3261 §17.1.1.2).
        let proceeding = view
            .responses(invite.from, branch, "INVITE")
            .any(|(at, w)| w.message.status < 200 && at <= first);
        let answered = view
            .responses(invite.from, branch, "INVITE")
            .any(|(at, w)| (200..300).contains(&w.message.status) && at <= first);
        let cancelled = view.sent.iter().any(|w| {
            w.message.method == "CANCEL"
                && w.message.branch == *branch
                && w.sent + GIVE_UP <= *first
        });
        if answered || cancelled || (!proceeding && *first >= invite.sent + GIVE_UP) {
            continue;
        }
        let expected = finals
            .iter()
            .filter(|(at, w)| *at < *first + GIVE_UP && w.message.to_tag == response.message.to_tag)
            .count();
        // Timer D is zero on a stream: a second final response finds nobody.
        let expected = if invite.reliable { 1 } else { expected };
        let acks = view.sent.iter().filter(|w| {
            w.message.method == "ACK" && w.message.branch == *branch && w.from == invite.from
        });
        let acks: Vec<_> = acks.collect();
        if acks.len() < expected {
            wrong.push(format!(
                "{} arrived {expected} times and was ACKed {} times (call {})",
                response.message.label(),
                acks.len(),
                response.message.call_id
            ));
        }
        if acks.iter().any(|w| w.to != invite.to) {
            wrong.push(format!(
                "an ACK went elsewhere than its INVITE (call {})",
                response.message.call_id
            ));
        }
    }
}

/// RFC 3261 §9.1: CANCEL goes where its INVITE went, after a provisional and before a final response.
pub(super) fn cancels(view: &View<'_>, wrong: &mut Vec<String>) {
    for cancel in first_sent(view, "CANCEL") {
        let m = &cancel.message;
        let heard = |low: u16, high: u16| {
            view.responses(cancel.from, &m.branch, "INVITE")
                .any(|(at, w)| *at <= cancel.sent && (low..high).contains(&w.message.status))
        };
        if !heard(100, 200) {
            wrong.push(format!(
                "CANCEL at {} before any provisional (call {})",
                view.time(cancel.sent),
                m.call_id
            ));
        }
        let finished = view
            .responses(cancel.from, &m.branch, "INVITE")
            .any(|(at, w)| *at < cancel.sent && w.message.status >= 200);
        if finished {
            wrong.push(format!(
                "CANCEL at {} after the final response (call {})",
                view.time(cancel.sent),
                m.call_id
            ));
        }
        let invite =
            view.sent.iter().find(|w| w.message.method == "INVITE" && w.message.branch == m.branch);
        if invite
            .is_none_or(|i| i.to != cancel.to || i.message.uri != m.uri || i.message.cseq != m.cseq)
        {
            wrong.push(format!("CANCEL does not resemble its INVITE (call {})", m.call_id));
        }
    }
}

/// RFC 3261 §16.6 and §16.7: one hop fewer, the body untouched, our Via on top and off again, no 100 passed on.
pub(super) fn forwarded(view: &View<'_>, wrong: &mut Vec<String>) {
    for w in &view.sent {
        let m = &w.message;
        let own = view.world.servers().iter().find(|s| s.place == w.from);
        let Some(own) = own.map(|s| [s.address.to_string(), s.address_6.to_string()]) else {
            continue;
        };
        if w.to.is_none() {
            wrong.push(format!("{} was sent to nobody (call {})", m.label(), m.call_id));
        }
        if !m.is_request() {
            if own.contains(&m.sent_by) && w.to != Some(w.from) {
                wrong.push(format!(
                    "{} left with our own Via on top (call {})",
                    m.label(),
                    m.call_id
                ));
            }
            if m.method == "ACK" {
                wrong.push(format!("a response to an ACK (call {})", m.call_id));
            }
            continue;
        }
        if !own.contains(&m.sent_by) {
            wrong.push(format!("{} left without our Via on top (call {})", m.method, m.call_id));
        }
        // CANCEL is hop by hop, and so is the ACK of a failure; gateways are asked with OPTIONS of our own.
        let is_first = m.vias.len() == 1;
        let own_making = m.method == "CANCEL"
            || is_ping(m)
            || (is_first && matches!(m.method.as_str(), "ACK" | "OPTIONS" | "REGISTER"));
        let source = view.arrived.iter().rev().find(|(at, a)| {
            let r = &a.message;
            *at <= w.sent
                && a.to == Some(w.from)
                && r.is_request()
                && (&r.method, &r.call_id, r.cseq) == (&m.method, &m.call_id, m.cseq)
                && r.vias.len() + 1 == m.vias.len()
        });
        match source {
            _ if own_making => {}
            None => wrong
                .push(format!("{} was sent that nobody sent us (call {})", m.method, m.call_id)),
            Some((_, source)) => {
                let hops = source.message.max_forwards.map_or(70, |h| h.saturating_sub(1));
                if m.max_forwards != Some(hops) {
                    wrong.push(format!(
                        "Max-Forwards {:?}, not {hops} (call {})",
                        m.max_forwards, m.call_id
                    ));
                }
                if body(source) != body(w) {
                    wrong.push(format!("the body changed on its way (call {})", m.call_id));
                }
            }
        }
    }
}

fn body(wire: &Wire) -> &[u8] {
    let text = &wire.bytes;
    text.windows(4).position(|w| w == b"\r\n\r\n").map_or(&[], |at| &text[at + 4..])
}

/// The first copy of every client transaction of this method.
pub(super) fn first_sent<'a>(view: &View<'a>, method: &str) -> Vec<&'a Wire> {
    let mut seen: Vec<String> = Vec::new();
    let mut first = Vec::new();
    for w in view.sent.iter().filter(|w| w.message.is_request() && w.message.method == method) {
        let name = format!("{:?}{}", w.from, key(&w.message));
        if !seen.contains(&name) {
            seen.push(name);
            first.push(*w);
        }
    }
    first
}
