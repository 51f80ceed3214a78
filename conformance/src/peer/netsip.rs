//! Net::SIP, a third independent stack: registers, calls, sends sound through an echo, hangs up.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::child::Child;
use crate::subject::{PASSWORD, Server, Settings};
use crate::world::World;

pub fn call(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    // Two seconds of silence in G.711.
    let sound = world.folder.join("silence.pcmu");
    std::fs::write(&sound, vec![0xffu8; 16_000])?;
    let mut callee = script(world, &server, "answer", 7102, "bob", &[])?;
    callee.says("listening", Duration::from_secs(15))?;
    let sound = sound.display().to_string();
    let mut caller =
        script(world, &server, "call", 7101, "alice", &["sip:bob@example.com", &sound])?;
    caller.succeed(Duration::from_secs(30))?;
    callee.succeed(Duration::from_secs(10))?;
    for (name, output) in [("caller", caller.output()), ("callee", callee.output())] {
        if !output.contains("registered 60") {
            bail!("{name}: {}", output.replace('\n', " / "));
        }
    }
    server.healthy()?;
    Ok("registered both, call established, BYE seen by the callee".into())
}

fn script(
    world: &World,
    server: &Server,
    name: &str,
    port: u16,
    user: &str,
    more: &[&str],
) -> Result<Child> {
    let mut command = Command::new("perl");
    command.arg(world.scenarios.join("perl").join(format!("{name}.pl")));
    command.args([&server.address.to_string(), &port.to_string(), user, PASSWORD]).args(more);
    Child::start(&world.folder, name, &mut command)
}
