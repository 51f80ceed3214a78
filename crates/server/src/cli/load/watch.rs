//! Progress on standard error: three lines that are drawn anew on a terminal, otherwise a line now and then and not one
//! control character.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use phone::load::{Control, Phase, Plan, Progress, Scenario, grouped};

pub struct Watcher<'a> {
    control: &'a Control,
    /// Lines are drawn anew, and keys are listened to.
    terminal: bool,
    keys: bool,
    every: Duration,
    whole: Duration,
    users: u64,
    title: String,
    storm: bool,
    shown: Option<(Phase, Duration)>,
    /// When the rate was last looked at, the successes then, and the rate.
    second: (Duration, u64, f64),
    drawn: usize,
}

const REDRAW: Duration = Duration::from_millis(200);
const BAR: usize = 16;

impl<'a> Watcher<'a> {
    pub fn new(plan: &Plan, control: &'a Control, every: Duration, keys: bool) -> Self {
        let scenario = plan.scenario.token();
        let title = match plan.scenario {
            Scenario::Call | Scenario::Message => format!("register+{scenario}"),
            _ => scenario.to_owned(),
        };
        Self {
            control,
            terminal: is_terminal(),
            keys,
            every,
            whole: plan.warm_up + plan.duration,
            users: plan.users.count().into(),
            title: format!("load {title}  udp \u{2192} {}", plan.target),
            storm: plan.scenario == Scenario::RegisterStorm,
            shown: None,
            second: (Duration::ZERO, 0, 0.0),
            drawn: 0,
        }
    }

    pub fn show(&mut self, progress: &Progress<'_>) {
        let pause = if self.terminal { REDRAW } else { self.every };
        let same = self.shown.is_some_and(|(phase, _)| phase == progress.phase);
        if progress.elapsed < self.second.0 || progress.tally.whole.ok < self.second.1 {
            // Counting began anew.
            self.second = (progress.elapsed, progress.tally.whole.ok, 0.0);
        }
        let since = self.shown.and_then(|(_, then)| progress.elapsed.checked_sub(then));
        // A pipe gets its lines at fixed times, a terminal also when something new begins.
        if since.is_some_and(|since| since < pause) && (same || !self.terminal) {
            return;
        }
        self.shown = Some((progress.phase, progress.elapsed));
        self.measure_rate(progress);
        if self.terminal {
            self.draw(&[self.head(progress), format!(" {}", self.figures(progress)), self.foot()]);
        } else {
            let line = format!("{} {}", self.place(progress), self.figures(progress));
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn measure_rate(&mut self, progress: &Progress<'_>) {
        let (then, ok, _) = self.second;
        let (now, done) = (progress.elapsed, progress.tally.whole.ok);
        let since = now.saturating_sub(then);
        if since >= Duration::from_secs(1) || (!self.terminal && !since.is_zero()) {
            let rate = done.saturating_sub(ok) as f64 / since.as_secs_f64();
            self.second = (now, done, rate);
        }
    }

    /// `measuring 15/30 s`.
    fn place(&self, progress: &Progress<'_>) -> String {
        let phase = match progress.phase {
            Phase::Registering => "registering",
            Phase::WarmUp => "warming up",
            Phase::Measuring => "measuring",
            Phase::Finishing => "finishing",
            Phase::Unregistering => "unregistering",
        };
        match progress.phase {
            Phase::WarmUp | Phase::Measuring if !self.storm => {
                let (now, whole) = (progress.elapsed.as_secs_f64(), self.whole.as_secs_f64());
                format!("{phase} {now:.0}/{whole:.0} s")
            }
            Phase::Finishing => format!("{phase} {}", grouped(progress.active as u64)),
            _ => {
                let ok = progress.tally.whole.ok;
                format!("{phase} {}/{}", grouped(ok), grouped(self.users))
            }
        }
    }

    fn head(&self, progress: &Progress<'_>) -> String {
        let share = match progress.phase {
            Phase::WarmUp | Phase::Measuring if !self.storm => {
                progress.elapsed.as_secs_f64() / self.whole.as_secs_f64().max(1e-3)
            }
            Phase::Finishing => 1.0,
            _ => progress.tally.whole.ok as f64 / self.users.max(1) as f64,
        };
        let full = ((share.clamp(0.0, 1.0) * BAR as f64) as usize).min(BAR);
        let (done, left) = ("#".repeat(full), "-".repeat(BAR - full));
        format!(" {:<46} [{done}{left}] {}", self.title, self.place(progress))
    }

    fn figures(&self, progress: &Progress<'_>) -> String {
        let whole = &progress.tally.whole;
        let (_, _, rate) = self.second;
        let asked = match (self.control.paused(), progress.asked) {
            (true, _) => " PAUSED".to_owned(),
            (false, Some(asked)) => format!(" of {asked:.1}"),
            (false, None) => String::new(),
        };
        format!(
            "rate {rate:.1}/s{asked}  active {}  started {}  ok {}  failed {}  retrans {}  \
             set-up p50 {:.1} p99 {:.1} ms",
            grouped(progress.active as u64),
            grouped(whole.started),
            grouped(whole.ok),
            grouped(whole.failed),
            grouped(whole.retransmissions),
            whole.setup.quantile(500).as_secs_f64() * 1e3,
            whole.setup.quantile(990).as_secs_f64() * 1e3,
        )
    }

    fn foot(&self) -> String {
        let keys = " [+]/[-] rate  [p]ause  [q] finish and stop  [Q] stop now";
        if self.keys { keys } else { " Ctrl-C: finish and stop; again: stop now" }.to_owned()
    }

    /// Each line over its predecessor. Lines are cut at the edge, and wrapping is on again after each drawing, whatever
    /// happens next.
    fn draw(&mut self, lines: &[String]) {
        let mut text = String::from("\x1b[?7l");
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            text.push_str(&format!("\r\x1b[K{line}\n"));
        }
        text.push_str("\x1b[J\x1b[?7h");
        self.drawn = lines.len();
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Leaves the figures and takes the keys away; true when there is a terminal for the result to stand on.
    pub fn end(&mut self) -> bool {
        if self.drawn > 0 {
            let _ = write!(std::io::stderr(), "\x1b[1A\r\x1b[J");
            self.drawn = 0;
        }
        self.terminal
    }
}

fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}
