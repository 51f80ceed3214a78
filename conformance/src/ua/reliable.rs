//! Reliable provisional responses (RFC 3262) with SIPp, which requires them: of us as callee, and of us as caller, where the answer
//! comes in the 183 and the 200 has none; and of two callees at once.

use anyhow::Result;

use super::phone::Phone;
use super::{ALICE, ALICE_HZ, BOB, BOB_HZ, callee, callee_at, caller};
use crate::subject::Settings;
use crate::world::World;

pub fn prack(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let answering = ["--count", "1", "--tone", BOB, "--delay", "500ms", "--expect-audio"];
    let mut bob = Phone::listening(world, &server, "bob", &answering)?;
    let uac = caller(world, &server, "bob", "ua_caller_100rel")?;
    uac.finish()?;
    bob.ends_with(0)?.said(&["answered with 200   PCMU", "the other side hung up"])?;
    bob.heard(BOB_HZ)?;
    let uas = callee(world, &server, "bob", "ua_callee_100rel")?;
    let calling = ["call", "bob", "--for", "2s", "--tone", ALICE, "--expect-audio"];
    let mut alice = Phone::start(world, &server, "alice", &calling)?;
    alice.ends_with(0)?.said(&["183 Session Progress", "200 OK   PCMU", "we hung up"])?;
    uas.finish()?;
    alice.heard(ALICE_HZ)?;
    server.healthy()?;
    Ok("our 180 was acknowledged before our 200; their 183 brought the answer, and our PRACK its RAck".into())
}

/// The device that is cancelled.
const SECOND: u16 = 7010;

/// Both devices acknowledge their 183 and bring an answer each. Only the sound of the one that took the call comes back.
pub fn early(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    let second = callee_at(world, &server, "bob", "ua_callee_early", SECOND)?;
    let first = callee(world, &server, "bob", "ua_callee_100rel")?;
    let calling = ["call", "bob", "--for", "2s", "--tone", ALICE, "--expect-audio"];
    let mut alice = Phone::start(world, &server, "alice", &calling)?;
    let end = alice.ends_with(0)?;
    first.finish()?;
    second.finish()?;
    end.said(&["183 Session", "183 Session", "200 OK   PCMU, 127.0.0.1:6000", "we hung up"])?;
    alice.heard(ALICE_HZ)?;
    server.healthy()?;
    Ok("a PRACK in each early dialog, the answer of the one that took the call, CANCEL to the other".into())
}
