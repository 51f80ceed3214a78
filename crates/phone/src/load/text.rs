//! The result of a run for a person. It only arranges what was measured.

use std::fmt::Write as _;

use super::histogram::Histogram;
use super::plan::{Pace, Scenario};
use super::report::{Report, millis};
use super::tally::Tally;

impl Report {
    /// A few lines.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let whole = &self.tally.whole;
        let unit = match self.scenario {
            Scenario::Call => "calls",
            Scenario::Message => "messages",
            Scenario::Options => "requests",
            Scenario::Register | Scenario::ReRegister | Scenario::RegisterStorm => "registrations",
        };
        let _ = writeln!(
            out,
            "{unit} {}   ok {}   failed {}   retransmissions {}   unexpected {}",
            grouped(whole.started),
            grouped(whole.ok),
            grouped(whole.failed),
            grouped(whole.retransmissions),
            grouped(whole.unexpected)
        );
        let unended = whole.started - whole.finished();
        if unended > 0 {
            let _ = writeln!(out, "not ended {}", grouped(unended));
        }
        if whole.failed > 0 || self.tally.send_errors > 0 {
            let _ = writeln!(out, "failures  {}", reasons(&self.tally));
        }
        let _ = writeln!(out, "set-up ms {}", line(&whole.setup));
        if whole.dial.count() > 0 {
            let _ = writeln!(out, "post-dial {}", line(&whole.dial));
        }
        if whole.pass.count() > 0 {
            let _ = writeln!(out, "through   {}", line(&whole.pass));
        }
        self.push_sound(&mut out);
        self.push_storm(&mut out);
        if let Some(knee) = &self.knee {
            let _ = writeln!(out, "{}", knee.sentence());
        }
        self.push_costs(&mut out);
        out
    }

    fn push_sound(&self, out: &mut String) {
        let sound = &self.tally.whole.sound;
        if !self.sound {
            return;
        }
        let _ = write!(
            out,
            "rtp       sent {}  received {}  lost {} ({:.2} %)  worst call {:.2} %  jitter p50 {:.2} max {:.2} ms",
            grouped(sound.sent),
            grouped(sound.received),
            grouped(sound.lost),
            sound.loss() * 100.0,
            sound.worst * 100.0,
            millis(sound.jitter.quantile(500)),
            millis(sound.jitter.max()),
        );
        if sound.silent > 0 {
            let _ = write!(out, "  {} STREAMS SILENT", grouped(sound.silent));
        }
        out.push('\n');
    }

    fn push_storm(&self, out: &mut String) {
        let Some(storm) = self.storm else { return };
        let seconds = storm.time.as_secs_f64();
        let back = match storm.missing() {
            0 => format!("all {} back after {seconds:.2} s", grouped(storm.users.into())),
            missing => format!(
                "{} of {} back after {seconds:.2} s, {} NOT BACK",
                grouped(storm.back.into()),
                grouped(storm.users.into()),
                grouped(missing.into())
            ),
        };
        let _ = writeln!(out, "storm     {back}; peak {:.0}/s", storm.peak);
    }

    fn push_costs(&self, out: &mut String) {
        if let Some(server) = self.server {
            let _ = writeln!(
                out,
                "server    {:.1} us CPU each, {:.0} % of a core, {:.1} MB (peak {:.1} MB)",
                server.micros_per_unit,
                server.cpu_share * 100.0,
                server.memory as f64 / 1e6,
                self.memory_peak.unwrap_or(server.memory).max(server.memory) as f64 / 1e6,
            );
        }
        let asked = match (self.pace, self.asked) {
            (Pace::Window(window), _) => format!("a window of {window}"),
            (Pace::Ramp(ramp), _) => format!("{:.1} to {:.1}/s asked", ramp.from, ramp.to),
            (Pace::Rate(rate), asked) => format!("{:.1}/s asked", asked.unwrap_or(rate)),
            (Pace::Refresh(_), asked) => format!("{:.1}/s asked", asked.unwrap_or_default()),
        };
        let verdict = if self.crowded {
            "EVERYBODY WAS BUSY: take more --users or a larger --active-max to begin more"
        } else if self.sender_limited {
            "THE SENDER WAS THE LIMIT: the server can do more"
        } else {
            "so the sender was not the limit"
        };
        if self.drops > 0 {
            let _ = writeln!(out, "our own sockets lost {} datagrams", grouped(self.drops));
        }
        let cpu = self.sender_cpu * 100.0;
        let rate = self.rate;
        let _ = writeln!(out, "achieved {rate:.1}/s of {asked}; sender CPU {cpu:.0} %, {verdict}");
    }
}

/// Why units failed.
pub fn reasons(tally: &Tally) -> String {
    let mut text = String::new();
    for (failure, count) in &tally.failures {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let _ = write!(text, "{} x {failure}", grouped(*count));
    }
    if let Some(error) = &tally.send_error {
        let _ = write!(text, " (sending failed: {error})");
    }
    text
}

/// `12 345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn line(h: &Histogram) -> String {
    format!(
        "min {:.2}  p50 {:.2}  p90 {:.2}  p99 {:.2}  max {:.2}",
        millis(h.min()),
        millis(h.quantile(500)),
        millis(h.quantile(900)),
        millis(h.quantile(990)),
        millis(h.max())
    )
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 999, 1_000, 12_345, 1_234_567];
        let texts: Vec<String> = numbers.into_iter().map(grouped).collect();
        assert_eq!(texts, ["0", "999", "1 000", "12 345", "1 234 567"]);
    }
}
