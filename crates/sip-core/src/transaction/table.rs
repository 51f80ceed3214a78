//! Prints a machine as a table: one line per state and event. The snapshots of these tables are the review of the
//! machines. Tests only.

use core::fmt::{Debug, Write as _};

use crate::timer::Doubling;

#[derive(Default)]
pub struct Table {
    text: String,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn section(&mut self, reliable: bool) {
        let name = if reliable { "reliable transport" } else { "unreliable transport" };
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        writeln!(self.text, "{name}").unwrap();
    }

    pub fn row<A: Debug>(
        &mut self,
        state: impl Debug,
        event: impl Debug,
        next: impl Debug,
        actions: &[A],
        doubling: Doubling,
    ) {
        let actions: Vec<String> = actions.iter().map(|a| spelled(a, doubling)).collect();
        let state = format!("{state:?}").replace('"', "");
        let event = format!("{event:?}").replace('"', "");
        let next = format!("{next:?}");
        let line = if actions.is_empty() && next == state {
            format!("  {state:<10} {event:<16} .")
        } else {
            format!("  {state:<10} {event:<16} -> {next:<10} [{}]", actions.join(", "))
        };
        writeln!(self.text, "{}", line.trim_end()).unwrap();
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `Start(A)` with the interval it is started for.
fn spelled(action: &impl Debug, doubling: Doubling) -> String {
    let action = format!("{action:?}");
    let interval = match action.strip_prefix("Start(").and_then(|a| a.strip_suffix(')')) {
        Some("A" | "E" | "G") => doubling.to_string(),
        Some("I" | "K") => "T4".to_owned(),
        Some(_) => "64*T1".to_owned(),
        None => return action,
    };
    action.replace(')', &format!(" {interval})"))
}
