//! The result of a run, and its JSON form; `text.rs` has the one for people. It only arranges what was measured.

use std::time::Duration;

use serde_json::{Value, json};

use super::histogram::Histogram;
use super::knee::{self, Knee, SENDER_BUSY};
use super::observe::{self, Usage};
use super::plan::{Pace, Plan, Scenario};
use super::step::{Step, Steps};
use super::storm::StormEnd;
use super::tally::Tally;
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
        tally.whole.restart_clocks();
        Self {
            began: now,
            ok: tally.whole.ok,
            finished: tally.whole.finished(),
            own_cpu: observe::own_cpu(),
            server: observe::usage(pids),
        }
    }

    pub(super) fn close(self, tally: &Tally, now: Nanos, pids: &[u32]) -> Measured {
        Measured {
            time: Duration::from_nanos(now.saturating_sub(self.began)),
            ok: tally.whole.ok - self.ok,
            finished: tally.whole.finished() - self.finished,
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
    pub scenario: Scenario,
    pub target: String,
    pub pace: Pace,
    /// The calls had RTP.
    pub sound: bool,
    /// Units a second that were asked for in the end; None in a closed loop.
    pub asked: Option<f64>,
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
    /// Datagrams our own sockets lost because we did not read them in time.
    pub drops: u64,
    /// Because everybody was busy: too few users, or too few units at the same time.
    pub crowded: bool,
    /// Of a ramp.
    pub knee: Option<Knee>,
    /// Of a register-storm.
    pub storm: Option<StormEnd>,
    /// Ended before its time, as a person wanted.
    pub stopped: bool,
    /// And that in a hurry: SIGINT, or what was begun was not finished.
    pub interrupted: bool,
}

impl Report {
    pub(super) fn new(plan: &Plan, tally: Tally, measured: Measured) -> Self {
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
        // Packets that we sent late are jitter of our own.
        let late_sound = tally.late_sound * 100 > tally.whole.sound.sent;
        let knee = tally.steps.as_ref().map(|steps| knee::find(steps, &plan.limits));
        Self {
            scenario: plan.scenario,
            target: plan.target.to_string(),
            pace: plan.pace,
            sound: plan.sound,
            asked: None,
            seconds,
            rate: measured.ok as f64 / seconds,
            tally,
            server,
            memory_before: None,
            memory_peak: None,
            registered: 0,
            sender_cpu,
            sender_limited: sender_cpu > SENDER_BUSY || late_sound,
            drops: 0,
            crowded: false,
            knee,
            storm: None,
            stopped: false,
            interrupted: false,
        }
    }

    /// Failed units of all that ended, 0 to 1.
    pub fn failed_share(&self) -> f64 {
        self.tally.whole.failed as f64 / self.tally.whole.finished().max(1) as f64
    }

    pub fn to_json(&self) -> Value {
        let whole = &self.tally.whole;
        let failures: serde_json::Map<String, Value> =
            self.tally.failures.iter().map(|(why, n)| (why.to_string(), json!(n))).collect();
        json!({
            "v": 1,
            "ok": whole.failed == 0 && whole.ok > 0,
            "scenario": self.scenario.token(),
            "target": self.target,
            "pace": pace(self.pace),
            "asked": self.asked,
            "seconds": self.seconds,
            "rate": self.rate,
            "registered": self.registered,
            "units": {
                "started": whole.started, "ok": whole.ok, "failed": whole.failed, "failures": failures,
            },
            "retransmissions": whole.retransmissions,
            "challenges": self.tally.challenges,
            "unexpected": whole.unexpected,
            "repeats": self.tally.repeats,
            "send_errors": self.tally.send_errors,
            "setup_ms": latency(&whole.setup),
            "dial_ms": latency(&whole.dial),
            "pass_ms": latency(&whole.pass),
            "rtp": self.sound.then(|| sound_json(&self.tally)),
            "knee": self.knee.as_ref().map(knee_json),
            "steps": self.tally.steps.as_ref().map(steps_json),
            "storm": self.storm.map(storm_json),
            "sender": {
                "cpu": self.sender_cpu, "limited": self.sender_limited, "crowded": self.crowded,
                "drops": self.drops,
            },
            "server": self.server.map(|server| json!({
                "us_per_unit": server.micros_per_unit, "cpu": server.cpu_share, "memory": server.memory,
                "memory_before": self.memory_before, "memory_peak": self.memory_peak,
            })),
            "stopped": self.stopped,
            "interrupted": self.interrupted,
        })
    }
}

fn pace(pace: Pace) -> Value {
    match pace {
        Pace::Rate(rate) => json!({ "rate": rate }),
        Pace::Window(window) => json!({ "window": window }),
        Pace::Ramp(ramp) => {
            let seconds = ramp.over.as_secs_f64();
            json!({ "ramp": { "from": ramp.from, "to": ramp.to, "seconds": seconds } })
        }
        Pace::Refresh(every) => json!({ "refresh": { "seconds": every.as_secs_f64() } }),
    }
}

fn sound_json(tally: &Tally) -> Value {
    let sound = &tally.whole.sound;
    json!({
        "sent": sound.sent, "received": sound.received, "lost": sound.lost,
        "loss_percent": sound.loss() * 100.0, "duplicates": sound.duplicates,
        "jitter_ms": latency(&sound.jitter), "worst_call_loss_percent": sound.worst * 100.0,
        "silent": sound.silent, "stray": tally.stray_sound, "late": tally.late_sound,
    })
}

fn knee_json(knee: &Knee) -> Value {
    let breach = knee.breach.as_ref().map(|breach| {
        json!({
            "step": breach.step, "rate": breach.rate, "why": breach.why,
            "by": if breach.sender { "sender" } else { "limit" },
        })
    });
    json!({ "rate": knee.rate, "limits": knee.limits, "breach": breach })
}

fn steps_json(steps: &Steps) -> Value {
    let seconds = steps.length().as_secs_f64();
    let row = |(index, step): (usize, &Step)| {
        let figures = &step.figures;
        json!({
            "step": index + 1, "at": index as f64 * seconds, "rate": step.rate,
            "started": figures.started, "ok": figures.ok, "failed": figures.failed,
            "retransmissions": figures.retransmissions, "unexpected": figures.unexpected,
            "setup_ms": latency(&figures.setup), "rtp_lost": figures.sound.lost, "sender_cpu": step.sender_cpu,
            "late_ms": step.late as f64 / 1e6, "crowded": step.crowded,
        })
    };
    json!({ "seconds": seconds, "rows": steps.rows().iter().enumerate().map(row).collect::<Vec<_>>() })
}

fn storm_json(storm: StormEnd) -> Value {
    json!({
        "users": storm.users, "back": storm.back, "missing": storm.missing(),
        "seconds": storm.time.as_secs_f64(), "peak": storm.peak,
    })
}

pub(super) fn millis(time: Duration) -> f64 {
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
