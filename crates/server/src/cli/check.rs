//! `ringway check`: what is wrong with a configuration, all of it, without starting anything.

use std::io::Write as _;

use super::{Global, exit, print};
use crate::config::Flags;

/// Check a configuration: every mistake at once, with its place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway check\n  \
    ringway check -c /etc/ringway/ringway.toml\n  \
    ringway check --json          # one object per mistake\n  \
    ringway check --strict        # warnings count as well")]
pub struct Args {
    /// One JSON object per mistake, one per line.
    #[arg(long)]
    json: bool,
    /// Exit 1 on warnings too.
    #[arg(long)]
    strict: bool,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let loaded = global.load(Flags::default());
    let findings = &loaded.findings;
    if args.json {
        print(&findings.json());
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
