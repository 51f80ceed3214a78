//! IPv4 and IPv6 beside each other (N-9): calls within and between the families, and the messages of RFC 5118 over IPv6.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::sip::{Draft, Message, branch, response};
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{SERVER, World};

const WAIT: Duration = Duration::from_secs(5);

pub fn v4v6(world: &mut World) -> Result<String> {
    let six: IpAddr = "2001:db8::1".parse()?;
    let users = ["four", "six"];
    let mut server = world.start(&Settings { also: vec![six], ..Settings::public(&users) })?;
    let (v4, v6) = (SocketAddr::new(SERVER, 5060), SocketAddr::new(six, 5060));
    let peers: [(&str, IpAddr, SocketAddr); 2] =
        [("four", world.address(10), v4), ("six", "2001:db8::2".parse()?, v6)];
    let mut made = Vec::new();
    for (caller, from, near) in peers {
        for (callee, to, far) in peers {
            let callee_agent = Agent::new(to, far)?;
            callee_agent.register(callee, PASSWORD, DOMAIN)?;
            call(&Agent::new(from, near)?, caller, &callee_agent, callee)
                .with_context(|| format!("{caller} calls {callee}"))?;
            forget(&callee_agent, callee)?;
            made.push(format!("{caller} to {callee}"));
        }
    }
    let judged = rfc5118(world, &mut server, v6)?;
    Ok(format!("calls {}; {judged} messages of RFC 5118 over IPv6", made.join(", ")))
}

/// INVITE with digest, 180, 200, ACK, BYE from the callee's side.
fn call(caller: &Agent, user: &str, callee: &Agent, callee_user: &str) -> Result<()> {
    let uri = format!("sip:{callee_user}@{DOMAIN}");
    let contact = format!("Contact: <{}>\r\n", caller.contact(user));
    let draft = Draft::new("INVITE", &uri, &format!("sip:{user}@{DOMAIN}"), &uri).with(&contact);
    let refused = caller.ask(&draft)?;
    let challenge = crate::digest::Challenge::all(&refused).into_iter().next();
    let challenge = challenge.with_context(|| format!("no challenge: {}", refused.start))?;
    let draft = draft.again().with(&challenge.answer(user, PASSWORD, "INVITE", &uri, 1));
    caller.draft(&draft)?;
    let invite = callee.request("INVITE", WAIT)?;
    let contact = format!("Contact: <{}>\r\n", callee.contact(callee_user));
    callee.send(response(&invite, "180 Ringing", "b", &contact))?;
    callee.send(response(&invite, "200 OK", "b", &contact))?;
    let answer = final_of(caller, &draft)?;
    let mut ack = draft.clone();
    ack.method = "ACK".into();
    ack.branch = branch();
    ack.uri = answer.uri("contact").context("the 200 has no Contact")?.into();
    ack.to = answer.header("to").unwrap_or_default().into();
    let mut routes: Vec<&str> = answer.all("record-route").collect();
    routes.reverse();
    ack.extra = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
    caller.draft(&ack)?;
    callee.request("ACK", WAIT)?;
    // The callee hangs up: its route set is the one of the request, in order (RFC 3261 §12.1.1).
    let mut bye = Draft::new("BYE", invite.uri("contact").unwrap_or_default(), "x", "x");
    bye.from = format!("{};tag=b", invite.header("to").unwrap_or_default());
    bye.to = invite.header("from").unwrap_or_default().into();
    bye.call_id = invite.call_id().into();
    bye.extra = invite.all("record-route").map(|r| format!("Route: {r}\r\n")).collect();
    callee.draft(&bye)?;
    let heard = caller.request("BYE", WAIT)?;
    caller.send(response(&heard, "200 OK", "", ""))?;
    let done = final_of(callee, &bye)?;
    if done.status() != 200 { bail!("BYE: {}", done.start) } else { Ok(()) }
}

fn final_of(agent: &Agent, draft: &Draft) -> Result<Message> {
    loop {
        let message = agent
            .receive(WAIT)?
            .with_context(|| format!("no final response to {}", draft.method))?;
        if message.call_id() == draft.call_id
            && message.cseq_method() == draft.method
            && message.status() >= 200
        {
            if message.status() >= 300 {
                bail!("{}: {}", draft.method, message.start);
            }
            return Ok(message);
        }
    }
}

fn forget(agent: &Agent, user: &str) -> Result<()> {
    let aor = format!("sip:{user}@{DOMAIN}");
    let draft = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor, &aor)
        .with("Contact: *\r\nExpires: 0\r\n");
    let answer = agent.ask_as(&draft, user, PASSWORD)?;
    if answer.status() != 200 { bail!("Contact: *: {}", answer.start) } else { Ok(()) }
}

/// Only `ipv6-bad` may be refused as malformed.
fn rfc5118(world: &World, server: &mut Server, v6: SocketAddr) -> Result<usize> {
    let folder = world.corpus.join("rfc5118/wire");
    let mut judged = 0;
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let agent = Agent::at("[2001:db8::2]:5060".parse()?, v6)?;
        agent.send(&bytes)?;
        let status = agent.receive(Duration::from_millis(500))?.map_or(0, |m| m.status());
        if (status == 400) != (name == "ipv6-bad") {
            bail!("{name}: {status}");
        }
        server.healthy()?;
        judged += 1;
    }
    Ok(judged)
}
