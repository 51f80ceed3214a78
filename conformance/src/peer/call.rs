//! Calls between SIPp callers and callees, and the races of CANCEL (RFC 3261 §9, §16.10).

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::sipp::Sipp;
use crate::agent::Agent;
use crate::child::Child;
use crate::digest::Challenge;
use crate::sip::{Draft, Message, response};
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

const CALLER: u16 = 7001;
const CALLEE: u16 = 7002;
const OTHER: u16 = 7003;
const REGISTRAR: u16 = 7009;

/// Registers every user at its port with SIPp.
fn register(world: &World, server: &Server, users: &[(String, u16)]) -> Result<()> {
    let mut rows = String::from("SEQUENTIAL\n");
    for (user, port) in users {
        let _ = writeln!(
            rows,
            "{user};127.0.0.1:{port};[authentication username={user} password={PASSWORD}];"
        );
    }
    let file = world.folder.join("register.csv");
    std::fs::write(&file, rows)?;
    let to = server.address.to_string();
    let file = file.display().to_string();
    let calls = users.len() as u32;
    Sipp::start(world, "register", REGISTRAR, calls, &[&to, "-inf", &file, "-r", "50"])?
        .finish()?;
    Ok(())
}

/// A file that names the callees in turn.
fn callees(world: &World, users: &[String]) -> Result<String> {
    let file = world.folder.join("callees.csv");
    let rows: String = users.iter().map(|u| format!("{u};\n")).collect();
    std::fs::write(&file, format!("SEQUENTIAL\n{rows}"))?;
    Ok(file.display().to_string())
}

pub fn calls(world: &mut World) -> Result<String> {
    let users: Vec<String> = (0..20).map(|n| format!("bob{n}")).collect();
    let mut all: Vec<&str> = users.iter().map(String::as_str).collect();
    all.push("alice");
    let mut server = world.start(&Settings::local(&all).old_digest())?;
    let at: Vec<(String, u16)> = users.iter().map(|u| (u.clone(), CALLEE)).collect();
    register(world, &server, &at)?;
    let to = server.address.to_string();
    let callees = callees(world, &users)?;
    let mut uas = Sipp::start(world, "uas", CALLEE, 2000, &[])?;
    uas.listening(CALLEE)?;
    let uac = Sipp::start(
        world,
        "uac",
        CALLER,
        2000,
        &[&to, "-inf", &callees, "-r", "200", "-l", "4000"],
    )?;
    let counts = uac.finish()?;
    let other = uas.finish()?;
    server.healthy()?;
    if counts.good != 2000 || other.good != 2000 {
        bail!("caller {counts:?}, callee {other:?}");
    }
    Ok(format!(
        "2000 of 2000 calls, 0 unexpected, retransmissions {} by the caller, {} by the callee",
        counts.retransmissions, other.retransmissions
    ))
}

pub fn tcp_to_udp(world: &mut World) -> Result<String> {
    let server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    register(world, &server, &[("bob".into(), CALLEE)])?;
    let to = server.address.to_string();
    let callees = callees(world, &["bob".into()])?;
    let mut uas = Sipp::start(world, "uas", CALLEE, 100, &[])?;
    uas.listening(CALLEE)?;
    let arguments = [&to, "-inf", &callees, "-r", "20", "-t", "tn", "-max_socket", "200"];
    let counts = Sipp::start(world, "uac", CALLER, 100, &arguments)?.finish()?;
    uas.finish()?;
    Ok(format!("{} of 100 calls, a connection each", counts.good))
}

pub fn fork(world: &mut World) -> Result<String> {
    let server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    register(world, &server, &[("bob".into(), CALLEE), ("bob".into(), OTHER)])?;
    let to = server.address.to_string();
    let callees = callees(world, &["bob".into()])?;
    let mut ringing = Sipp::start(world, "uas_ring", OTHER, 10, &[])?;
    let mut answering = Sipp::start(world, "uas_late", CALLEE, 10, &[])?;
    ringing.listening(OTHER)?;
    answering.listening(CALLEE)?;
    let uac = Sipp::start(world, "uac", CALLER, 10, &[&to, "-inf", &callees, "-r", "5"])?;
    let counts = uac.finish()?;
    answering.finish()?;
    let cancelled = ringing.finish()?;
    Ok(format!(
        "{} calls answered, {} losers cancelled and acknowledged",
        counts.good, cancelled.good
    ))
}

pub fn cancel(world: &mut World) -> Result<String> {
    let server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    register(world, &server, &[("bob".into(), CALLEE)])?;
    let to = server.address.to_string();
    let callees = callees(world, &["bob".into()])?;
    let mut uas = Sipp::start(world, "uas_ring", CALLEE, 50, &[])?;
    uas.listening(CALLEE)?;
    let uac = Sipp::start(world, "uac_cancel", CALLER, 50, &[&to, "-inf", &callees, "-r", "20"])?;
    let counts = uac.finish()?;
    uas.finish()?;
    Ok(format!("{} of 50 calls cancelled on both sides", counts.good))
}

