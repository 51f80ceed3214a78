//! The knee of a ramp: the last rate at which all limits held, and what broke first. It only reads the steps.
//!
//! The rules, so that two people who look at one table find one knee:
//! * Only conditions on units count (failed, retrans, unexpected, latencies, rtp); `rate` and `knee` judge the whole run.
//!   Without any: failed above 0.1 %, or the p99 of the set-up above four times that of the first tenth of the ramp,
//!   but never below 20 ms, which nobody notices.
//! * The ramp breaks at the first step that is beyond a limit and whose next step is too (or that has none): a hiccup
//!   of one second is no knee. Steps without units do not count.
//! * A step in which the sender was late or out of CPU ends the search in the same way: above it nothing is known.

use super::histogram::Histogram;
use super::step::{Step, Steps};
use super::timer::MILLI;
use super::verdict::FailIf;

#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    /// Units a second of the last step within the limits; None: not even the first was.
    pub rate: Option<f64>,
    /// What was held to.
    pub limits: Vec<String>,
    /// None: it held to the end of the ramp.
    pub breach: Option<Breach>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// From 1.
    pub step: usize,
    /// Units a second that were asked for in it.
    pub rate: f64,
    pub why: String,
    /// The sender ended the search, not the server.
    pub sender: bool,
}

/// A sender that is later than this with its next unit cannot keep the rate.
pub const LATE: u64 = 20 * MILLI;
/// Above this share of its core the sender has nothing left.
pub const SENDER_BUSY: f64 = 0.95;
/// Milliseconds.
const SETUP_FLOOR: f64 = 20.0;

pub fn find(steps: &Steps, conditions: &[FailIf]) -> Knee {
    let rows: Vec<(usize, &Step)> = (1..)
        .zip(steps.rows())
        .filter(|(_, step)| step.figures.started > 0 || step.late > LATE)
        .collect();
    let mut limits: Vec<FailIf> = conditions.iter().filter(|c| c.is_of_units()).cloned().collect();
    if limits.is_empty() {
        limits = default_limits(steps.rows());
    }
    let judge = |step: &Step| {
        sender(step).map(|why| (why, true)).or_else(|| {
            let broken = |limit: &FailIf| limit.broken_by_figures(&step.figures);
            limits.iter().find_map(broken).map(|why| (why, false))
        })
    };
    let (mut rate, mut breach) = (None, None);
    for (at, (number, step)) in rows.iter().enumerate() {
        let next = rows.get(at + 1);
        match judge(step).filter(|_| next.is_none_or(|(_, next)| judge(next).is_some())) {
            None => rate = Some(step.rate),
            Some((why, sender)) => {
                breach = Some(Breach { step: *number, rate: step.rate, why, sender });
                break;
            }
        }
    }
    Knee { rate, limits: limits.iter().map(ToString::to_string).collect(), breach }
}

fn sender(step: &Step) -> Option<String> {
    if step.late > LATE && step.crowded {
        return Some("everybody was busy: more --users or a larger --active-max".to_owned());
    }
    if step.late > LATE {
        return Some(format!("the sender was {} ms late", step.late / MILLI));
    }
    let percent = step.sender_cpu * 100.0;
    (step.sender_cpu > SENDER_BUSY).then(|| format!("the sender used {percent:.0} % of its core"))
}

