//! Devices tried one after the other, and devices only named (RFC 3261 §16.6, §8.3), with SIPp callers and callees.

use anyhow::{Result, bail};

use super::sipp::Sipp;
use crate::agent::Agent;
use crate::sip::Draft;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

const CALLER: u16 = 7001;
const MOBILE: u16 = 7002;
const DESK: u16 = 7003;

/// Bob's desk phone is preferred to his mobile.
fn register(server: &Server) -> Result<()> {
    let aor = format!("sip:bob@{DOMAIN}");
    for (port, q) in [(DESK, "0.9"), (MOBILE, "0.5")] {
        let agent = Agent::new(LOCAL, server.address)?;
        let contact = format!("Contact: <sip:bob@127.0.0.1:{port}>;q={q}\r\nExpires: 600\r\n");
        let draft = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor, &aor).with(&contact);
        let answer = agent.ask_as(&draft, "bob", PASSWORD)?;
        if answer.status() != 200 {
            bail!("REGISTER at port {port}: {}", answer.start);
        }
    }
    Ok(())
}

/// A file that names the callee.
fn callee(world: &World) -> Result<String> {
    let file = world.folder.join("callee.csv");
    std::fs::write(&file, "SEQUENTIAL\nbob;\n")?;
    Ok(file.display().to_string())
}

pub fn serial(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest().serial(2))?;
    register(&server)?;
    let (to, callee) = (server.address.to_string(), callee(world)?);
    let mut desk = Sipp::start(world, "uas_ring", DESK, 10, &[])?;
    let mut mobile = Sipp::start(world, "uas_late", MOBILE, 10, &[])?;
    desk.listening(DESK)?;
    mobile.listening(MOBILE)?;
    let caller = Sipp::start(world, "uac", CALLER, 10, &[&to, "-inf", &callee, "-r", "5"])?;
    let answered = caller.finish()?;
    mobile.finish()?;
    let cancelled = desk.finish()?;
    server.healthy()?;
    if (answered.good, cancelled.good) != (10, 10) {
        bail!("caller {answered:?}, first device {cancelled:?}");
    }
    Ok("10 calls: the first device cancelled after 2 s, the second answered".to_owned())
}

pub fn redirect(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest().redirect())?;
    register(&server)?;
    let (to, callee) = (server.address.to_string(), callee(world)?);
    let arguments = [&to, "-inf", &callee, "-r", "20"];
    let told = Sipp::start(world, "uac_redirect", CALLER, 20, &arguments)?.finish()?;
    server.healthy()?;
    Ok(format!("{} of 20 callers were told of both devices, the preferred first", told.good))
}
