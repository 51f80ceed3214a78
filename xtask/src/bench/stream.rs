//! Row (h): calls over TCP, driven by SIPp, because our own load speaks UDP only. One connection from the caller and one to the
//! callee, at one rate that SIPp can keep up with; what is taken is the subject's CPU for a call. There is no bare relay.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Sample, Size};

/// Calls a second.
const RATE: u64 = 500;

/// A callee that is ended with its row.
struct Callee(Child);

impl Drop for Callee {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sipp(folder: &Path, scenario: &Path, port: u16) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "sipp", "-sf"]).arg(scenario);
    command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-t", "t1", "-nostdin"]);
    command.env("TERM", "dumb").current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// `server`: the subject's process; `port` its address, the callers' and the callees' are the next two.
pub fn load(root: &Path, folder: &Path, server: u32, port: u16, size: &Size) -> Result<Sample> {
    let (caller, callee) = (port + 1, port + 2);
    let rate = if size.quick { 50 } else { RATE };
    let count = rate * size.seconds.max(2);
    let uas = sipp(folder, &root.join("conformance/sipp/uas.xml"), callee).spawn();
    let _callee = Callee(uas.context("sipp could not be started")?);
    listening(callee)?;
    let statistics = folder.join("sipp.csv");
    let mut command = sipp(folder, &root.join("xtask/bench/tcp_uac.xml"), caller);
    command.arg(format!("127.0.0.1:{port}")).args(["-r", &rate.to_string()]);
    command.args(["-m", &count.to_string(), "-key", "callee", &format!("127.0.0.1:{callee}")]);
    command.args(["-timeout", "120", "-trace_stat", "-fd", "1", "-stf"]).arg(&statistics);
    let before = cpu(server)?;
    let status = command.status().context("sipp could not be started")?;
    let spent = cpu(server)?.saturating_sub(before);
    let good = successful(&statistics)?;
    Ok(Sample {
        rate: rate as f64,
        micros: spent.as_secs_f64() * 1e6 / good.max(1) as f64,
        p50: f64::NAN,
        p99: f64::NAN,
        ok: good,
        failed: count.saturating_sub(good) + u64::from(!status.success() && good == count),
        ..Sample::default()
    })
}

fn listening(port: u16) -> Result<()> {
    let hex = format!(":{port:04X} 00000000:0000 0A");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        if fs::read_to_string("/proc/net/tcp").unwrap_or_default().contains(&hex) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the callee does not listen on port {port}")
}

/// User and system time of a process and its children.
fn cpu(process: u32) -> Result<Duration> {
    let mut ticks = 0;
    let mut processes = vec![process];
    while let Some(process) = processes.pop() {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let fields: Vec<&str> =
            stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        let field = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        ticks += field(11) + field(12);
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        processes.extend(
            children.unwrap_or_default().split_whitespace().filter_map(|p| p.parse::<u32>().ok()),
        );
    }
    Ok(Duration::from_millis(ticks * 10))
}

fn successful(statistics: &Path) -> Result<u64> {
    let text = fs::read_to_string(statistics).context("sipp wrote no statistics")?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let values: Vec<&str> = lines.next_back().unwrap_or_default().split(';').collect();
    let at = names.iter().position(|name| *name == "SuccessfulCall(C)");
    at.and_then(|at| values.get(at)?.parse().ok()).context("no count of calls")
}
