//! The result of a run, for people and as JSON. It only arranges what was measured.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::engine::reasons;
use super::histogram::Histogram;
use super::observe::{self, Usage};
use super::plan::{Pace, Plan};
use super::tally::{Failure, Tally};
use super::timer::Nanos;

/// The measured part of a run, while it is open.
pub(super) struct Window {
    began: Nanos,
    ok: u64,
    finished: u64,
    own_cpu: Duration,
    server: Option<Usage>,
}

/// The measured part of a run.
pub(super) struct Measured {
    time: Duration,
    ok: u64,
    finished: u64,
    own_cpu: Duration,
    server: Option<(Usage, Usage)>,
}

impl Window {
    pub(super) fn open(tally: &mut Tally, now: Nanos, pids: &[u32]) -> Self {
        tally.restart_clocks();
        Self {
            began: now,
            ok: tally.ok,
            finished: tally.finished(),
            own_cpu: observe::own_cpu(),
            server: observe::usage(pids),
        }
    }

    pub(super) fn close(self, tally: &Tally, now: Nanos, pids: &[u32]) -> Measured {
        Measured {
            time: Duration::from_nanos(now.saturating_sub(self.began)),
            ok: tally.ok - self.ok,
            finished: tally.finished() - self.finished,
            own_cpu: observe::own_cpu().saturating_sub(self.own_cpu),
            server: self.server.zip(observe::usage(pids)),
        }
    }
}

/// What the server spent in the measured time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerCost {
    /// CPU microseconds, all its threads and processes, per finished unit.
    pub micros_per_unit: f64,
    /// Of one core.
    pub cpu_share: f64,
    /// Bytes at the end of the measured time.
    pub memory: u64,
}

pub struct Report {
    pub scenario: &'static str,
    pub target: String,
    pub pace: Pace,
    pub seconds: f64,
    /// Successful units a second in the measured time.
    pub rate: f64,
    pub tally: Tally,
    pub server: Option<ServerCost>,
    /// Bytes the server had before the measured units, after the population was registered.
    pub memory_before: Option<u64>,
    pub memory_peak: Option<u64>,
    /// Users registered before the run.
    pub registered: u64,
    /// Of one core.
    pub sender_cpu: f64,
    /// The sender, not the server, decided the rate.
    pub sender_limited: bool,
    pub interrupted: bool,
}

/// Above this share of its core the sender has nothing left.
const SENDER_BUSY: f64 = 0.95;

impl Report {
    pub(super) fn new(plan: &Plan, tally: Tally, measured: Measured, late: bool) -> Self {
        let seconds = measured.time.as_secs_f64().max(1e-9);
        let sender_cpu = measured.own_cpu.as_secs_f64() / seconds;
        let server = measured.server.map(|(before, after)| {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            ServerCost {
                micros_per_unit: cpu * 1e6 / (measured.finished.max(1) as f64),
                cpu_share: cpu / seconds,
                memory: after.memory,
            }
        });
        let open = matches!(plan.pace, Pace::Rate(_));
        Self {
            scenario: plan.scenario.token(),
            target: plan.target.to_string(),
            pace: plan.pace,
            seconds,
            rate: measured.ok as f64 / seconds,
            tally,
            server,
            memory_before: None,
            memory_peak: None,
            registered: 0,
            sender_cpu,
            sender_limited: sender_cpu > SENDER_BUSY || (open && late),
            interrupted: false,
        }
    }

    /// Failed units of all that ended, 0 to 1.
    pub fn failed_share(&self) -> f64 {
        self.tally.failed as f64 / self.tally.finished().max(1) as f64
    }

    pub fn to_json(&self) -> Value {
        let failures: serde_json::Map<String, Value> =
            self.tally.failures.iter().map(|(why, n)| (why.to_string(), json!(n))).collect();
        let pace = match self.pace {
            Pace::Rate(rate) => json!({ "rate": rate }),
            Pace::Window(window) => json!({ "window": window }),
        };
        json!({
            "v": 1,
            "ok": self.tally.failed == 0 && self.tally.ok > 0,
            "scenario": self.scenario,
            "target": self.target,
            "pace": pace,
            "seconds": self.seconds,
            "rate": self.rate,
            "registered": self.registered,
            "units": {
                "started": self.tally.started, "ok": self.tally.ok, "failed": self.tally.failed,
                "failures": failures,
            },
            "retransmissions": self.tally.retransmissions,
            "challenges": self.tally.challenges,
            "unexpected": self.tally.unexpected,
            "repeats": self.tally.repeats,
            "send_errors": self.tally.send_errors,
            "setup_ms": latency(&self.tally.setup),
            "dial_ms": latency(&self.tally.dial),
            "pass_ms": latency(&self.tally.pass),
            "sender": { "cpu": self.sender_cpu, "limited": self.sender_limited },
            "server": self.server.map(|server| json!({
                "us_per_unit": server.micros_per_unit, "cpu": server.cpu_share, "memory": server.memory,
                "memory_before": self.memory_before, "memory_peak": self.memory_peak,
            })),
            "interrupted": self.interrupted,
        })
    }

    /// For a person.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let t = &self.tally;
        let unit = match self.scenario {
            "call" => "calls",
            "register" => "registrations",
            _ => "requests",
        };
        let unended = t.started - t.finished();
        let _ = writeln!(
            out,
            "{unit} {}   ok {}   failed {}   retransmissions {}   unexpected {}",
            t.started, t.ok, t.failed, t.retransmissions, t.unexpected
        );
        if unended > 0 {
            let _ = writeln!(out, "not ended {unended}");
        }
        if t.failed > 0 || t.send_errors > 0 {
            let _ = writeln!(out, "failures  {}", reasons(t));
        }
        let _ = writeln!(out, "set-up ms  {}", line(&t.setup));
        if t.dial.count() > 0 {
            let _ = writeln!(out, "post-dial  {}", line(&t.dial));
        }
        if t.pass.count() > 0 {
            let _ = writeln!(out, "through    {}", line(&t.pass));
        }
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
        let asked = match self.pace {
            Pace::Rate(rate) => format!("{rate:.1}/s asked"),
            Pace::Window(window) => format!("a window of {window}"),
        };
        let verdict = if self.sender_limited {
            "THE SENDER WAS THE LIMIT: the server can do more"
        } else {
            "so the sender was not the limit"
        };
        let cpu = self.sender_cpu * 100.0;
        let _ = writeln!(
            out,
            "achieved {:.1}/s of {asked}; sender CPU {cpu:.0} %, {verdict}",
            self.rate
        );
        out
    }
}

fn millis(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

fn latency(h: &Histogram) -> Value {
    if h.count() == 0 {
        return Value::Null;
    }
    json!({
        "count": h.count(), "min": millis(h.min()), "p50": millis(h.quantile(500)),
        "p90": millis(h.quantile(900)), "p99": millis(h.quantile(990)), "p999": millis(h.quantile(999)),
        "max": millis(h.max()),
    })
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

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "{status}"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Credentials => f.write_str("credentials"),
        }
    }
}
