//! What our phones say of a bad network: the firewall drops 30 % of RTP and counts, and so do they.

use anyhow::{Context as _, Result, bail};

use super::phone::Phone;
use super::wire::{self, Receiver};
use crate::subject::Settings;
use crate::world::World;

/// Of ten seconds; a slow machine sends fewer, and then there is nothing to judge.
const PACKETS_MIN: u32 = 250;
/// In points of a hundred.
const NEAR: f64 = 2.0;

pub fn rtp(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    let receivers = [
        Receiver { name: "alice", matches: "ip daddr 127.0.0.2".into() },
        Receiver { name: "bob", matches: "ip daddr 127.0.0.3".into() },
    ];
    wire::watch(world, &receivers, 30)?;
    let answering = ["--json", "--count", "1", "--bind", "127.0.0.3"];
    let mut bob = Phone::listening(world, &server, "bob", &answering)?;
    let calling = ["call", "bob", "--json", "--for", "10s", "--bind", "127.0.0.2"];
    let mut alice = Phone::start(world, &server, "alice", &calling)?;
    let mut figures = Vec::new();
    for (name, phone) in [("alice", &mut alice), ("bob", &mut bob)] {
        let said = phone.ends_with(0)?.object()?;
        let told = said["rtp"]["loss_percent"].as_f64().context("no loss_percent")?;
        let (sent, lost) = wire::counted(name)?;
        let counted = 100.0 * f64::from(lost) / f64::from(sent);
        let line = format!("{name} says {told} %, the firewall {counted:.1} % of {sent}");
        if sent < PACKETS_MIN || (told - counted).abs() > NEAR {
            bail!("{line}: {said}");
        }
        figures.push(line);
    }
    server.healthy()?;
    Ok(figures.join("; "))
}
