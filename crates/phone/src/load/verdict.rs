//! `--fail-if`: a condition on the result, such as `failed>0.1%` or `setup.p99>50ms`. It decides the exit code.

use std::str::FromStr;
use std::time::Duration;

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
    /// A count, or a share in percent of what it belongs to.
    Failed {
        percent: bool,
    },
    Retransmissions {
        percent: bool,
    },
    Unexpected {
        percent: bool,
    },
    /// Units a second.
    Rate,
    /// Milliseconds; which clock, which thousandth (0: the minimum).
    Latency(Clock, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    Setup,
    Dial,
    Pass,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is not a condition; try failed>0.1%, retrans>5%, unexpected>0, rate<1000, setup.p99>50ms \
     (setup, dial or pass; min, p50, p90, p99, p999 or max)"
)]
pub struct FailIfError(String);

impl FromStr for FailIf {
    type Err = FailIfError;

    fn from_str(text: &str) -> Result<Self, FailIfError> {
        let error = || FailIfError(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(error)?;
        let (name, rest) = (text[..at].trim(), text[at + 1..].trim());
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..split].parse().map_err(|_| error())?;
        let (percent, scale) = match (name.contains('.'), rest[split..].trim()) {
            (false, "%") => (true, 1.0),
            (false, "" | "/s") => (false, 1.0),
            (true, "ms") => (false, 1.0),
            (true, "us") => (false, 1e-3),
            (true, "s") => (false, 1e3),
            _ => return Err(error()),
        };
        let measure = match name {
            "failed" => Measure::Failed { percent },
            "retrans" => Measure::Retransmissions { percent },
            "unexpected" => Measure::Unexpected { percent },
            "rate" if !percent => Measure::Rate,
            _ => latency(name).ok_or_else(error)?,
        };
        let above = text[at..].starts_with('>');
        Ok(Self { text: text.to_owned(), measure, above, limit: number * scale })
    }
}

fn latency(name: &str) -> Option<Measure> {
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
    Some(Measure::Latency(clock, per_mille))
}

impl FailIf {
    /// A sentence when the result is beyond the limit.
    pub fn broken_by(&self, report: &Report) -> Option<String> {
        let t = &report.tally;
        let share = |count: u64, percent: bool| {
            if percent { count as f64 * 100.0 / t.started.max(1) as f64 } else { count as f64 }
        };
        let value = match self.measure {
            Measure::Failed { percent } => share(t.failed, percent),
            Measure::Retransmissions { percent } => share(t.retransmissions, percent),
            Measure::Unexpected { percent } => share(t.unexpected, percent),
            Measure::Rate => report.rate,
            Measure::Latency(clock, per_mille) => {
                let clock = match clock {
                    Clock::Setup => &t.setup,
                    Clock::Dial => &t.dial,
                    Clock::Pass => &t.pass,
                };
                let time: Duration =
                    if per_mille == 0 { clock.min() } else { clock.quantile(per_mille) };
                time.as_secs_f64() * 1e3
            }
        };
        let broken = if self.above { value > self.limit } else { value < self.limit };
        broken.then(|| format!("{}: it was {value:.3}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let c: FailIf = "failed>0.1%".parse().unwrap();
        assert_eq!((c.measure, c.above, c.limit), (Measure::Failed { percent: true }, true, 0.1));
        let c: FailIf = "setup.p99 > 50ms".parse().unwrap();
        assert_eq!((c.measure, c.limit), (Measure::Latency(Clock::Setup, 990), 50.0));
        let c: FailIf = "pass.max>1s".parse().unwrap();
        assert_eq!((c.measure, c.limit), (Measure::Latency(Clock::Pass, 1_000), 1_000.0));
        let c: FailIf = "rate<1000".parse().unwrap();
        assert!(!c.above);
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "failed",
            "failed>",
            "failed>x",
            "failed>1ms",
            "setup>1ms",
            "setup.p98>1ms",
            "setup.p99>1",
            "rate<5%",
            "loss>1%",
        ] {
            assert!(text.parse::<FailIf>().is_err(), "{text}");
        }
    }
}
