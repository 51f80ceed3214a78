//! Room "limit": a source that has proved nothing gets a small budget, and silence above it: an answer would make us
//! the amplifier of whoever forged its address. It never bans: an address is not evidence.

use crate::flow::Flow;
use crate::output::Event;
use crate::source::Admission;
use crate::turn::Turn;

/// The counter of what was dropped here.
const NAME: &str = "unverified_source";

/// Whether one more request from here is heard.
pub fn admits(turn: &mut Turn<'_>, flow: &Flow) -> bool {
    let trusted = &turn.config.limits.trusted;
    if turn.shared.sources.admit(turn.now, flow, trusted) != Admission::Over {
        return true;
    }
    turn.out.events.push(Event::LimitHit { limit: NAME, flow: Some(*flow) });
    false
}
