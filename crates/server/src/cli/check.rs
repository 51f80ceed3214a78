//! `ringway check`: what is wrong with a configuration, all of it, without starting anything.

use std::io::Write as _;

use super::{Global, exit, print};
use crate::config::{Flags, note};

/// Check a configuration: every mistake at once, with its place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway check\n  \
    ringway check -c /etc/ringway/ringway.toml\n  \
    ringway check --json          # one object per mistake\n  \
    ringway check --format github # marks in a pull request\n  \
    ringway check --strict        # warnings count as well")]
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
    /// Exit 1 on warnings too.
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
    let mut loaded = global.load(Flags::default());
    if loaded.findings.errors() == 0 {
        loaded.findings.mistakes.extend(note::of(&loaded.settings));
    }
    let findings = &loaded.findings;
    let format = args.format.unwrap_or(if args.json { Format::Json } else { Format::Human });
    if format == Format::Json {
        print(&findings.json());
    } else if format == Format::Github {
        print(&findings.github());
    } else {
        print(&findings.human(global.color()));
        let place = match &loaded.path {
            Some(path) => path.display().to_string(),
            None => "no configuration found; the defaults".to_owned(),
        };
        let verdict = match (findings.errors(), findings.warnings()) {
            (0, 0) => format!("{place}: valid\n"),
            (0, _) => format!("{}. {place}: valid\n", findings.summary()),
            _ => format!(
                "{}. Not valid; the running server keeps its configuration.\n",
                findings.summary()
            ),
        };
        let _ = std::io::stderr().write_all(verdict.as_bytes());
    }
    let bad = findings.errors() > 0 || (args.strict && findings.warnings() > 0);
    if bad { exit::NO } else { exit::YES }
}
