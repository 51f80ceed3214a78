//! One black-box suite for two subjects, Ringway and Debian's Kamailio: real peers, hostile peers, bad networks. It knows the
//! subject only by its sockets, its command line and its process; it never links a crate of the server.
//!
//! Every case runs in a process of its own, inside its own network and process namespace: all ports are free, nothing
//! can reach the outside, and when the case ends everything it started ends with it.

mod agent;
mod audio;
mod case;
mod child;
mod digest;
mod dns;
mod nat;
mod peer;
mod scheduler;
mod security;
mod sip;
mod subject;
mod ua;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::case::{Case, Group};
use crate::subject::Kind;

const USAGE: &str = "\
conformance [--subject ringway|kamailio] [--group peers|security] [--jobs N] [--list] [CASE...]
conformance --serve-zone FILE ADDRESS:PORT

  --subject   who is tested (default: ringway, or the variable SUBJECT)
  --group     only this group of cases
  --jobs      cases at a time (default 2); those that measure run alone anyway
  --list      name the cases and stop
  --serve-zone  be a name server for this zone file, until interrupted (examples/dns-failover)

RINGWAY names the server's binary (default: target/release/ringway). RINGWAY_CORPUS names a folder with further
malformed inputs. Root is needed, or a kernel that allows user namespaces.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, file, address] = &words[..]
        && first == "--serve-zone"
    {
        return serve_zone(file, address);
    }
    match arguments(words.into_iter()).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn serve_zone(file: &str, address: &str) -> ExitCode {
    let served = std::fs::read_to_string(file).context("cannot be read").and_then(|zone| {
        let address = address.parse().with_context(|| format!("{address} is no address:port"))?;
        dns::NameServer::start(address, &zone, |_| dns::Rule::Zone)
    });
    match served {
        Ok(server) => {
            println!("{file} is served at {address}, UDP and TCP; end it with Ctrl-C");
            server.forever();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {file}: {error:#}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    kind: Kind,
    group: Option<Group>,
    jobs: usize,
    list: bool,
    /// We are the process inside the namespace, and run exactly one case.
    inside: bool,
    names: Vec<String>,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
    let subject = std::env::var("SUBJECT").unwrap_or_else(|_| "ringway".into());
    let mut found = Arguments {
        kind: subject.parse()?,
        group: None,
        jobs: 2,
        list: false,
        inside: false,
        names: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--subject" => found.kind = value()?.parse()?,
            "--group" => found.group = Some(value()?.parse()?),
            "--jobs" => found.jobs = value()?.parse().context("--jobs needs a number")?,
            "--list" => found.list = true,
            "--inside" => found.inside = true,
            "--help" | "-h" => bail!("{USAGE}"),
            option if option.starts_with('-') => bail!("{option} is not an option\n\n{USAGE}"),
            _ => found.names.push(word),
        }
    }
    Ok(found)
}

/// `Ok(false)`: the suite ran and something failed.
fn run(arguments: Arguments) -> Result<bool> {
    let all = case::all();
    let mut cases: Vec<&Case> = all.iter().collect();
    for name in &arguments.names {
        if !all.iter().any(|c| c.name == name) {
            bail!("`{name}` is not a case; --list names them");
        }
    }
    if !arguments.names.is_empty() {
        cases.retain(|c| arguments.names.iter().any(|n| n == c.name));
    }
    if let Some(group) = arguments.group {
        cases.retain(|c| c.group == group);
    }
    if arguments.list {
        for case in cases {
            println!("{:9} {:24} {}", case.group.name(), case.name, case.about);
        }
        return Ok(true);
    }
    if arguments.inside {
        let case = cases.first().context("--inside needs the name of a case")?;
        return world::inside(case, arguments.kind);
    }
    scheduler::run(&cases, arguments.kind, arguments.jobs)
}

/// The folder of the project.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}