/// The crossings a proxy meets sooner or later, one by one, with agents that can be told when to speak.
pub fn races(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]))?;
    let callee = Agent::new(LOCAL, server.address)?;
    callee.register("bob", PASSWORD, DOMAIN)?;
    held_until_provisional(&server, &callee)?;
    crossing(&server, &callee, "200 OK", 200)?;
    crossing(&server, &callee, "486 Busy Here", 486)?;
    of_nothing(&server)?;
    server.healthy()?;
    Ok("held until the first 1xx; 200 wins and 486 wins when they cross; 481 for a CANCEL of nothing".into())
}

const WAIT: Duration = Duration::from_secs(5);

/// Sends an INVITE that has passed authentication; gives it and the INVITE the callee saw.
fn invite(caller: &Agent, callee: &Agent) -> Result<(Draft, Message)> {
    let uri = format!("sip:bob@{DOMAIN}");
    let contact = format!("Contact: <{}>\r\n", caller.contact("alice"));
    let draft = Draft::new("INVITE", &uri, &format!("sip:alice@{DOMAIN}"), &uri).with(&contact);
    let refused = caller.ask(&draft)?;
    let Some(challenge) = Challenge::all(&refused).into_iter().next() else {
        bail!("the INVITE of a user of ours was not challenged: {}", refused.start);
    };
    let draft = draft.again().with(&challenge.answer("alice", PASSWORD, "INVITE", &uri, 1));
    caller.draft(&draft)?;
    Ok((draft, callee.request("INVITE", WAIT)?))
}

/// The CANCEL of `invite` (RFC 3261 §9.1).
fn cancel_of(invite: &Draft) -> Draft {
    Draft { method: "CANCEL".into(), extra: String::new(), ..invite.clone() }
}

/// The final responses to INVITE and CANCEL that the caller hears.
fn finals(caller: &Agent) -> Result<(u16, u16)> {
    let (mut invite, mut cancel) = (0, 0);
    while invite == 0 || cancel == 0 {
        let Some(message) = caller.receive(WAIT)? else {
            bail!("the caller heard {invite} to INVITE and {cancel} to CANCEL (0: nothing)");
        };
        match message.cseq_method() {
            "INVITE" if message.status() >= 200 => invite = message.status(),
            "CANCEL" => cancel = message.status(),
            _ => {}
        }
    }
    Ok((invite, cancel))
}

fn held_until_provisional(server: &Server, callee: &Agent) -> Result<()> {
    let caller = Agent::new(LOCAL, server.address)?;
    let (draft, seen) = invite(&caller, callee)?;
    caller.draft(&cancel_of(&draft))?;
    if callee.request("CANCEL", Duration::from_millis(300)).is_ok() {
        bail!("CANCEL was sent on before the callee had answered anything");
    }
    callee.send(response(&seen, "180 Ringing", "c", ""))?;
    let cancel = callee.request("CANCEL", WAIT)?;
    callee.send(response(&cancel, "200 OK", "c", ""))?;
    callee.send(response(&seen, "487 Request Terminated", "c", ""))?;
    callee.request("ACK", WAIT)?;
    match finals(&caller)? {
        (487, 200) => Ok(()),
        other => bail!("CANCEL before 1xx: the caller heard {other:?}, not (487, 200)"),
    }
}

/// The callee answers for good before it sees the CANCEL.
fn crossing(server: &Server, callee: &Agent, answer: &str, status: u16) -> Result<()> {
    let caller = Agent::new(LOCAL, server.address)?;
    let (draft, seen) = invite(&caller, callee)?;
    callee.send(response(&seen, "180 Ringing", "x", ""))?;
    while caller.receive(WAIT)?.is_some_and(|m| m.status() != 180) {}
    let contact = format!("Contact: <{}>\r\n", callee.contact("bob"));
    caller.draft(&cancel_of(&draft))?;
    callee.send(response(&seen, answer, "x", &contact))?;
    let cancel = callee.request("CANCEL", WAIT);
    if let Ok(cancel) = cancel {
        callee.send(response(&cancel, "481 Call/Transaction Does Not Exist", "x", ""))?;
    }
    match finals(&caller)? {
        (invite, 200) if invite == status => Ok(()),
        other => bail!("{answer} crosses CANCEL: the caller heard {other:?}, not ({status}, 200)"),
    }
}

fn of_nothing(server: &Server) -> Result<()> {
    let caller = Agent::new(LOCAL, server.address)?;
    let uri = format!("sip:bob@{DOMAIN}");
    let draft = Draft::new("CANCEL", &uri, &format!("sip:alice@{DOMAIN}"), &uri);
    match caller.ask_within(&draft, Duration::from_secs(3)) {
        Ok(answer) if answer.status() == 481 => Ok(()),
        Ok(answer) => bail!("CANCEL of nothing: {}, not 481", answer.start),
        Err(error) => Err(error.context("CANCEL of nothing")),
    }
}

/// The server's own load generator, as a smoke test: nothing fails at a rate any machine can do.
pub fn load(world: &mut World) -> Result<String> {
    let server = world.start(&Settings::local(&[]).open())?;
    let mut command = Command::new(crate::world::ringway());
    command.args([
        "load",
        &server.address.to_string(),
        "--scenario",
        "call",
        "--rate",
        "200",
        "--for",
        "5s",
        "--json",
    ]);
    let mut child = Child::start(&world.folder, "load", &mut command)?;
    child.succeed(Duration::from_secs(40))?;
    Ok(child.tail())
}
