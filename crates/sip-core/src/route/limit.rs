//! Room "limit": a source that has proved nothing gets a small budget, and silence above it: an answer would make us
//! the amplifier of whoever forged its address. It never bans: an address is not evidence.

use crate::flow::Flow;
use crate::source::Admission;
use crate::turn::Turn;

/// Whether one more request from here is heard.
pub fn admits(turn: &Turn<'_>, flow: &Flow) -> bool {
    let trusted = &turn.config.limits.trusted;
    turn.shared.sources.admit(turn.now, flow, trusted) != Admission::Over
}
