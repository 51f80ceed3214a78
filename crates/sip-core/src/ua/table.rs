//! Prints a machine as a table: one line per state and event. Tests only.

use core::fmt::{Debug, Write as _};

pub fn of<S: Debug + Copy + PartialEq, E: Debug + Copy, A: Debug>(
    states: &[S],
    events: &[E],
    step: impl Fn(S, E) -> (S, Vec<A>),
) -> String {
    let width = |words: Vec<String>| words.iter().map(String::len).max().unwrap_or(0);
    let state_width = width(states.iter().map(|s| format!("{s:?}")).collect());
    let event_width = width(events.iter().map(|e| format!("{e:?}")).collect());
    let mut text = String::new();
    for &state in states {
        for &event in events {
            let (next, actions) = step(state, event);
            let (name, heard) = (format!("{state:?}"), format!("{event:?}"));
            write!(text, "{name:<state_width$}  {heard:<event_width$}").unwrap();
            if actions.is_empty() && next == state {
                text.push_str("  .\n");
            } else {
                let next = format!("{next:?}");
                writeln!(text, "  -> {next:<state_width$}  {actions:?}").unwrap();
            }
        }
    }
    text
}
