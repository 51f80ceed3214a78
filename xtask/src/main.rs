//! `cargo xtask`: the chores of the project, as a program. It holds no code that ships.

mod bench;
mod count;
mod licence;
mod package;
mod step;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  test [STEP...]              everything a contributor must see green; `test --list` names the steps
  tidy [--write]              structure, names, citations, documents; --write renews docs/rfc.md and the size list
  sim [SEED]                  replay one seeded world with its ladder
  soak [MINUTES]              many seeded worlds, one after the other
  bench kamailio [--quick]    measure calls and registrations, next to Debian's Kamailio
  conformance [--subject ringway|kamailio] [CASE...]
                              real peers against the real server; `conformance --list` names the cases
  count                       instructions per operation, against the kept limits
  licence                     the licence of every dependency";

fn main() -> ExitCode {
    match command(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command. `Ok(false)`: it ran, and the answer was no.
fn command(arguments: Vec<String>) -> Result<bool> {
    let root = root()?;
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    match name {
        "test" => test::run(&root, rest),
        "tidy" => tidy::run(&root, rest.iter().any(|a| a == "--write")),
        "sim" => simulation(&root, "replay", rest),
        "soak" => simulation(&root, "soak", rest),
        "conformance" => conformance(&root, rest),
        "bench" => bench::run(&root, rest),
        "count" => count::run(&root),
        "licence" => licence::run(&root),
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(true)
        }
        other => bail!("`{other}` is not a command\n\n{USAGE}"),
    }
}

/// The folder of the workspace, wherever the command was typed.
fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map(Path::to_path_buf).context("xtask has no parent folder")
}

/// `cargo`, as the one that started us, in the workspace.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn simulation(root: &Path, world: &str, rest: &[String]) -> Result<bool> {
    let mut command = cargo(root);
    // One world is run sooner than an optimized build is made; thousands are not.
    let profile = if world == "soak" { "release" } else { "dev" };
    command.args(["run", "--quiet", "--profile", profile, "-p", "sim", "--example", world, "--"]);
    Ok(command.args(rest).status().context("cargo could not be started")?.success())
}

fn conformance(root: &Path, rest: &[String]) -> Result<bool> {
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--release", "-p", "conformance", "--"]).args(rest);
    Ok(command.status().context("cargo could not be started")?.success())
}
