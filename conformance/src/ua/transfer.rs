//! Transfers: blind (RFC 5589 §6) with baresip as transferor, transferee and target, and attended (§7) among our phones. The two
//! who are left hear each other.

use anyhow::Result;

use super::phone::Phone;
use super::{ALICE, ALICE_HZ, BOB, BOB_HZ, CAROL, CAROL_HZ};
use crate::peer::baresip;
use crate::subject::{Kind, Server, Settings};
use crate::world::World;

fn settings() -> Settings {
    Settings::local(&["alice", "bob", "carol"]).old_digest()
}

pub fn blind(world: &mut World) -> Result<String> {
    let mut server = world.start(&settings())?;
    let mut bob = baresip::Phone::start(world, &server, "bob", 7400, BOB_HZ, "auto")?;
    by_baresip(world, &server, &mut bob)?;
    of_baresip(world, &server, &mut bob)?;
    to_baresip(world, &server, &mut bob)?;
    server.healthy()?;
    Ok("baresip as transferor, transferee and target: the two who are left hear each other".into())
}

/// It transfers us to carol.
fn by_baresip(world: &World, server: &Server, bob: &mut baresip::Phone) -> Result<()> {
    let answering = ["--count", "1", "--tone", CAROL];
    let mut carol = Phone::listening(world, server, "carol", &answering)?;
    let mut alice = Phone::start(world, server, "alice", &["call", "bob", "--tone", ALICE])?;
    alice.hears(1, BOB_HZ)?;
    bob.command("transfer", "sip:carol@example.com")?;
    alice.hears(2, CAROL_HZ)?;
    carol.hears(1, ALICE_HZ)?;
    // Our last NOTIFY told it that the call stands.
    bob.event_with("CALL_CLOSED", "alice")?;
    let end = alice.interrupt()?;
    end.said(&["asked to call sip:carol@example.com", "[call 2] 200 OK", "[call 2] ended"])?;
    end.said(&["ended: the other side hung up"])?;
    carol.ends_with(0)?;
    Ok(())
}

/// We transfer it to carol.
fn of_baresip(world: &World, server: &Server, bob: &mut baresip::Phone) -> Result<()> {
    let answering = ["--count", "1", "--tone", CAROL];
    let mut carol = Phone::listening(world, server, "carol", &answering)?;
    let calling = ["call", "bob", "--tone", ALICE, "--transfer", "carol"];
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    let transferred = ["transfer to sip:carol@example.com", "transferred (200)", "we hung up"];
    alice.ends_with(0)?.said(&transferred)?;
    bob.event_with("CALL_ESTABLISHED", "carol")?;
    bob.hears(CAROL_HZ)?;
    carol.hears(1, BOB_HZ)?;
    bob.command("hangup", "")?;
    carol.ends_with(0)?;
    Ok(())
}

/// We transfer carol to it.
fn to_baresip(world: &World, server: &Server, bob: &mut baresip::Phone) -> Result<()> {
    let answering = ["--count", "2", "--tone", CAROL];
    let mut carol = Phone::listening(world, server, "carol", &answering)?;
    let calling = ["call", "carol", "--tone", ALICE, "--transfer", "bob"];
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    alice.ends_with(0)?.said(&["transfer: 180", "transferred (200)", "we hung up"])?;
    carol.hears(2, BOB_HZ)?;
    bob.command("hangup", "")?;
    let end = carol.ends_with(0)?;
    end.said(&["asked to call sip:bob@example.com", "[call 2] 200", "[call 2] ended"])
}

pub fn attended(world: &mut World) -> Result<String> {
    let mut server = world.start(&settings())?;
    ours(world, &server)?;
    let mut bob = baresip::Phone::start(world, &server, "bob", 7400, BOB_HZ, "auto")?;
    attended_to_baresip(world, &server, &mut bob)?;
    if world.kind == Kind::Ringway {
        attended_of_baresip(world, &server, &mut bob)?;
    }
    server.healthy()?;
    Ok("Replaces taken over by our phone; baresip as target; baresip as transferee fails, and we say why".into())
}

fn ours(world: &World, server: &Server) -> Result<()> {
    // Bob is called by alice, and calls carol; carol is called by alice, and by bob in her place.
    let mut bob = Phone::listening(world, server, "bob", &["--count", "2", "--tone", BOB])?;
    let mut carol = Phone::listening(world, server, "carol", &["--count", "2", "--tone", CAROL])?;
    let calling = ["call", "bob", "--tone", ALICE, "--transfer", "carol", "--attended"];
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    alice.ends_with(0)?.said(&["calling there first", "on hold", "transferred (200)"])?;
    bob.hears(2, CAROL_HZ)?;
    carol.hears(2, BOB_HZ)?;
    let end = bob.interrupt()?;
    end.said(&["the other side holds", "in place of the caller", "[call 2] 200"])?;
    let end = carol.ends_with(0)?;
    end.said(&["to take over a call", "another call took its place"])
}

/// This baresip answers an INVITE with Replaces as any other; the transferor hangs up both of its calls, so nothing is left over.
fn attended_to_baresip(world: &World, server: &Server, bob: &mut baresip::Phone) -> Result<()> {
    let mut carol = Phone::listening(world, server, "carol", &["--count", "2", "--tone", CAROL])?;
    let calling = ["call", "carol", "--tone", ALICE, "--transfer", "bob", "--attended"];
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    alice.ends_with(0)?.said(&["calling there first", "transferred (200)"])?;
    bob.says("Replaces: ")?;
    bob.event_with("CALL_CLOSED", "alice")?;
    carol.hears(2, BOB_HZ)?;
    bob.hears(CAROL_HZ)?;
    bob.command("hangup", "")?;
    carol.ends_with(0)?;
    Ok(())
}

/// This baresip puts the Replaces of Refer-To into its Request-URI, where none may be (RFC 3261 §19.1.1): refused, and told so.
fn attended_of_baresip(world: &World, server: &Server, bob: &mut baresip::Phone) -> Result<()> {
    let mut carol = Phone::listening(world, server, "carol", &["--count", "1", "--tone", CAROL])?;
    let calling = ["call", "bob", "--tone", ALICE, "--transfer", "carol", "--attended"];
    let mut alice = Phone::start(world, server, "alice", &calling)?;
    alice.says("transfer failed")?;
    // Who was called for advice is let go, and the call that was on hold goes on.
    carol.ends_with(0)?.said(&["the other side hung up"])?;
    alice.says("resumed")?;
    bob.command("hangup", "")?;
    alice.ends_with(1)?.said(&["transfer: 400", "transfer failed", "resumed", "400"])
}
