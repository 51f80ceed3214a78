//! `cargo xtask test`: every check of the project in one run, cheapest first. It ends with `N passed, N failed`, and it
//! goes on after a failure, so that one run shows everything that is wrong.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{Tally, Verdict, counted};
use crate::{bench, cargo, count, licence, package, tidy};

/// A step by its name, in the order of running.
type Step = (&'static str, fn(&Path) -> Result<Verdict>);

const STEPS: &[Step] = &[
    ("packages", |_| package::install().map(|()| Verdict::one(true))),
    ("format", |root| counted(cargo(root).args(["fmt", "--all", "--check"]))),
    ("tidy", |root| tidy::run(root, false).map(Verdict::one)),
    ("licence", |root| licence::run(root).map(Verdict::one)),
    ("deny", deny),
    ("clippy", |root| {
        counted(cargo(root).args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    }),
    ("unit", |root| {
        counted(cargo(root).args(["test", "--workspace", "--locked", "--no-fail-fast"]))
    }),
    // The suite tests the release build; the test of panics needs the debug build, which alone has the hook.
    ("build", |root| {
        counted(cargo(root).args(["build", "--locked", "-p", "server"]))?;
        counted(cargo(root).args([
            "build",
            "--release",
            "--locked",
            "-p",
            "server",
            "-p",
            "conformance",
        ]))
    }),
    ("count", |root| count::run(root).map(Verdict::one)),
    ("conformance", |root| suite(root, "ringway", &["--group", "peers"])),
    // The same peers against Kamailio: does the yardstick still measure? What Kamailio is known to miss fails nothing.
    ("yardstick", |root| suite(root, "kamailio", &["--group", "peers"])),
    ("security", |root| suite(root, "ringway", &["--group", "security"])),
    // Does the comparison with Kamailio still run, and do its counts add up? It is no measurement.
    ("bench", |root| {
        bench::run(root, &["kamailio".to_owned(), "--quick".to_owned()]).map(Verdict::one)
    }),
];

/// Runs all steps, or those named.
pub fn run(root: &Path, chosen: &[String]) -> Result<bool> {
    if chosen.iter().any(|c| c == "--list") {
        STEPS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(true);
    }
    if let Some(unknown) = chosen.iter().find(|c| STEPS.iter().all(|(name, _)| name != c)) {
        bail!("`{unknown}` is not a step; `cargo xtask test --list` names them");
    }
    let mut tally = Tally::default();
    for (name, body) in STEPS {
        if chosen.is_empty() || chosen.iter().any(|c| c == name) {
            tally.step(name, || body(root));
        }
    }
    Ok(tally.close())
}

/// `cargo deny`, for those who have it. Building it takes minutes, and our own `licence` step reads the same list, so its
/// absence is no failure; what it adds is the database of advisories.
fn deny(root: &Path) -> Result<Verdict> {
    let here = cargo(root).args(["deny", "--version"]).output().is_ok_and(|o| o.status.success());
    if !here {
        println!(
            "cargo-deny is not installed (cargo install --locked cargo-deny); licences and sources were checked by `licence`"
        );
        return Ok(Verdict { passed: 0, failed: 0 });
    }
    counted(cargo(root).args(["deny", "check", "bans", "licenses", "sources"]))
}

/// The black-box suite, against the release build or Kamailio. Its peers include a few seconds of our own load.
fn suite(root: &Path, subject: &str, arguments: &[&str]) -> Result<Verdict> {
    let program = root.join("target/release/conformance");
    if !program.exists() {
        bail!("{} is not built", program.display());
    }
    counted(Command::new(program).current_dir(root).args(["--subject", subject]).args(arguments))
}
