//! Texts (RFC 3428): ours to SIPp, and sipsak's to us.

use std::process::Command;

use anyhow::{Result, bail};

use super::callee;
use super::phone::{PATIENCE, Phone};
use crate::child::Child;
use crate::subject::{PASSWORD, Server, Settings};
use crate::world::World;

pub fn message(world: &mut World) -> Result<String> {
    // sipsak knows only MD5.
    let mut server = world.start(&Settings::local(&["alice", "bob", "carol"]).old_digest())?;
    let uas = callee(world, &server, "bob", "ua_message")?;
    let text = ["message", "bob", "hello, SIPp", "--json"];
    let said = Phone::start(world, &server, "alice", &text)?.ends_with(0)?.object()?;
    uas.finish()?;
    if said["code"] != 200 {
        bail!("{said}");
    }
    // Another user: SIPp is still registered as bob.
    let listening = ["message", "--listen", "--count", "1", "--json"];
    let mut carol = Phone::start(world, &server, "carol", &listening)?;
    carol.says("registered")?;
    sipsak(world, &server)?;
    let heard = carol.ends_with(0)?.object()?;
    if heard["text"] != "hello, phone" {
        bail!("{heard}");
    }
    server.healthy()?;
    Ok("SIPp had our text, we had sipsak's, each after a challenge".into())
}

/// sipsak sends a message of ours, and answers the challenge.
fn sipsak(world: &World, server: &Server) -> Result<()> {
    let uri = "sip:carol@example.com";
    let text = "hello, phone";
    let message = format!(
        "MESSAGE {uri} SIP/2.0\r\nFrom: <sip:alice@example.com>;tag=sipsak\r\nTo: <{uri}>\r\nCall-ID: sipsak-text\r\n\
         CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let file = world.folder.join("message.sip");
    std::fs::write(&file, message)?;
    let mut command = Command::new("sipsak");
    command.arg("-f").arg(file).args(["-s", &format!("sip:carol@{}", server.address)]);
    command.args(["-vvv", "-u", "alice", "-a", PASSWORD]);
    Child::start(&world.folder, "sipsak", &mut command)?.succeed(PATIENCE)
}
