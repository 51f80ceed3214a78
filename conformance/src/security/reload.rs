//! the configuration is read again a thousand times while calls run, one file in ten with a mistake. No call notices; a
//! bad file changes nothing, not even what is good in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::child::Child;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{World, command, ringway};

const RELOADS: u32 = 1_000;
/// Every so many files there is a bad one.
const BAD: u32 = 10;
/// Between two of them; together they last as long as many calls.
const PAUSE: Duration = Duration::from_millis(10);
/// Of what the machine can do. Less, if the machine has more to do than a moment ago and calls are turned away for that: a
/// reload that stops calls stops them at any load.
const LOADS: [f64; 3] = [0.6, 0.3, 0.1];

const USERS: [&str; 8] = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];

/// The admin socket, one request at a time.
struct Admin(BufReader<UnixStream>);

impl Admin {
    fn connect(folder: &Path) -> Result<Self> {
        let stream = UnixStream::connect(folder.join("ringway-data/admin.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, what: &str) -> Result<Value> {
        let request = format!("{}\n", json!({"v": 1, "ask": what}));
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("{what}: {line}"))
    }
}

/// The file of the start, number n of its variants: everything in it that may change while calls run does.
fn variant(first: &str, n: u32) -> String {
    let (even, odd) = (n.is_multiple_of(2), !n.is_multiple_of(2));
    let domains = format!("domains = [\"{DOMAIN}\", \"n{n}.example\"]");
    let text = first.replace(&format!("domains = [\"{DOMAIN}\"]"), &domains);
    let text = text.replace("allow_outbound = false", &format!("allow_outbound = {even}"));
    let text = text.replace("recurse = false", &format!("recurse = {odd}"));
    let fork = 10 + n % 20;
    let text = text.replace("[proxy]\n", &format!("[proxy]\nfork_timeout = \"{fork}s\"\n"));
    let rate = 20 + n;
    text + &format!(
        "[limits]\nper_source = {{ requests = \"{rate}/s\" }}\nconnections = {}\n",
        10_000 + n
    )
}

fn load(world: &World, server: &Server, name: &str, pace: [&str; 2], time: &str) -> Result<Child> {
    let mut command = Command::new(ringway());
    command.args(["load", &server.address.to_string(), "--domain", DOMAIN, "--json"]);
    command.args(["--users", &USERS.join(","), "--password-env", "PW", "--for", time]);
    command.args(pace).env("PW", PASSWORD);
    Child::start(&world.folder, name, &mut command)
}

/// What the machine can do, generator included: calls a second when the next begins as soon as one ends.
fn most(world: &World, server: &Server) -> Result<f64> {
    let mut child = load(world, server, "most", ["--window", "8"], "3s")?;
    child.wait(Duration::from_secs(30))?;
    let report = child.report()?;
    let ok = report["units"]["ok"].as_f64().context("no count")?;
    Ok(ok / report["seconds"].as_f64().context("no time")?)
}

pub fn config_reload(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&USERS))?;
    let first = std::fs::read_to_string(server.folder().join("ringway.toml"))?;
    for share in LOADS {
        let rate = most(world, &server)? * share;
        let shed_before = server.status()?["counters"]["shed"].clone();
        let name = format!("calls-{share}");
        let mut calls = load(world, &server, &name, ["--rate", &format!("{rate:.0}")], "2m")?;
        let refused = reloads(&server, &first)?;
        if !calls.running() {
            bail!("the load ended before the reloads: {}", calls.tail());
        }
        command(&["kill", "-USR1", &calls.id().to_string()])?;
        calls.wait(Duration::from_secs(30))?;
        let report = calls.report()?;
        let units = &report["units"];
        let figures = format!(
            "{RELOADS} reloads, {refused} refused whole; {} of {} calls good at {rate:.0}/s, set-up p99 {} ms",
            units["ok"], units["started"], report["setup_ms"]["p99"]
        );
        server.healthy()?;
        let counters = server.status()?["counters"].clone();
        if counters["panics"] != 0 || counters["store_failed"] != 0 {
            bail!("{figures}: {counters}");
        }
        if units["failed"] == 0 && units["ok"].as_u64().is_some_and(|ok| ok >= 100) {
            return Ok(figures);
        }
        if counters["shed"] == shed_before {
            bail!("{figures}: {}", units["failures"]);
        }
        eprintln!("{figures}: the machine was too busy for this; again with less");
    }
    bail!("calls are turned away however few there are")
}

/// All of them; how many were bad.
fn reloads(server: &Server, first: &str) -> Result<u32> {
    let file = server.folder().join("ringway.toml");
    let mut admin = Admin::connect(server.folder())?;
    let (mut before, mut refused) = (admin.ask("status")?, 0);
    for n in 1..=RELOADS {
        let is_bad = n.is_multiple_of(BAD);
        let text = variant(first, n);
        // The mistake comes last: everything before it is good, and new.
        let text = if is_bad { text + "[log]\nlevle = \"info\"\n" } else { text };
        std::fs::write(&file, text)?;
        let reply = admin.ask("reload")?;
        let after = admin.ask("status")?;
        if is_bad {
            refused += 1;
            let what = reply["findings"][0]["code"].as_str();
            let same = ["domains", "config_since"].iter().all(|key| before[*key] == after[*key]);
            if reply["ok"] != false || what != Some("unknown-key") || !same {
                bail!("reload {n}, with a mistake: {reply}; before {before}, after {after}");
            }
        } else if reply["ok"] != true
            || reply["needs_restart"] != json!([])
            || after["domains"] != json!([DOMAIN, format!("n{n}.example")])
        {
            bail!("reload {n}: {reply}; afterwards {after}");
        }
        before = after;
        std::thread::sleep(PAUSE);
    }
    Ok(refused)
}
