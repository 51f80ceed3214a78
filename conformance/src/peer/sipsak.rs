//! sipsak: a ping, a registration that is used, and a traceroute that ends in 483.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::child::Child;
use crate::subject::{PASSWORD, Settings};
use crate::world::World;

pub fn run(world: &mut World) -> Result<String> {
    // sipsak reads one challenge, and knows only MD5.
    let mut server = world.start(&Settings::local(&["sak"]).old_digest())?;
    let to = server.address.to_string();
    let ping = sipsak(world, "ping", &["-vv", "-s", &format!("sip:{to}")])?;
    if !ping.contains("200") {
        bail!("OPTIONS: {}", last(&ping));
    }
    let register =
        ["-U", "-vv", "-p", &to, "-s", "sip:sak@example.com", "-C", "sip:sak@127.0.0.1:7200"];
    let more = ["-x", "60", "-a", PASSWORD, "-u", "sak"];
    let registered = sipsak(world, "register", &[&register[..], &more[..]].concat())?;
    if !registered.contains("completed successful") {
        bail!("REGISTER: {}", last(&registered));
    }
    let trace = sipsak(world, "trace", &["-T", "-vvv", "-s", &format!("sip:nobody@{to}")])?;
    if !trace.contains("483") {
        bail!("traceroute: {}", last(&trace));
    }
    server.healthy()?;
    Ok("OPTIONS 200, registration with digest, traceroute sees 483 at the first hop".into())
}

fn sipsak(world: &World, name: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("sipsak");
    command.args(arguments);
    let mut child = Child::start(&world.folder, &format!("sipsak-{name}"), &mut command)?;
    child.wait(Duration::from_secs(15))?;
    Ok(child.output())
}

fn last(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(3)).copied().collect::<Vec<_>>().join(" / ")
}
