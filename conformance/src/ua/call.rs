//! Plain calls of our phones with each other, with baresip and with SIPp: each side says a tone of its own, and each recording
//! holds the other's.

use anyhow::{Result, bail};

use super::phone::Phone;
use super::{ALICE, ALICE_HZ, BOB, BOB_HZ, callee, caller};
use crate::peer::baresip;
use crate::subject::{PASSWORD, Settings};
use crate::world::World;

/// What a phone that answers one call of these is told.
const ANSWERING: [&str; 6] = ["--json", "--count", "1", "--tone", BOB, "--expect-audio"];

/// Both ours: over UDP, from TCP to UDP and from UDP to TCP.
pub fn ours(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    for (from, to) in [("udp", "udp"), ("tcp", "udp"), ("udp", "tcp")] {
        let way = |transport: &str| format!("{transport}:{}", server.address);
        let listening = [&["call", "--listen"][..], &ANSWERING].concat();
        let mut bob = Phone::through(world, &way(to), "bob", PASSWORD, &listening)?;
        bob.says("registered")?;
        let calling = ["call", "bob", "--json", "--for", "2s", "--tone", ALICE, "--expect-audio"];
        let mut alice = Phone::through(world, &way(from), "alice", PASSWORD, &calling)?;
        let said = alice.ends_with(0)?.object()?;
        let heard = bob.ends_with(0)?.object()?;
        let agree = said["call_id"] == heard["call_id"] && said["codec"] == heard["codec"];
        if !agree || said["ended_by"] != "us" || heard["ended_by"] != "peer" {
            bail!("{from} to {to}: caller {said}, callee {heard}");
        }
        alice.heard(BOB_HZ)?;
        bob.heard(ALICE_HZ)?;
    }
    server.healthy()?;
    Ok("UDP, TCP to UDP, UDP to TCP: each heard the other, the same Call-ID on both sides".into())
}

pub fn to_baresip(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    let mut bob = baresip::Phone::start(world, &server, "bob", 7400, BOB_HZ, "auto")?;
    let calling = ["call", "bob", "--json", "--for", "3s", "--tone", ALICE, "--expect-audio"];
    let mut alice = Phone::start(world, &server, "alice", &calling)?;
    let said = alice.ends_with(0)?.object()?;
    if said["code"] != 200 || said["ended_by"] != "us" {
        bail!("{said}");
    }
    alice.heard(BOB_HZ)?;
    bob.event("CALL_CLOSED")?;
    bob.hears(ALICE_HZ)?;
    server.healthy()?;
    Ok(format!("we heard {BOB_HZ} Hz, baresip heard {ALICE_HZ} Hz and our BYE"))
}

pub fn from_baresip(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    let mut bob = Phone::listening(world, &server, "bob", &ANSWERING)?;
    let mut alice = baresip::Phone::start(world, &server, "alice", 7300, ALICE_HZ, "manual")?;
    alice.command("dial", "sip:bob@example.com")?;
    alice.event("CALL_ESTABLISHED")?;
    // They talk until both have heard enough.
    alice.hears(BOB_HZ)?;
    bob.hears(1, ALICE_HZ)?;
    alice.command("hangup", "")?;
    let heard = bob.ends_with(0)?.object()?;
    if heard["code"] != 200 || heard["ended_by"] != "peer" {
        bail!("{heard}");
    }
    server.healthy()?;
    Ok(format!("baresip heard {BOB_HZ} Hz, we heard {ALICE_HZ} Hz and its BYE"))
}

/// SIPp sends back every packet: what we hear has been there and back.
pub fn to_sipp(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    let uas = callee(world, &server, "bob", "uas")?;
    let calling = ["call", "bob", "--json", "--for", "2s", "--tone", ALICE, "--expect-audio"];
    let mut alice = Phone::start(world, &server, "alice", &calling)?;
    let said = alice.ends_with(0)?.object()?;
    uas.finish()?;
    alice.heard(ALICE_HZ)?;
    server.healthy()?;
    Ok(format!("a call of {} s, our tone came back from SIPp", said["talk_s"]))
}

pub fn from_sipp(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let mut bob = Phone::listening(world, &server, "bob", &ANSWERING)?;
    let uac = caller(world, &server, "bob", "ua_caller")?;
    uac.finish()?;
    let heard = bob.ends_with(0)?.object()?;
    if heard["ended_by"] != "peer" {
        bail!("{heard}");
    }
    bob.heard(BOB_HZ)?;
    server.healthy()?;
    Ok("SIPp called and hung up, our tone came back from it".into())
}
