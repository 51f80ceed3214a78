//! `--fail-if`: a condition on the result, such as `failed>0.1%` or `setup.p99>50ms`. It decides the exit code, and on a
//! ramp where the knee is.

use std::str::FromStr;

use super::figure::Figures;
use super::histogram::Histogram;
use super::plan::{Pace, Plan, Scenario};
use super::report::Report;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct FailIf {
    text: String,
    measure: Measure,
    above: bool,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Of the units: those of a whole run, or of one step of a ramp.
    Units(OfUnits),
    /// Units a second.
    Rate,
    /// The knee of a ramp, units a second; 0 when not even the first step held.
    Knee,
    /// Of a register-storm: milliseconds until all were back, never when somebody is not.
    StormTime,
    /// Registrations a second, at best.
    StormPeak,
    /// Users who were not back in the end.
    StormMissing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum OfUnits {
    /// A count, or a share in percent of the units begun.
    Count(Count, bool),
    /// Milliseconds; which clock, which thousandth (0: the minimum).
    Latency(Clock, u64),
    Sound(OfSound),
}

/// Of the RTP of calls that have ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OfSound {
    /// Percent of what was sent.
    Loss,
    /// Packets.
    Lost,
    /// Milliseconds, of the worst stream.
    Jitter,
    /// Percent of the worst call.
    Worst,
    /// Streams of which nothing arrived.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Failed,
    Retransmissions,
    Unexpected,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    Setup,
    Dial,
    Pass,
}

/// What a number may be followed by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Nothing,
    Percent,
    PerSecond,
    /// Milliseconds in one of it.
    Time(f64),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FailIfError {
    #[error(
        "`{0}` is not a condition; try failed>0.1%, retrans>5%, unexpected>0, rate<1000, setup.p99>50ms \
         (setup, dial or pass; min, p50, p90, p99, p999 or max), knee<300, storm.time>30s, storm.peak<1000, \
         storm.missing>0, rtp.loss>1%, rtp.lost>0, rtp.worst>5%, rtp.jitter>30ms, rtp.silent>0"
    )]
    Unreadable(String),
    #[error("`{0}` would never come true: {1}")]
    Idle(String, &'static str),
}

impl FromStr for FailIf {
    type Err = FailIfError;

    fn from_str(text: &str) -> Result<Self, FailIfError> {
        let error = || FailIfError::Unreadable(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(error)?;
        let (name, rest) = (text[..at].trim(), text[at + 1..].trim());
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..split].parse().map_err(|_| error())?;
        let unit = match rest[split..].trim() {
            "" => Unit::Nothing,
            "%" => Unit::Percent,
            "/s" => Unit::PerSecond,
            "us" => Unit::Time(1e-3),
            "ms" => Unit::Time(1.0),
            "s" => Unit::Time(1e3),
            _ => return Err(error()),
        };
        let measure = measure(name, unit).ok_or_else(error)?;
        let scale = if let Unit::Time(scale) = unit { scale } else { 1.0 };
        let above = text[at..].starts_with('>');
        Ok(Self { text: text.to_owned(), measure, above, limit: number * scale })
    }
}

fn measure(name: &str, unit: Unit) -> Option<Measure> {
    let count = |count| match unit {
        Unit::Nothing => Some(Measure::Units(OfUnits::Count(count, false))),
        Unit::Percent => Some(Measure::Units(OfUnits::Count(count, true))),
        _ => None,
    };
    let rate = matches!(unit, Unit::Nothing | Unit::PerSecond);
    let time = matches!(unit, Unit::Time(_));
    let percent = unit == Unit::Percent;
    let sound = |of_sound| Measure::Units(OfUnits::Sound(of_sound));
    match name {
        "failed" => count(Count::Failed),
        "retrans" => count(Count::Retransmissions),
        "unexpected" => count(Count::Unexpected),
        "rate" => rate.then_some(Measure::Rate),
        "knee" => rate.then_some(Measure::Knee),
        "storm.time" => time.then_some(Measure::StormTime),
        "storm.peak" => rate.then_some(Measure::StormPeak),
        "storm.missing" => (unit == Unit::Nothing).then_some(Measure::StormMissing),
        "rtp.loss" => percent.then_some(sound(OfSound::Loss)),
        "rtp.worst" => percent.then_some(sound(OfSound::Worst)),
        "rtp.jitter" => time.then_some(sound(OfSound::Jitter)),
        "rtp.lost" => (unit == Unit::Nothing).then_some(sound(OfSound::Lost)),
        "rtp.silent" => (unit == Unit::Nothing).then_some(sound(OfSound::Silent)),
        _ if time => latency(name).map(Measure::Units),
        _ => None,
    }
}

fn latency(name: &str) -> Option<OfUnits> {
    let (clock, point) = name.split_once('.')?;
    let clock = match clock {
        "setup" => Clock::Setup,
        "dial" => Clock::Dial,
        "pass" => Clock::Pass,
        _ => return None,
    };
    let per_mille = match point {
        "min" => 0,
        "p50" => 500,
        "p90" => 900,
        "p99" => 990,
        "p999" => 999,
        "max" => 1_000,
        _ => return None,
    };
    Some(OfUnits::Latency(clock, per_mille))
}

