//! The results as a table of medians, and its place in docs/performance.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::opponent::Opponent;
use super::{Figures, Results, Row, Sample};

const BEGIN: &str = "<!-- table: written by `cargo xtask bench kamailio --write` -->";
const END: &str = "<!-- end of table -->";

/// One measurement, as it comes.
pub fn line(row: Row, opponent: Opponent, what: &str, s: &Sample) -> String {
    format!(
        "{:<10} {:<10} {what:<8} {:>9.0}/s {:>7.1} us  p50 {:.3} p99 {:.3} ms  {:.1} MB  failed {}{}",
        row.token(),
        opponent.name(),
        s.rate,
        s.micros,
        s.p50,
        s.p99,
        s.memory_peak / 1e6,
        s.failed,
        if s.sender_limited { "  (the sender was the limit)" } else { "" },
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure).collect())
}

pub fn render(results: &Results) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", versions());
    out.push_str(
        "| | | highest rate /s | us at it | p50 / p99 ms | us at 40 % | p50 / p99 ms | share of Kamailio's CPU | MB idle | MB at the end |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (row, opponents) in results {
        let kamailio = opponents.iter().find(|(opponent, _)| *opponent == Opponent::Kamailio);
        for (opponent, f) in opponents {
            if f.highest.is_empty() && f.moderate.is_empty() {
                continue;
            }
            let limited = !f.highest.is_empty() && f.highest.iter().all(|s| s.sender_limited);
            let _ = writeln!(
                out,
                "| {} | {} | {}{:.0} | {:.1} | {:.2} / {:.2} | {:.1} | {:.2} / {:.2} | {} | {:.1} | {:.1} |",
                row.title(),
                opponent.name(),
                if limited { ">= " } else { "" },
                of(&f.highest, |s| s.rate),
                of(&f.highest, |s| s.micros),
                of(&f.highest, |s| s.p50),
                of(&f.highest, |s| s.p99),
                of(&f.moderate, |s| s.micros),
                of(&f.moderate, |s| s.p50),
                of(&f.moderate, |s| s.p99),
                shares(f, kamailio.map(|(_, figures)| figures)),
                median(f.idle.clone()) / 1e6,
                of(&f.highest, |s| s.memory_peak) / 1e6,
            );
        }
    }
    out.push_str(&bindings(results));
    // What a row does not measure.
    out.replace("NaN / NaN", "-").replace("NaN", "-")
}

/// Round by round, so that what disturbed the machine disturbed both; then the median.
fn shares(mine: &Figures, kamailio: Option<&Figures>) -> String {
    let share = |mine: &[Sample], theirs: &[Sample]| {
        median(mine.iter().zip(theirs).map(|(m, t)| m.micros / t.micros).collect())
    };
    kamailio.map_or_else(String::new, |theirs| {
        let (highest, moderate) =
            (share(&mine.highest, &theirs.highest), share(&mine.moderate, &theirs.moderate));
        format!("{highest:.2}, {moderate:.2}")
    })
}

/// Memory per 100,000 bindings, from the row that registers the whole population.
fn bindings(results: &Results) -> String {
    let Some((_, opponents)) = results.iter().find(|(row, _)| *row == Row::Register) else {
        return String::new();
    };
    let mut out = String::from("\nMemory of 100,000 bindings: ");
    for (n, (opponent, f)) in opponents.iter().enumerate() {
        let registered = of(&f.highest, |s| s.registered as f64);
        let grown = of(&f.highest, |s| s.memory_before) - median(f.idle.clone());
        let comma = if n > 0 { ", " } else { "" };
        let _ = write!(
            out,
            "{comma}{} {:.1} MB",
            opponent.name(),
            grown / registered.max(1.0) * 100_000.0 / 1e6
        );
    }
    out.push_str(".\n");
    out
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default()
}

fn versions() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{}; {}; {}; Linux {}; {}, {} cores",
        first_line("date", &["+%F"]),
        first_line("kamailio", &["-v"]).replace("version: ", ""),
        first_line("rustc", &["--version"]),
        first_line("uname", &["-r"]),
        cpu.map_or("unknown CPU", |(_, name)| name),
        std::thread::available_parallelism().map_or(1, usize::from),
    )
}

/// Replaces what stands between the two marks.
pub fn write(root: &Path, table: &str) -> Result<()> {
    let path = root.join("docs/performance.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("docs/performance.md has no table mark")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md has no end of table")?;
    fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_shares() {
        assert_eq!(median(vec![3.0, 1.0, f64::NAN, 2.0]), 2.0);
        let samples =
            |values: [f64; 3]| values.map(|micros| Sample { micros, ..Sample::default() }).to_vec();
        let figures = |values| Figures {
            highest: samples(values),
            moderate: samples(values),
            idle: Vec::new(),
        };
        let (mine, theirs) = (figures([1.0, 2.0, 9.0]), figures([2.0, 8.0, 9.0]));
        assert_eq!(shares(&mine, Some(&theirs)), "0.50, 0.50");
        assert_eq!(shares(&mine, None), "");
    }
}
