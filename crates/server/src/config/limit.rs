//! `limits.per_source` and `auth.ban`: how much a stranger may ask, and who is kept out for how long.

use std::time::Duration;

use sip_core::config::{Ban, SourceRate};

use super::file::{At, Written};
use super::meaning::{HOUR, read_network, read_period, wrong};
use super::mistake::Mistake;

const RATE_MAX: u32 = 100_000;
const BURST_MAX: u64 = 1_000_000;

/// `{ requests = "20/s", burst = 60 }`.
pub fn per_source(written: &mut Written<'_>) -> SourceRate {
    let mut rate = SourceRate::default();
    let wanted = "a table such as { requests = \"20/s\", burst = 60 }";
    let Some(part) = written.part("limits", "per_source", &["requests", "burst"], wanted) else {
        return rate;
    };
    if let Some(at) = written.part_text(&part, "requests", "a rate such as \"20/s\"") {
        match per_second(&at.value) {
            Some(requests) => {
                rate.per_second = requests;
                rate.burst = requests.saturating_mul(3);
            }
            None => {
                let message = format!("`limits.per_source.requests` cannot be `{}`", at.value);
                let label = format!("a number and `/s`, as in \"20/s\"; 1/s to {RATE_MAX}/s");
                wrong(written, "bad-rate", message, &at, &label);
            }
        }
    }
    if let Some(at) = written.part_number(&part, "burst") {
        match u32::try_from(at.value) {
            Ok(burst) if (1..=BURST_MAX).contains(&at.value) => rate.burst = burst,
            _ => {
                let message = format!("`limits.per_source.burst` cannot be {}", at.value);
                let label = format!("1 to {BURST_MAX}");
                written
                    .mistakes
                    .push(Mistake::error("out-of-range", message).at(at.span).label(label));
            }
        }
    }
    rate
}

/// `20/s`.
pub fn per_second(text: &str) -> Option<u32> {
    let requests = text.strip_suffix("/s")?.trim().parse().ok()?;
    (1..=RATE_MAX).contains(&requests).then_some(requests)
}

/// `{ after = 20, within = "1m", for = "1h", never = ["192.168.0.0/16"] }`; `None` is nobody is ever banned.
pub fn ban(written: &mut Written<'_>) -> Ban {
    let mut ban = Ban::default();
    let wanted = "a table such as { after = 20, within = \"1m\", for = \"1h\" }";
    let keys = ["after", "within", "for", "never"];
    let Some(part) = written.part("auth", "ban", &keys, wanted) else { return ban };
    if let Some(at) = written.part_number(&part, "after") {
        match u32::try_from(at.value) {
            Ok(after @ 0..=10_000) => ban.after = after,
            _ => {
                let message = format!("`auth.ban.after` cannot be {}", at.value);
                let mistake = Mistake::error("out-of-range", message).at(at.span);
                written.mistakes.push(mistake.label("1 to 10000 wrong answers; 0 bans nobody"));
            }
        }
    }
    let mut span = |key: &str, range| {
        let at: At<String> = written.part_text(&part, key, "a duration such as \"1m\"")?;
        read_period(written, &format!("auth.ban.{key}"), &at, range)
    };
    if let Some(within) = span("within", Duration::from_secs(1)..=HOUR) {
        ban.within = within;
    }
    if let Some(lasts) = span("for", Duration::from_secs(1)..=30 * 24 * HOUR) {
        ban.lasts = lasts;
    }
    for at in written.part_texts(&part, "never").unwrap_or_default() {
        ban.never.extend(read_network(written, &at));
    }
    ban
}
