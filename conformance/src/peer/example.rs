//! The folders of `examples/`, started as their README says, with real peers around them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::sipp::Sipp;
use crate::agent;
use crate::child::Child;
use crate::dns::{NameServer, Rule};
use crate::world::{self, LOCAL, World};

const CALLER: u16 = 7001;
/// Callees that take whatever comes.
const ENDLESS: u32 = 100_000;

/// Starts the server of an example in a copy of its folder.
fn start(world: &World, name: &str) -> Result<Child> {
    let folder = world.folder.join(name);
    copy(&crate::root().join("examples").join(name), &folder)?;
    let mut command = Command::new(world::ringway());
    command.arg("run").current_dir(&folder);
    let mut child = Child::start(&folder, "ringway", &mut command)?;
    let ready = agent::alive(LOCAL, "127.0.0.1:5060".parse()?, Duration::from_secs(20));
    if ready.is_err() || !child.running() {
        bail!("the server of the example does not answer: {}", child.tail());
    }
    Ok(child)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        std::fs::copy(&path, to.join(name))?;
    }
    Ok(())
}

fn callee(world: &World, port: u16) -> Result<Sipp> {
    let mut uas = Sipp::start(world, "uas", port, ENDLESS, &[])?;
    uas.listening(port)?;
    Ok(uas)
}

/// So many calls to the name, and not one of them fails.
fn call(world: &World, port: u16, calls: u32) -> Result<()> {
    let arguments = ["127.0.0.1:5060", "-r", "50"];
    Sipp::start(world, "uac_name", port, calls, &arguments)?.finish()?;
    Ok(())
}

/// Waits until all of them together have ended so many calls; how many each.
fn shares<const N: usize>(callees: [&Sipp; N], calls: u64) -> Result<[u64; N]> {
    let start = Instant::now();
    loop {
        let good = callees.map(|callee| callee.so_far().map_or(0, |counts| counts.good));
        if good.iter().sum::<u64>() >= calls {
            return Ok(good);
        }
        if start.elapsed() > Duration::from_secs(15) {
            bail!("{good:?} calls, and {calls} were made");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn dns_failover(world: &mut World) -> Result<String> {
    let zone = crate::root().join("examples/dns-failover/example.org.zone");
    let zone = std::fs::read_to_string(&zone).with_context(|| zone.display().to_string())?;
    let _names = NameServer::start("127.0.0.1:5353".parse()?, &zone, |_| Rule::Zone)?;
    let server = start(world, "dns-failover")?;
    let (one, two) = (callee(world, 5071)?, callee(world, 5072)?);
    let three = callee(world, 5073)?;
    call(world, CALLER, 200)?;
    let [first, second] = shares([&one, &two], 200)?;
    // 150 and 50, five deviations to either side.
    if !(119..=181).contains(&first) || first + second != 200 {
        bail!("of 200 calls the first server had {first} and the second {second}");
    }
    drop(one);
    call(world, CALLER + 1, 50)?;
    drop(two);
    call(world, CALLER + 2, 50)?;
    let [third] = shares([&three], 50)?;
    let log = server.output();
    let turned = log.lines().filter(|line| line.contains("failed_over")).count();
    if third != 50 || turned == 0 {
        bail!(
            "the third server had {third} of 50 calls; {turned} lines say that another was tried"
        );
    }
    Ok(format!(
        "200 calls shared {first} to {second}; 50 and 50 more without a failure when one and two are gone; {turned} \
         lines say that another was tried"
    ))
}
