//! SIPp: starts it with one of our scenarios and reads its own count of what went well.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::child::Child;
use crate::world::World;

pub struct Sipp {
    child: Child,
    name: String,
    statistics: PathBuf,
    errors: PathBuf,
}

/// What SIPp counted at its end.
#[derive(Debug)]
pub struct Counts {
    pub good: u64,
    pub failed: u64,
    pub unexpected: u64,
    pub retransmissions: u64,
}

impl Sipp {
    /// Starts `scenario` on `port`; `calls` and then it ends. `arguments` are SIPp's own.
    pub fn start(
        world: &World,
        scenario: &str,
        port: u16,
        calls: u32,
        arguments: &[&str],
    ) -> Result<Self> {
        let name = format!("sipp-{}-{port}", scenario.replace(':', "-"));
        let statistics = world.folder.join(format!("{name}.csv"));
        let errors = world.folder.join(format!("{name}.errors"));
        let mut command = Command::new("sipp");
        command.args(arguments);
        match scenario.strip_prefix("own:") {
            // One of those that SIPp brings along.
            Some(own) => command.args(["-sn", own]),
            None => {
                let file = world.scenarios.join("sipp").join(format!("{scenario}.xml"));
                command.arg("-sf").arg(file)
            }
        };
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-m", &calls.to_string()]);
        command
            .args([
                "-nostdin",
                "-timeout",
                "90",
                "-timeout_error",
                "-trace_stat",
                "-fd",
                "1",
                "-stf",
            ])
            .arg(&statistics);
        command.args(["-trace_err", "-error_file"]).arg(&errors);
        command.env("TERM", "dumb").current_dir(&world.folder);
        let child = Child::start(&world.folder, &name, &mut command)?;
        Ok(Self { child, name, statistics, errors })
    }

    /// Waits for its end: every call good, nothing unexpected.
    pub fn finish(mut self) -> Result<Counts> {
        let status = self.child.wait(Duration::from_secs(100))?;
        let counts = self
            .counts()
            .with_context(|| format!("{} ({status}): {}", self.name, self.child.tail()))?;
        if !status.success() || counts.failed > 0 || counts.unexpected > 0 {
            let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
            let first: Vec<&str> =
                errors.lines().filter(|l| !l.trim().is_empty()).take(8).collect();
            bail!("{} ended with {status}, {counts:?}: {}", self.name, first.join(" / "));
        }
        Ok(counts)
    }

    /// Tells it to end, as a callee that does not know how many calls will come to it; what it counted.
    pub fn stop(mut self) -> Result<Counts> {
        crate::world::command(&["kill", "-USR1", &self.child.id().to_string()])?;
        self.child.wait(Duration::from_secs(20))?;
        self.counts().with_context(|| format!("{}: {}", self.name, self.child.tail()))
    }

    /// Waits until it listens.
    pub fn listening(&mut self, port: u16) -> Result<()> {
        let hex = format!(":{port:04X} ");
        for _ in 0..400 {
            let udp = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
            if udp.contains(&hex) {
                return Ok(());
            }
            if !self.child.running() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not listen: {}", self.name, self.child.tail())
    }

    /// What it has counted so far; it writes that once a second.
    pub fn so_far(&self) -> Result<Counts> {
        self.counts()
    }

    fn counts(&self) -> Result<Counts> {
        let text = std::fs::read_to_string(&self.statistics).context("it wrote no statistics")?;
        let mut lines = text.lines().filter(|l| !l.is_empty());
        let names: Vec<&str> = lines.next().context("empty statistics")?.split(';').collect();
        let values: Vec<&str> =
            lines.next_back().context("no row of statistics")?.split(';').collect();
        let value = |name: &str| {
            let at = names.iter().position(|n| *n == name);
            at.and_then(|a| values.get(a)).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Counts {
            good: value("SuccessfulCall(C)"),
            failed: value("FailedCall(C)"),
            unexpected: value("FailedUnexpectedMessage(C)")
                + value("OutOfCallMsgs(C)")
                + value("DeadCallMsgs(C)"),
            retransmissions: value("Retransmissions(C)"),
        })
    }
}
