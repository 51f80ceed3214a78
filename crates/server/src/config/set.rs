//! `[set.NAME]`: how one of several gateways is chosen, what another one is tried for, and how they are asked whether
//! they are there.

use std::time::Duration;

use sip_core::dispatcher::gateway::{Probe, Statuses};
use sip_core::dispatcher::health::Thresholds;
use sip_core::dispatcher::set::{Algorithm, AllDown, Failover};

use super::duration;
use super::file::{At, Written};
use super::gateway::{Span, number};
use super::meaning::{HOUR, read_period};
use super::mistake::{Mistake, nearest};
use super::part::Part;

/// One `[set.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    pub algorithm: Algorithm,
    pub failover: Failover,
    /// Where failover was written, if it was.
    pub failover_at: Span,
    pub all_down: AllDown,
    pub probe: Option<Probe>,
    pub line: u32,
    /// Where the algorithm was written.
    pub algorithm_at: Span,
}

impl Set {
    /// One that is nowhere written down: its gateways name it.
    pub fn unwritten(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            algorithm: Algorithm::default(),
            failover: usual_failover(),
            failover_at: None,
            all_down: AllDown::default(),
            probe: None,
            line: 0,
            algorithm_at: None,
        }
    }
}

/// RFC 3261 §21.5.4 and §16.9: overload, a dead transport; and silence, as long as three retransmissions.
fn usual_failover() -> Failover {
    Failover { on: Statuses::of(&["503", "408"]), silence: Some(Duration::from_secs(4)) }
}

pub fn read(written: &mut Written<'_>) -> Vec<At<Set>> {
    let keys = ["algorithm", "probe", "failover_on", "when_down", "all_down"];
    let mut sets = Vec::new();
    for (name, part) in written.named_parts("set", &keys) {
        let mut set = Set::unwritten(&name);
        set.line = written.line(Some(&part.span));
        if let Some(at) = written.part_text(&part, "algorithm", "a string such as \"weighted\"") {
            set.algorithm_at = at.span.clone();
            set.algorithm = algorithm(written, &at);
        }
        if let Some(texts) = written.part_texts(&part, "failover_on") {
            set.failover_at = texts.first().and_then(|at| at.span.clone());
            set.failover = failover(written, &texts);
        }
        if let Some(at) = written.part_text(&part, "when_down", "\"next\"")
            && at.value != "next"
        {
            let message = format!("`set.{name}.when_down` cannot be `{}`", at.value);
            let mistake = Mistake::error("unknown-word", message).at(at.span);
            written.mistakes.push(mistake.label("next: the one whose share it is then"));
        }
        set.all_down = all_down(written, &part);
        set.probe = probe(written, &part);
        sets.push(At { value: set, span: Some(part.span) });
    }
    sets
}

fn algorithm(written: &mut Written<'_>, at: &At<String>) -> Algorithm {
    Algorithm::from_word(&at.value).unwrap_or_else(|| {
        let words = Algorithm::ALL.map(Algorithm::word);
        let label = match nearest(&at.value, &words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => words.join(", "),
        };
        let message = format!("`{}` is not an algorithm we have", at.value);
        let mistake = Mistake::error("unknown-algorithm", message).at(at.span.clone());
        written.mistakes.push(mistake.label(label));
        Algorithm::default()
    })
}

/// `["503", "5xx", "timeout:2s"]`.
pub fn failover(written: &mut Written<'_>, texts: &[At<String>]) -> Failover {
    let mut failover = Failover::default();
    for at in texts {
        if let Some(time) = at.value.strip_prefix("timeout:") {
            let at = At { value: time.to_owned(), span: at.span.clone() };
            let range = Duration::from_millis(100)..=Duration::from_secs(32);
            failover.silence = read_period(written, "failover_on timeout", &at, range);
        } else if !failover.on.add(&at.value) {
            let message = format!("`{}` is nothing to fail over on", at.value);
            let mistake = Mistake::error("bad-failover", message).at(at.span.clone());
            written.mistakes.push(mistake.label("a status such as 503 or 5xx, or timeout:2s"));
        }
    }
    failover
}

fn all_down<'a>(written: &mut Written<'a>, part: &Part<'a>) -> AllDown {
    let mut all_down = AllDown::default();
    let wanted = "a table such as { answer = 503, retry_after = \"10s\" }";
    let keys = ["answer", "retry_after"];
    let Some(part) = written.inner(part, "all_down", &keys, wanted) else { return all_down };
    if let Some(status) = number(written, &part, "answer", 400..=699) {
        all_down.status = u16::try_from(status).unwrap_or(all_down.status);
    }
    if let Some(at) = written.part_text(&part, "retry_after", "a duration such as \"10s\"")
        && let Some(after) =
            read_period(written, "all_down.retry_after", &at, Duration::ZERO..=HOUR)
    {
        all_down.retry_after = u32::try_from(after.as_secs()).unwrap_or(0);
    }
    all_down
}

fn probe<'a>(written: &mut Written<'a>, part: &Part<'a>) -> Option<Probe> {
    let wanted = "a table such as { every = \"10s\", down_after = 2, up_after = 2 }";
    let keys = ["method", "every", "timeout", "down_after", "up_after", "ok"];
    let part = written.inner(part, "probe", &keys, wanted)?;
    if let Some(at) = written.part_text(&part, "method", "\"OPTIONS\"")
        && at.value != "OPTIONS"
    {
        let message = format!("a probe cannot be a {}", at.value);
        let mistake = Mistake::error("unknown-word", message).at(at.span);
        written.mistakes.push(mistake.label("OPTIONS is the one request that asks for nothing"));
    }
    let mut period = |key: &str, range| {
        let at = written.part_text(&part, key, "a duration such as \"10s\"")?;
        let period = read_period(written, &format!("probe.{key}"), &at, range);
        period.map(|period| (period, at))
    };
    let every = period("every", Duration::from_secs(1)..=HOUR);
    let timeout = period("timeout", Duration::from_millis(100)..=Duration::from_secs(32));
    let every = every.map_or(Duration::from_secs(10), |(every, _)| every);
    if let Some((timeout, at)) = timeout.as_ref().filter(|(timeout, _)| *timeout > every) {
        let (timeout, every) = (duration::text(*timeout), duration::text(every));
        let message = format!("a probe would wait {timeout} and the next is due after {every}");
        let span = at.span.clone();
        written.mistakes.push(Mistake::error("contradiction", message).at(span));
    }
    let timeout = timeout.map_or(every.min(Duration::from_secs(4)), |(timeout, _)| timeout);
    let mut thresholds = Thresholds::default();
    for (key, place) in
        [("down_after", &mut thresholds.down_after), ("up_after", &mut thresholds.up_after)]
    {
        if let Some(count) = number(written, &part, key, 1..=100) {
            *place = count;
        }
    }
    let mut ok = Statuses::default();
    for at in written.part_texts(&part, "ok").unwrap_or_default() {
        if !ok.add(&at.value) {
            let message = format!("`{}` is no status", at.value);
            let mistake = Mistake::error("bad-status", message).at(at.span);
            written.mistakes.push(mistake.label("a status such as 200 or 2xx"));
        }
    }
    if ok.is_empty() {
        // Whoever answers is there; a 404 or 405 says so as well as a 200.
        ok = Statuses::of(&["2xx", "3xx", "4xx", "501", "6xx"]);
    }
    Some(Probe { every, timeout, thresholds, ok })
}
