//! A ramp in steps: what was asked and what came of it, second by second. A unit counts in the step in which it was
//! begun. It judges nothing; `knee.rs` does.

use std::time::Duration;

use super::figure::Figures;
use super::plan::Ramp;
use super::timer::Nanos;

/// More steps would only make the table longer; a longer ramp has longer steps.
const STEPS_MAX: u32 = 600;
/// A short ramp has shorter steps.
const STEPS_MIN: u32 = 10;

#[derive(Default)]
pub struct Step {
    /// Units a second asked for, on average.
    pub rate: f64,
    pub figures: Figures,
    /// How late the sender was with its next unit when the step ended.
    pub late: Nanos,
    /// Why: nobody was free to begin one.
    pub crowded: bool,
    /// The sender's CPU, of one core.
    pub sender_cpu: f64,
}

pub struct Steps {
    ramp: Ramp,
    begin: Nanos,
    length: Nanos,
    rows: Vec<Step>,
    /// How many of them `turn` has seen; a unit may have begun the next one before.
    noted: usize,
    /// The sender's CPU time when the newest step began.
    cpu: Duration,
}

impl Steps {
    pub fn new(ramp: Ramp, begin: Nanos) -> Self {
        let second = Duration::from_secs(1);
        let length = second.min(ramp.over / STEPS_MIN).max(ramp.over / STEPS_MAX);
        let length = (length.as_nanos() as Nanos).max(1);
        Self { ramp, begin, length, rows: Vec::new(), noted: 0, cpu: Duration::ZERO }
    }

    pub fn rows(&self) -> &[Step] {
        &self.rows
    }

    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.length)
    }

    /// The step of what was begun then; None before the ramp. What comes after its end belongs to the last one.
    pub fn of(&mut self, began: Nanos) -> Option<&mut Step> {
        let since = began.checked_sub(self.begin)?;
        let last = (self.ramp.over.as_nanos() as Nanos).saturating_sub(1) / self.length;
        let index = (since / self.length).min(last) as usize;
        while self.rows.len() <= index {
            let middle = self.rows.len() as Nanos * self.length + self.length / 2;
            self.rows.push(Step { rate: thousandths(self.ramp.rate(middle)), ..Step::default() });
        }
        self.rows.get_mut(index)
    }

    /// Once a turn: how late the sender is, and how much faster than planned a person wants it. `cpu` is read once a step.
    pub fn turn(
        &mut self,
        now: Nanos,
        late: Nanos,
        crowded: bool,
        scale: f64,
        cpu: impl FnOnce() -> Duration,
    ) {
        let Some(step) = self.of(now) else { return };
        (step.late, step.crowded) = (late, crowded);
        let (noted, known, length) = (self.noted, self.rows.len(), self.length);
        if noted == known {
            return;
        }
        let cpu = cpu();
        let used = cpu.saturating_sub(self.cpu).as_nanos() as f64;
        (self.cpu, self.noted) = (cpu, known);
        if let Some(before) = noted.checked_sub(1).and_then(|i| self.rows.get_mut(i)) {
            before.sender_cpu = used / (length as f64 * (known - noted) as f64);
        }
        for step in self.rows.iter_mut().skip(noted) {
            step.rate = thousandths(step.rate * scale);
        }
    }

    /// The ramp is over, or was ended.
    pub fn end(&mut self, now: Nanos, cpu: Duration) {
        let begin = self.begin + self.noted.saturating_sub(1) as Nanos * self.length;
        let (used, length) = (cpu.saturating_sub(self.cpu), now.saturating_sub(begin).max(1));
        if let Some(last) = self.noted.checked_sub(1).and_then(|i| self.rows.get_mut(i)) {
            last.sender_cpu = used.as_nanos() as f64 / length as f64;
        }
    }
}

/// Nobody asks for a rate more exactly, and 60.00000000000001 reads badly.
fn thousandths(rate: f64) -> f64 {
    (rate * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seconds: f64) -> Steps {
        let over = Duration::from_secs_f64(seconds);
        Steps::new(Ramp { from: 10.0, to: 110.0, over }, 1_000)
    }

    #[test]
    fn a_step_is_a_second_unless_there_were_too_few_or_too_many() {
        for (ramp, step) in [(1.0, 0.1), (9.0, 0.9), (60.0, 1.0), (600.0, 1.0), (3_600.0, 6.0)] {
            let length = steps(ramp).length().as_secs_f64();
            assert!((length - step).abs() < 1e-9, "{ramp}: {length}");
        }
    }

    #[test]
    fn a_unit_counts_where_it_began() {
        let mut steps = steps(10.0);
        assert!(steps.of(999).is_none(), "the warm-up");
        steps.of(1_000).expect("a step").figures.started += 1;
        steps.of(3_500_000_000).expect("a step").figures.started += 1;
        steps.of(u64::MAX).expect("the last").figures.started += 1;
        let rows: Vec<(f64, u64)> =
            steps.rows().iter().map(|s| (s.rate, s.figures.started)).collect();
        assert_eq!(rows.len(), 10);
        assert_eq!((rows[0], rows[3], rows[9]), ((15.0, 1), (45.0, 1), (105.0, 1)));
    }

    #[test]
    fn a_turn_notes_the_sender() {
        let mut steps = steps(10.0);
        let ms = Duration::from_millis;
        steps.turn(2_000, 0, false, 1.0, || ms(100));
        steps.turn(900_000_000, 7, true, 1.0, || panic!("once a step"));
        steps.of(1_050_000_000).expect("a step").figures.started += 1;
        steps.turn(1_100_000_000, 0, false, 1.1, || ms(600));
        let [first, second] = steps.rows() else { panic!("two steps") };
        assert_eq!((first.late, first.crowded, second.late), (7, true, 0));
        assert!((first.sender_cpu - 0.5).abs() < 1e-9);
        assert!((second.rate - 25.0 * 1.1).abs() < 1e-9);
        steps.end(1_500_001_000, ms(850));
        assert!((steps.rows()[1].sender_cpu - 0.5).abs() < 1e-9);
    }
}
