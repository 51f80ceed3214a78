//! UPDATE (RFC 3311) and session timers (RFC 4028) with SIPp, each way.

use anyhow::Result;

use super::phone::Phone;
use super::{ALICE, BOB, BOB_HZ, callee, caller};
use crate::subject::Settings;
use crate::world::World;

pub fn update(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let mut bob = Phone::listening(world, &server, "bob", &["--count", "1", "--tone", BOB])?;
    let uac = caller(world, &server, "bob", "ua_caller_update")?;
    let held = ["the other side holds", "the other side goes on", "the other side hung up"];
    uac.finish()?;
    bob.ends_with(0)?.said(&held)?;
    bob.heard_again(BOB_HZ)?;
    let uas = callee(world, &server, "bob", "ua_callee_update")?;
    let mut alice = Phone::start(world, &server, "alice", &["call", "bob", "--tone", ALICE])?;
    alice.ends_with(0)?.said(&held)?;
    uas.finish()?;
    server.healthy()?;
    Ok("held and taken back by UPDATE of the caller and of the callee, and one without a body"
        .into())
}

pub fn timer(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let mut bob = Phone::listening(world, &server, "bob", &["--count", "1"])?;
    let uac = caller(world, &server, "bob", "ua_caller_timer")?;
    uac.finish()?;
    bob.ends_with(0)?.said(&["answered with 200", "the other side hung up"])?;
    // The shortest interval there is (RFC 4028 §4), so this takes half of 90 s.
    let uas = callee(world, &server, "bob", "ua_callee_timer")?;
    let mut alice = Phone::start(world, &server, "alice", &["call", "bob"])?;
    alice.ends_with(0)?.said(&["200 OK", "the other side hung up"])?;
    uas.finish()?;
    server.healthy()?;
    Ok("60 s is refused with 422 and Min-SE, 120 s agreed to and refreshed; our own refresh came after half of 90 s".into())
}
