//! Draws a trace as a call flow: a column per party, a line per message, time in seconds since the start.
//!
//! `x` at the end of an arrow: lost. `again`: the same bytes once more. `sdp`: it carries a body. `tcp`: over a
//! stream. `twice`: the network doubled it.

use std::fmt::Write as _;

use sip_core::time::Instant;

use crate::network::PlaceId;
use crate::wire::Wire;

/// Columns between two bars.
const GAP: usize = 20;
/// Column of the first bar.
const LEFT: usize = 12;
/// Room for the last name, right of the last bar.
const NAME: usize = 8;

/// `parties` from left to right; those who said and heard nothing get no column.
pub fn draw(parties: &[(PlaceId, &str)], wires: &[Wire], start: Instant) -> String {
    let present = |p: PlaceId| wires.iter().any(|w| w.from == p || w.to == Some(p));
    let parties: Vec<&(PlaceId, &str)> = parties.iter().filter(|(p, _)| present(*p)).collect();
    let columns: Vec<PlaceId> = parties.iter().map(|(p, _)| *p).collect();
    let mut text = String::new();
    let mut head = vec![b' '; LEFT + GAP * columns.len().saturating_sub(1) + NAME];
    for (place, (_, name)) in parties.iter().enumerate() {
        let middle = LEFT + place * GAP;
        put(&mut head, middle.saturating_sub(name.len() / 2), name.as_bytes());
    }
    push_line(&mut text, &head);
    let calls = calls(wires);
    for wire in wires {
        let mut line = line(&columns, wire, start);
        if calls.len() > 1 {
            let number = calls.iter().position(|c| *c == wire.message.call_id).map_or(0, |n| n + 1);
            let _ = write!(line, "  call {number}");
        }
        push_line(&mut text, line.as_bytes());
    }
    text
}

/// Call-IDs in order of appearance.
fn calls(wires: &[Wire]) -> Vec<&str> {
    let mut calls: Vec<&str> = Vec::new();
    for wire in wires {
        if !calls.contains(&&*wire.message.call_id) {
            calls.push(&wire.message.call_id);
        }
    }
    calls
}

fn line(columns: &[PlaceId], wire: &Wire, start: Instant) -> String {
    let mut row = vec![b' '; LEFT + GAP * columns.len().saturating_sub(1) + NAME];
    let millis = wire.sent.since(start).as_millis();
    put(&mut row, 0, format!("{:>5}.{:03}", millis / 1000, millis % 1000).as_bytes());
    let bar = |place: PlaceId| columns.iter().position(|c| *c == place).map(|n| LEFT + n * GAP);
    for n in 0..columns.len() {
        put(&mut row, LEFT + n * GAP, b"|");
    }
    let from = bar(wire.from).unwrap_or(LEFT);
    let to = wire.to.and_then(bar).unwrap_or(from + GAP * 3 / 4);
    let lost = wire.arrivals.is_empty();
    let (low, high) = (from.min(to), from.max(to));
    if low == high {
        put(&mut row, low + 1, format!("<-{}-", wire.message.label()).as_bytes());
    } else {
        arrow(&mut row, (low, high), to > from, lost, &wire.message.label());
    }
    let mut text = String::from_utf8_lossy(&row).trim_end().to_owned();
    text.push_str("  ");
    for (present, note) in [
        (wire.message.has_body && wire.message.method != "MESSAGE", " sdp"),
        (wire.reliable, " tcp"),
        (wire.again, " again"),
        (wire.arrivals.len() > 1, " twice"),
        (wire.to.is_none(), " to nobody"),
    ] {
        if present {
            text.push_str(note);
        }
    }
    text
}

fn arrow(row: &mut [u8], (low, high): (usize, usize), right: bool, lost: bool, label: &str) {
    for at in low + 1..high {
        put(row, at, b"-");
    }
    let room = high - low - 1;
    put(row, low + 1 + room.saturating_sub(label.len()) / 2, label.as_bytes());
    if right {
        put(row, high - 1, if lost { b"x" } else { b">" });
    } else {
        put(row, low + 1, if lost { b"x" } else { b"<" });
    }
}

fn put(row: &mut [u8], at: usize, text: &[u8]) {
    for (cell, byte) in row.iter_mut().skip(at).zip(text) {
        *cell = *byte;
    }
}

fn push_line(text: &mut String, line: &[u8]) {
    text.push_str(String::from_utf8_lossy(line).trim_end());
    text.push('\n');
}