impl FailIf {
    /// A condition on what the run does not have would pass whatever happens: it is refused.
    pub fn fits(&self, plan: &Plan) -> Result<(), FailIfError> {
        let storm = plan.scenario == Scenario::RegisterStorm;
        let passes = matches!(plan.scenario, Scenario::Call | Scenario::Message);
        let why = match self.measure {
            Measure::Knee if !matches!(plan.pace, Pace::Ramp(_)) => "only a --ramp has a knee",
            Measure::StormTime | Measure::StormPeak | Measure::StormMissing if !storm => {
                "only --scenario register-storm has a storm"
            }
            Measure::Units(OfUnits::Sound(_)) if !plan.sound => "only calls with --media have RTP",
            Measure::Units(OfUnits::Latency(Clock::Dial, _)) if plan.scenario != Scenario::Call => {
                "only --scenario call rings"
            }
            Measure::Units(OfUnits::Latency(Clock::Pass, _)) if !passes => {
                "only calls and messages pass through the server"
            }
            _ => return Ok(()),
        };
        Err(FailIfError::Idle(self.text.clone(), why))
    }

    /// It can be asked of every step of a ramp.
    pub fn is_of_units(&self) -> bool {
        matches!(self.measure, Measure::Units(_))
    }

    /// A sentence when the result is beyond the limit.
    pub fn broken_by(&self, report: &Report) -> Option<String> {
        let storm = report.storm.as_ref();
        let value = match self.measure {
            Measure::Units(of_units) => of_units.of(&report.tally.whole),
            Measure::Rate => report.rate,
            Measure::Knee => report.knee.as_ref().and_then(|knee| knee.rate).unwrap_or(0.0),
            Measure::StormTime => match storm {
                Some(storm) if storm.missing() == 0 => storm.time.as_secs_f64() * 1e3,
                _ => f64::INFINITY,
            },
            Measure::StormPeak => storm.map_or(0.0, |storm| storm.peak),
            Measure::StormMissing => storm.map_or(0.0, |storm| storm.missing().into()),
        };
        self.broken_at(value)
    }

    /// The same for one step; None for what only a whole run has.
    pub(super) fn broken_by_figures(&self, figures: &Figures) -> Option<String> {
        match self.measure {
            Measure::Units(of_units) => self.broken_at(of_units.of(figures)),
            _ => None,
        }
    }

    fn broken_at(&self, value: f64) -> Option<String> {
        let broken = if self.above { value > self.limit } else { value < self.limit };
        broken.then(|| format!("{}: it was {value:.3}", self.text))
    }
}

impl OfUnits {
    fn of(self, figures: &Figures) -> f64 {
        match self {
            OfUnits::Count(count, percent) => {
                let count = match count {
                    Count::Failed => figures.failed,
                    Count::Retransmissions => figures.retransmissions,
                    Count::Unexpected => figures.unexpected,
                } as f64;
                if percent { count * 100.0 / figures.started.max(1) as f64 } else { count }
            }
            OfUnits::Latency(clock, per_mille) => {
                let clock: &Histogram = match clock {
                    Clock::Setup => &figures.setup,
                    Clock::Dial => &figures.dial,
                    Clock::Pass => &figures.pass,
                };
                let time = if per_mille == 0 { clock.min() } else { clock.quantile(per_mille) };
                time.as_secs_f64() * 1e3
            }
            OfUnits::Sound(of_sound) => {
                let sound = &figures.sound;
                match of_sound {
                    OfSound::Loss => sound.loss() * 100.0,
                    OfSound::Lost => sound.lost as f64,
                    OfSound::Jitter => sound.jitter.max().as_secs_f64() * 1e3,
                    OfSound::Worst => sound.worst * 100.0,
                    OfSound::Silent => sound.silent as f64,
                }
            }
        }
    }
}

impl core::fmt::Display for FailIf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let read = |text: &str| {
            let c: FailIf = text.parse().unwrap();
            (c.measure, c.above, c.limit)
        };
        let failed = Measure::Units(OfUnits::Count(Count::Failed, true));
        assert_eq!(read("failed>0.1%"), (failed, true, 0.1));
        let p99 = Measure::Units(OfUnits::Latency(Clock::Setup, 990));
        assert_eq!(read("setup.p99 > 50ms"), (p99, true, 50.0));
        let max = Measure::Units(OfUnits::Latency(Clock::Pass, 1_000));
        assert_eq!(read("pass.max>1s"), (max, true, 1_000.0));
        let loss = Measure::Units(OfUnits::Sound(OfSound::Loss));
        assert_eq!(read("rtp.loss>1%"), (loss, true, 1.0));
        let jitter = Measure::Units(OfUnits::Sound(OfSound::Jitter));
        assert_eq!(read("rtp.jitter>30ms"), (jitter, true, 30.0));
        assert_eq!(read("rate<1000"), (Measure::Rate, false, 1_000.0));
        assert_eq!(read("knee<300/s"), (Measure::Knee, false, 300.0));
        assert_eq!(read("storm.time>30s"), (Measure::StormTime, true, 30_000.0));
        assert_eq!(read("storm.peak<5000"), (Measure::StormPeak, false, 5_000.0));
        assert_eq!(read("storm.missing>0"), (Measure::StormMissing, true, 0.0));
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "failed",
            "failed>",
            "failed>x",
            "failed>1ms",
            "failed>1/s",
            "setup>1ms",
            "setup.p98>1ms",
            "setup.p99>1",
            "rate<5%",
            "knee<5ms",
            "storm.time>5",
            "storm.missing>5%",
            "loss>1%",
            "rtp.loss>1",
            "rtp.lost>1%",
            "rtp.jitter>5%",
            "rtp.silent>5ms",
        ] {
            assert!(text.parse::<FailIf>().is_err(), "{text}");
        }
    }
}