fn default_limits(rows: &[Step]) -> Vec<FailIf> {
    let mut first = Histogram::default();
    rows.iter().take(rows.len().div_ceil(10)).for_each(|step| first.add(&step.figures.setup));
    let mut texts = vec!["failed>0.1%".to_owned()];
    if first.count() > 0 {
        let p99 = first.quantile(990).as_secs_f64() * 1e3;
        texts.push(format!("setup.p99>{:.1}ms", (4.0 * p99).max(SETUP_FLOOR)));
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

impl Knee {
    /// For a person.
    pub fn sentence(&self) -> String {
        let limits = self.limits.join(", ");
        match (&self.breach, self.rate) {
            (None, Some(rate)) => {
                format!("knee      above {rate:.1}/s: {limits} never came true; ramp higher")
            }
            (None, None) => "knee      unknown: the ramp began no unit".to_owned(),
            (Some(breach), rate) => {
                let rate = rate.map_or("below the ramp".to_owned(), |rate| format!("{rate:.1}/s"));
                let whose =
                    if breach.sender { "the sender's limit, not the server's; " } else { "" };
                format!(
                    "knee      {rate} ({whose}at {:.1}/s, step {}: {})",
                    breach.rate, breach.step, breach.why
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::plan::Ramp;
    use super::*;

    /// Ten steps of 100 units, 10 to 100 a second; every set-up takes 1 ms.
    fn steps(change: impl Fn(usize, &mut Step)) -> Steps {
        let ramp = Ramp { from: 5.0, to: 105.0, over: Duration::from_secs(10) };
        let mut steps = Steps::new(ramp, 0);
        for index in 0..10_u64 {
            let step = steps.of(index * 1_000 * MILLI).expect("a step");
            step.figures.started = 100;
            step.figures.ok = 100;
            (0..100).for_each(|_| step.figures.setup.record(MILLI));
            change(index as usize + 1, step);
        }
        steps
    }

    fn slow(step: &mut Step) {
        (0..5).for_each(|_| step.figures.setup.record(200 * MILLI));
    }

    fn fail_if(texts: &[&str]) -> Vec<FailIf> {
        texts.iter().map(|text| text.parse().expect("a condition")).collect()
    }

    #[test]
    fn the_last_rate_before_the_first_lasting_breach() {
        let knee = find(
            &steps(|n, step| {
                if n == 3 || n >= 7 {
                    slow(step)
                }
            }),
            &[],
        );
        assert_eq!(knee.rate, Some(60.0));
        assert_eq!(knee.limits, ["failed>0.1%", "setup.p99>20.0ms"]);
        let breach = knee.breach.clone().expect("broken");
        assert_eq!((breach.step, breach.rate, breach.sender), (7, 70.0, false));
        assert!(breach.why.starts_with("setup.p99>20.0ms: it was 20"), "{}", breach.why);
        assert_eq!(
            knee.sentence(),
            format!("knee      60.0/s (at 70.0/s, step 7: {})", breach.why)
        );
    }

    #[test]
    fn one_bad_second_is_no_knee_but_the_last_one_is() {
        let held = find(
            &steps(|n, step| {
                if n == 3 {
                    slow(step)
                }
            }),
            &[],
        );
        assert_eq!((held.rate, held.breach.is_none()), (Some(100.0), true));
        assert!(held.sentence().contains("above 100.0/s"), "{}", held.sentence());
        let last = find(
            &steps(|n, step| {
                if n == 10 {
                    step.figures.failed = 1
                }
            }),
            &[],
        );
        assert_eq!((last.rate, last.breach.map(|b| b.step)), (Some(90.0), Some(10)));
    }

    #[test]
    fn a_persons_limits_replace_ours() {
        let slower = |n: usize, step: &mut Step| {
            if n >= 4 {
                slow(step);
                step.figures.retransmissions = n as u64;
            }
        };
        let knee = find(&steps(slower), &fail_if(&["retrans>7%", "rate<1000", "knee<1"]));
        assert_eq!(
            (knee.rate, knee.limits.as_slice()),
            (Some(70.0), &["retrans>7%".to_owned()][..])
        );
        let none = find(&steps(|_, step| step.figures.failed = 50), &fail_if(&["failed>0"]));
        assert_eq!((none.rate, none.breach.map(|b| b.step)), (None, Some(1)));
    }

    #[test]
    fn above_a_limited_sender_nothing_is_known() {
        let knee = find(
            &steps(|n, step| {
                if n >= 5 {
                    step.late = LATE + 1
                }
            }),
            &[],
        );
        let breach = knee.breach.clone().expect("ended");
        assert_eq!((knee.rate, breach.step, breach.sender), (Some(40.0), 5, true));
        assert!(knee.sentence().contains("the sender's limit, not the server's"));
        let busy = find(
            &steps(|n, step| {
                if n >= 5 {
                    step.sender_cpu = 0.99
                }
            }),
            &[],
        );
        assert!(busy.breach.expect("ended").why.contains("99 % of its core"));
        let crowded = |n: usize, step: &mut Step| {
            (step.late, step.crowded) = (if n >= 5 { LATE + 1 } else { 0 }, true);
        };
        let crowded = find(&steps(crowded), &[]);
        assert!(crowded.breach.expect("ended").why.contains("--users"));
    }

    #[test]
    fn pauses_are_passed_over() {
        let pause = |n: usize, step: &mut Step| {
            if (4..8).contains(&n) {
                step.figures = Default::default();
            }
            if n >= 8 {
                step.figures.failed = 100;
            }
        };
        let knee = find(&steps(pause), &[]);
        assert_eq!((knee.rate, knee.breach.map(|b| b.step)), (Some(30.0), Some(8)));
        let nothing = find(&steps(|_, step| step.figures = Default::default()), &[]);
        assert_eq!((nothing.rate, nothing.breach.clone()), (None, None));
        assert!(nothing.sentence().contains("no unit"));
    }
}
