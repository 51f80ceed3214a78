//! `examples/stateless-balancer`: SIPp callers and callees through the balancer, by UDP and TCP; then what its README says, word
//! for word but for the program's name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::sipp::Sipp;
use crate::child::Child;
use crate::world::{World, ringway};

const CALLS: u32 = 200;
const CORES: [u16; 2] = [5071, 5072];
const EDGE: &str = "127.0.0.1:5060";

pub fn run(world: &mut World) -> Result<String> {
    let example = crate::root().join("examples/stateless-balancer");
    for name in ["ringway.toml", "core-a.toml", "core-b.toml"] {
        std::fs::copy(example.join(name), world.folder.join(name)).context(name)?;
    }
    let calls = sipp(world)?;
    let readme = std::fs::read_to_string(example.join("README.md"))?;
    Ok(format!("{calls}; {}", as_written(world, &readme)?))
}

fn start(world: &World, name: &str, words: &[&str]) -> Result<Child> {
    let mut command = Command::new(ringway());
    command.args(words).current_dir(&world.folder);
    let mut child = Child::start(&world.folder, name, &mut command)?;
    child.says("ready in", Duration::from_secs(20))?;
    Ok(child)
}

fn sipp(world: &World) -> Result<String> {
    let mut edge = start(world, "edge", &["run"])?;
    let mut cores = Vec::new();
    for port in CORES {
        let mut core = Sipp::start(world, "own:uas", port, 100_000, &[])?;
        core.listening(port)?;
        cores.push(core);
    }
    for (port, transport) in [(7001, "u1"), (7002, "t1"), (7003, "tn")] {
        let arguments = [EDGE, "-r", "100", "-t", transport, "-max_socket", "500"];
        let counts = Sipp::start(world, "own:uac", port, CALLS, &arguments)?
            .finish()
            .with_context(|| format!("callers by {transport}"))?;
        if counts.good != u64::from(CALLS) {
            bail!("callers by {transport}: {counts:?}");
        }
    }
    let counts: Vec<u64> =
        cores.into_iter().map(|core| Ok(core.stop()?.good)).collect::<Result<_>>()?;
    let all: u64 = counts.iter().sum();
    let least = counts.iter().min().copied().unwrap_or(0);
    if all != u64::from(3 * CALLS) || least * 3 < all {
        bail!("the cores had {counts:?} of {} calls", 3 * CALLS);
    }
    edge.kill()?;
    Ok(format!("{all} calls by UDP, one TCP connection and many, {counts:?} of them to each core"))
}

/// The commands of the README: those that run until they are stopped, and those that are asked.
fn as_written(world: &World, readme: &str) -> Result<String> {
    let commands: Vec<&str> = readme
        .split("```")
        .skip(1)
        .step_by(2)
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("ringway "))
        .collect();
    let mut running = Vec::new();
    let mut answers = Vec::new();
    for line in commands {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"run") {
            running.push(start(world, &format!("example-{}", running.len()), &words)?);
        } else {
            answers.push((line.to_owned(), ask(&world.folder, &words)?));
        }
    }
    if running.len() != 3 || answers.len() < 4 {
        bail!("its README has {} servers and {} commands", running.len(), answers.len());
    }
    let registered = |core: &str| {
        let line = format!("regs list -c {core}.toml");
        let answer = answers.iter().find(|(asked, _)| *asked == line);
        answer.map_or(0, |(_, text)| text.lines().count())
    };
    let (a, b) = (registered("core-a"), registered("core-b"));
    if a + b != 200 || a.min(b) < 50 {
        bail!("of 200 phones {a} are at one core and {b} at the other: {answers:?}");
    }
    for child in &mut running {
        child.kill()?;
    }
    Ok(format!("its README works: {a} and {b} of 200 phones"))
}

fn ask(folder: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(ringway()).args(words).current_dir(folder).output()?;
    if !output.status.success() {
        bail!("ringway {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
