//! Hold and resume (RFC 3264 §8.4), by us and by them: SIPp judges the direction attributes, the recordings tell whether sound
//! stopped and came back.

use anyhow::Result;

use super::phone::Phone;
use super::wire::{self, Receiver};
use super::{ALICE, ALICE_HZ, BOB, BOB_HZ, CAROL_HZ, callee, caller};
use crate::peer::baresip;
use crate::subject::{Server, Settings};
use crate::world::World;

/// What our phone does by the clock.
const BY_US: [&str; 6] = ["--hold-at", "1s", "--resume-at", "3s", "--for", "5s"];

pub fn hold(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob", "carol"]).open())?;
    held_by_sipp(world, &server)?;
    we_hold_sipp(world, &server)?;
    with_baresip(world, &server)?;
    server.healthy()?;
    Ok("sendonly is answered by recvonly each way, sound stops and comes back, with SIPp and with baresip".into())
}

/// It sends back what it gets, so a pause of ours is a pause in what we hear.
fn held_by_sipp(world: &World, server: &Server) -> Result<()> {
    let mut bob = Phone::listening(world, server, "bob", &["--count", "1", "--tone", BOB])?;
    let uac = caller(world, server, "bob", "ua_caller_hold")?;
    uac.finish()?;
    let end = bob.ends_with(0)?;
    end.said(&["the other side holds", "the other side goes on", "the other side hung up"])?;
    bob.heard_again(BOB_HZ)
}

fn we_hold_sipp(world: &World, server: &Server) -> Result<()> {
    let uas = callee(world, server, "bob", "ua_callee_hold")?;
    let calling = [&["call", "bob", "--tone", ALICE][..], &BY_US].concat();
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    let end = alice.ends_with(0)?;
    uas.finish()?;
    end.said(&["on hold", "resumed", "we hung up"])?;
    alice.heard(ALICE_HZ)
}

fn with_baresip(world: &World, server: &Server) -> Result<()> {
    // Another user: SIPp is still registered as bob.
    let mut carol = baresip::Phone::start(world, server, "carol", 7400, CAROL_HZ, "auto")?;
    let matches = format!("udp dport {}", baresip::rtp_ports(7400));
    let ports = Receiver { name: "carol", matches };
    wire::watch(world, &[ports], 0)?;
    // We hold it: it stops, and we hear that.
    let calling = [&["call", "carol", "--tone", ALICE][..], &BY_US].concat();
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    alice.ends_with(0)?.said(&["on hold", "resumed", "we hung up"])?;
    alice.heard_again(CAROL_HZ)?;
    carol.says("a=recvonly")?;
    // It holds us: we stop.
    let mut alice = Phone::start(world, server, "alice", &["call", "carol", "--tone", ALICE])?;
    alice.hears(1, CAROL_HZ)?;
    carol.hears(ALICE_HZ)?;
    carol.command("hold", "")?;
    alice.says("the other side holds")?;
    wire::falls_silent("carol")?;
    carol.command("resume", "")?;
    alice.says("the other side goes on")?;
    wire::goes_on("carol")?;
    carol.command("hangup", "")?;
    alice.ends_with(0)?.said(&["the other side hung up"])
}
