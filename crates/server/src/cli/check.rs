//! `ringway check`: what is wrong with a configuration, all of it, without starting anything.

use std::io::Write as _;

use super::{Global, exit, print};
use crate::config::{Flags, Loaded, note};

/// Check a configuration: every mistake at once, with its place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway check\n  \
    ringway check -c /etc/ringway/ringway.toml\n  \
    ringway check --json          # one object per mistake\n  \
    ringway check --format github # marks in a pull request\n  \
    ringway check --strict        # warnings and deviations count\n\n\
    Errors are mistakes, warnings are dangerous. A deviation is what is less careful\n\
    than the default: it may be meant, and `run` says nothing about it.")]
pub struct Args {
    /// One JSON object per mistake, one per line.
    #[arg(long)]
    json: bool,
    /// How to say it: human, json, or github (workflow commands).
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        conflicts_with = "json",
        hide_possible_values = true
    )]
    format: Option<Format>,
    /// Exit 1 on warnings and deviations too.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Github,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let Loaded { mut findings, deviations, settings, path, .. } = global.load(Flags::default());
    findings.mistakes.extend(deviations);
    findings.sort();
    if findings.errors() == 0 {
        findings.mistakes.extend(note::of(&settings));
    }
    let format = args.format.unwrap_or(if args.json { Format::Json } else { Format::Human });
    if format == Format::Json {
        print(&findings.json());
    } else if format == Format::Github {
        print(&findings.github());
    } else {
        print(&findings.human(global.color()));
        let place = match &path {
            Some(path) => path.display().to_string(),
            None => "no configuration found; the defaults".to_owned(),
        };
        let verdict = match (findings.errors(), findings.mistakes.len()) {
            (0, 0) => format!("{place}: valid\n"),
            (0, _) => format!("{}. {place}: valid\n", findings.summary()),
            _ => format!(
                "{}. Not valid; the running server keeps its configuration.\n",
                findings.summary()
            ),
        };
        let _ = std::io::stderr().write_all(verdict.as_bytes());
    }
    let strictly = findings.errors() + findings.warnings() + findings.deviations();
    let bad = findings.errors() > 0 || (args.strict && strictly > 0);
    if bad { exit::NO } else { exit::YES }
}
