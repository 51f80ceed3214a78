//! `cargo xtask bench kamailio`: what a call, a registration and an OPTIONS cost here and in Debian's Kamailio, and what
//! they would cost a server that does nothing. The three take turns on the same core; `ringway load` drives each from
//! another one; medians of several rounds make one table.
//!
//! It measures and prints; it judges only with `--quick`, where it is a test that everything runs and adds up.

mod opponent;
mod stream;
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use opponent::{Opponent, Running};

const USAGE: &str = "\
cargo xtask bench kamailio [--quick] [--rounds N] [--seconds N] [--only ROWS] [--write]

  --quick       seconds instead of minutes: does it run, do the counts add up? (for CI)
  --rounds N    how often each figure is taken; the table has medians [3]
  --seconds N   length of one measurement [5]
  --only ROWS   some of: call register digest challenge options stateless tcp [all]
  --write       put the table into docs/performance.md";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Call,
    Register,
    /// REGISTER with credentials, one nonce used many times, as phones do.
    Digest,
    /// REGISTER challenged every time: two requests each.
    Challenge,
    Options,
    /// OPTIONS forwarded without state to somebody who answers, and the answer back: two messages.
    Stateless,
    /// Calls over TCP, by SIPp.
    Stream,
}

impl Row {
    const ALL: [Row; 7] = [
        Row::Call,
        Row::Register,
        Row::Digest,
        Row::Challenge,
        Row::Options,
        Row::Stateless,
        Row::Stream,
    ];

    const fn token(self) -> &'static str {
        match self {
            Row::Call => "call",
            Row::Register => "register",
            Row::Digest => "digest",
            Row::Challenge => "challenge",
            Row::Options => "options",
            Row::Stateless => "stateless",
            Row::Stream => "tcp",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Row::Call => "(a) call",
            Row::Register => "(b) REGISTER",
            Row::Digest => "(c) REGISTER, digest",
            Row::Challenge => "(c) REGISTER, challenged each time",
            Row::Options => "(d) OPTIONS",
            Row::Stateless => "(e) OPTIONS forwarded without state",
            Row::Stream => "(h) call over TCP",
        }
    }

    const fn needs_passwords(self) -> bool {
        matches!(self, Row::Digest | Row::Challenge)
    }
}

/// How long and how large.
pub struct Size {
    quick: bool,
    rounds: usize,
    seconds: u64,
    /// Users of the registration rows.
    population: u32,
    rows: Vec<Row>,
}

/// One run of `ringway load`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub rate: f64,
    pub micros: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Bytes.
    pub memory_before: f64,
    pub memory_peak: f64,
    pub ok: u64,
    pub failed: u64,
    pub unexpected: u64,
    pub registered: u64,
    pub sender_limited: bool,
}

/// Everything measured of one opponent in one row.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub highest: Vec<Sample>,
    pub moderate: Vec<Sample>,
    /// Bytes before anybody registered.
    pub idle: Vec<f64>,
}

/// The results, in the order of rows and opponents.
pub type Results = Vec<(Row, Vec<(Opponent, Figures)>)>;

pub fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let (size, write) = read(arguments)?;
    opponent::build(root)?;
    let mut results: Results = Vec::new();
    for row in &size.rows {
        let mut figures: Vec<(Opponent, Figures)> =
            Opponent::ALL.iter().map(|opponent| (*opponent, Figures::default())).collect();
        let mut moderate_rate = None;
        for round in 0..size.rounds {
            for (opponent, figures) in &mut figures {
                let what = format!("{} round {} {}", row.token(), round + 1, opponent.name());
                measure(root, *opponent, *row, &size, &mut moderate_rate, figures).context(what)?;
            }
        }
        results.push((*row, figures));
    }
    let text = table::render(&results);
    println!("\n{text}");
    if write {
        table::write(root, &text)?;
    }
    Ok(if size.quick { verdict(&results) } else { true })
}

fn read(arguments: &[String]) -> Result<(Size, bool)> {
    let (target, rest) = arguments.split_first().context(USAGE)?;
    if target != "kamailio" {
        bail!("`{target}` is not something to compare with\n\n{USAGE}");
    }
    let mut size =
        Size { quick: false, rounds: 3, seconds: 5, population: 200_000, rows: Row::ALL.into() };
    let mut write = false;
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse::<u64>().ok());
            value.filter(|n| *n > 0).with_context(|| format!("{word} needs a number\n\n{USAGE}"))
        };
        match word.as_str() {
            "--quick" => {
                size = Size { quick: true, rounds: 1, seconds: 1, population: 500, ..size };
            }
            "--rounds" => size.rounds = number()? as usize,
            "--seconds" => size.seconds = number()?,
            "--write" => write = true,
            "--only" => {
                let names = words.next().context(USAGE)?;
                let named = |name: &str| {
                    Row::ALL
                        .into_iter()
                        .find(|row| row.token() == name)
                        .with_context(|| format!("`{name}` is not a row\n\n{USAGE}"))
                };
                size.rows = names.split(',').map(named).collect::<Result<_>>()?;
            }
            other => bail!("`{other}` is not an option\n\n{USAGE}"),
        }
    }
    Ok((size, write))
}

/// One opponent, once: the highest rate (closed loop), then 40 % of what Kamailio's highest was (open loop).
fn measure(
    root: &Path,
    opponent: Opponent,
    row: Row,
    size: &Size,
    moderate_rate: &mut Option<f64>,
    figures: &mut Figures,
) -> Result<()> {
    if row == Row::Stream {
        if opponent != Opponent::Relay {
            let server = Running::start(root, opponent, row, size.population)?;
            let sample = server.stream(root, size)?;
            println!("{}", table::line(row, opponent, "one rate", &sample));
            figures.moderate.push(sample);
        }
        return Ok(());
    }
    let server = Running::start(root, opponent, row, size.population)?;
    figures.idle.push(server.memory()?);
    let seconds = Duration::from_secs(size.seconds);
    let highest = server.load(row, size, &Pace::Highest, seconds)?;
    println!("{}", table::line(row, opponent, "highest", &highest));
    let rate = *moderate_rate.get_or_insert(highest.rate * 0.4);
    figures.highest.push(highest);
    let moderate = server.load(row, size, &Pace::Rate(rate), seconds)?;
    println!("{}", table::line(row, opponent, "40 %", &moderate));
    figures.moderate.push(moderate);
    Ok(())
}

pub enum Pace {
    Highest,
    Rate(f64),
}

/// `--quick`: nobody may fail, and everybody must have done something.
fn verdict(results: &Results) -> bool {
    let mut good = true;
    for (row, opponents) in results {
        for (opponent, figures) in opponents {
            // A row without this opponent has no samples of it.
            for sample in figures.highest.iter().chain(&figures.moderate) {
                let right = sample.ok > 0 && sample.failed == 0 && sample.unexpected == 0;
                if !right {
                    println!("FAIL {} {}: {sample:?}", row.token(), opponent.name());
                }
                good &= right;
            }
        }
    }
    good
}
