//! One step of `cargo xtask test`: a command, its output passed on, its verdict counted.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What all steps together gave.
#[derive(Debug, Default)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    /// Step, its verdict, how long it took.
    pub steps: Vec<(String, bool, Duration)>,
}

impl Tally {
    /// Runs `body`, which says how many checks passed and failed, and records it. An error is one failed check.
    pub fn step(&mut self, name: &str, body: impl FnOnce() -> Result<Verdict>) {
        println!("\n== {name}");
        let start = Instant::now();
        let verdict = body().unwrap_or_else(|error| {
            println!("FAIL {name}: {error:#}");
            Verdict { passed: 0, failed: 1 }
        });
        self.passed += verdict.passed;
        self.failed += verdict.failed;
        let took = start.elapsed();
        println!(
            "-- {name}: {} passed, {} failed, {} s",
            verdict.passed,
            verdict.failed,
            took.as_secs()
        );
        self.steps.push((name.to_owned(), verdict.failed == 0, took));
    }

    /// The closing lines; the last one is what machines read.
    pub fn close(&self) -> bool {
        println!();
        for (name, good, took) in &self.steps {
            let word = if *good { "PASS" } else { "FAIL" };
            println!("{word} {name} ({} s)", took.as_secs());
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub passed: usize,
    pub failed: usize,
}

impl Verdict {
    pub fn one(good: bool) -> Self {
        Self { passed: usize::from(good), failed: usize::from(!good) }
    }
}

/// Runs the command, shows what it prints, and counts the tests it reports. A command that reports none counts as
/// one check; a command that fails counts as one failure at least.
pub fn counted(command: &mut Command) -> Result<Verdict> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} could not be started", command.get_program().display()))?;
    let mut verdict = Verdict::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("its output could not be read")?;
            println!("{line}");
            if let Some(found) = tests_reported(&line) {
                verdict.passed += found.passed;
                verdict.failed += found.failed;
            }
        }
    }
    let good = child.wait()?.success();
    if !good && verdict.failed == 0 {
        verdict.failed = 1;
    }
    if good && verdict.passed == 0 {
        verdict.passed = 1;
    }
    Ok(verdict)
}

/// Reads `test result: ok. 12 passed; 0 failed; ...` and our own `12 passed, 0 failed`.
fn tests_reported(line: &str) -> Option<Verdict> {
    let words = match line.strip_prefix("test result:") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line,
    };
    let number = |word: &str| {
        let (count, what) = word.trim().split_once(' ')?;
        Some((count.parse::<usize>().ok()?, what.to_owned()))
    };
    let mut parts = words.split([';', ',']);
    let (passed, what) = number(parts.next()?)?;
    let (failed, other) = number(parts.next()?)?;
    (what == "passed" && other == "failed").then_some(Verdict { passed, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_test_programs_print() {
        let cargo = "test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(tests_reported(cargo), Some(Verdict { passed: 12, failed: 1 }));
        assert_eq!(tests_reported("3 passed, 2 failed"), Some(Verdict { passed: 3, failed: 2 }));
        assert_eq!(tests_reported("running 3 tests"), None);
        assert_eq!(tests_reported("3 sent, 2 answered"), None);
    }
}
