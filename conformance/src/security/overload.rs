//! O-1: more calls than the server can do. What it can do it goes on doing, the rest is told when to come again, and all is
//! well soon after. The server has one core and the load another: a call that is turned away costs neither of them much.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::agent::Agent;
use crate::child::Child;
use crate::sip::Draft;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

/// A share of a peak moves with whatever else the machine does: it counts when it is reached in one of so many tries.
const TRIES: u32 = 3;

pub fn twice(world: &mut World) -> Result<String> {
    overload(world, 2, 80)
}

pub fn five_times(world: &mut World) -> Result<String> {
    overload(world, 5, 70)
}

fn load(world: &World, server: &Server, name: &str, pace: [&str; 2], time: &str) -> Result<Value> {
    let users: Vec<String> = (1..=20).map(|n| format!("u{n}")).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(crate::world::ringway());
    command.args(["load", &server.address.to_string(), "--domain", DOMAIN, "--json"]);
    command.args(["--users", &users.join(","), "--password-env", "PW", "--for", time]);
    command.args(pace).env("PW", PASSWORD);
    let mut child = Child::start(&world.folder, name, &mut command)?;
    child.wait(Duration::from_secs(70))?;
    child.report()
}

/// Calls a second that came to a good end.
fn goodput(report: &Value) -> Result<f64> {
    let ok = report["units"]["ok"].as_f64().context("no count")?;
    Ok(ok / report["seconds"].as_f64().context("no time")?)
}

/// The most it does when it is offered ever more: twice as much each time, until a tenth is not done.
fn peak(world: &World, server: &Server, name: &str) -> Result<f64> {
    let mut most = 0.0f64;
    for step in 0..6 {
        let rate = 2_000 << step;
        let report =
            load(world, server, &format!("{name}-{rate}"), ["--rate", &rate.to_string()], "2s")?;
        let good = goodput(&report)?;
        most = most.max(good);
        if good < 0.9 * f64::from(rate) {
            break;
        }
        recovery(server)?;
    }
    recovery(server)?;
    Ok(most)
}

fn overload(world: &mut World, factor: u32, least: u32) -> Result<String> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("needs two cores: one for the server, one for the load");
    }
    let users: Vec<String> = (1..=20).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let prefix = ["taskset", "-c", "0"].map(str::to_owned).to_vec();
    let sip = "workers = 1\n".to_owned();
    let mut server = world.start(&Settings { prefix, sip, ..Settings::local(&users) })?;
    let mut figures = measure(world, &mut server, factor, least);
    for _ in 1..TRIES {
        if let Err(error) = &figures {
            println!("again: {error:#}");
            figures = measure(world, &mut server, factor, least);
        }
    }
    figures
}

fn measure(world: &World, server: &mut Server, factor: u32, least: u32) -> Result<String> {
    let first = peak(world, server, "first")?;
    let rate = format!("{:.0}", first * f64::from(factor));
    let watched = server.address;
    let watch = std::thread::spawn(move || waits(watched));
    let report = load(world, server, "overload", ["--rate", &rate], "8s")?;
    let waits = watch.join().map_err(|_| anyhow::anyhow!("the watcher died"))??;
    let recovered = recovery(server)?;
    let after = load(world, server, "after", ["--rate", "20"], "2s")?;
    // Before and after: what else goes on on the machine is the same for all three.
    let second = peak(world, server, "second")?;
    let peak = (first + second) / 2.0;
    server.healthy()?;
    let got = goodput(&report)?;
    let share = got * 100.0 / peak;
    let figures = format!(
        "peak {peak:.0} calls/s; of {rate}/s offered {got:.0}/s good ({share:.0} %), {waits}, well again after {:.1} s; sender {}",
        recovered.as_secs_f64(),
        report["sender"]
    );
    if after["units"]["failed"] != 0 {
        bail!("{figures}; afterwards calls failed: {}", after["units"]);
    }
    // Two cores may be too few for twice what one does: then what the load itself could not send or hear is in the share,
    // and says nothing of the server. What it was told, and that it is well again, is judged all the same.
    if report["sender"]["limited"] == true {
        println!("the load was the limit, so the goal of {least} % is not judged: {figures}");
    } else if share < f64::from(least) {
        bail!(
            "{figures}: the goal is {least} % of the peak; failures {}",
            report["units"]["failures"]
        );
    }
    if recovered > Duration::from_secs(5) {
        bail!("{figures}: longer than 5 s");
    }
    Ok(figures)
}

/// What a stranger is told during the overload: 503 with a Retry-After of 5 to 30 s, not always the same.
fn waits(server: std::net::SocketAddr) -> Result<String> {
    let agent = Agent::new(LOCAL, server)?;
    let mut seen = std::collections::BTreeSet::new();
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        let to = format!("sip:u1@{DOMAIN}");
        let draft = Draft::new("INVITE", &to, &format!("sip:u2@{DOMAIN}"), &to);
        let Ok(answer) = agent.ask_within(&draft, Duration::from_secs(2)) else { continue };
        if answer.status() == 503 {
            let wait = answer.header("retry-after").context("a 503 without Retry-After")?;
            let seconds: u32 = wait.parse().with_context(|| format!("Retry-After: {wait}"))?;
            if !(5..=30).contains(&seconds) {
                bail!("Retry-After: {seconds}");
            }
            seen.insert(seconds);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if seen.is_empty() {
        bail!("nobody was turned away");
    }
    Ok(format!(
        "refused with Retry-After {} to {} s",
        seen.first().unwrap_or(&0),
        seen.last().unwrap_or(&0)
    ))
}

/// Until nobody is turned away any more.
fn recovery(server: &Server) -> Result<Duration> {
    let began = Instant::now();
    while server.status()?["shed_percent"] != 0 {
        if began.elapsed() > Duration::from_secs(20) {
            bail!("20 s after the overload calls are still turned away");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(began.elapsed())
}
