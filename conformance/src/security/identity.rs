//! Who somebody is, and who exists (S-7, S-8): nobody speaks as somebody else, nobody takes another's calls, nothing tells
//! which users there are.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::digest::Challenge;
use crate::sip::{Draft, Message, parameter};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::World;

fn aor(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

pub fn spoof_identity(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let agent = Agent::new(world.address(10), server.address)?;
    let bob = Agent::new(world.address(11), server.address)?;
    bob.register("bob", PASSWORD, DOMAIN)?;
    let mut tried = Vec::new();
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"] {
        // alice's credentials, bob's From.
        let draft = Draft::new(method, &aor("bob"), &aor("bob"), &aor("bob"));
        refused(&agent.ask_as(&draft, "alice", PASSWORD)?, method)?;
        tried.push(format!("{method} as bob"));
        // No credentials, and an emergency number of our domain as the caller (ADV-32).
        let draft = Draft::new(method, &aor("bob"), &aor("911"), &aor("bob"));
        refused(&agent.ask(&draft)?, method)?;
    }
    let contact = format!("Contact: <{}>\r\n", agent.contact("bob"));
    let draft =
        Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor("alice"), &aor("bob")).with(&contact);
    refused(&agent.ask_as(&draft, "alice", PASSWORD)?, "REGISTER of bob by alice")?;
    if bob.receive(Duration::from_millis(200))?.is_some() {
        bail!("something reached bob");
    }
    server.healthy()?;
    Ok(format!("refused: {}, REGISTER of bob by alice, 4 methods as 911", tried.join(", ")))
}

fn refused(answer: &Message, what: &str) -> Result<()> {
    if !matches!(answer.status(), 401 | 403 | 407) {
        bail!("{what}: {}", answer.start);
    }
    Ok(())
}

pub fn hijack_contact(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let alice = Agent::new(world.address(10), server.address)?;
    alice.register("alice", PASSWORD, DOMAIN)?;
    let thief = Agent::new(world.address(66), server.address)?;
    let draft = Draft::register("alice", DOMAIN, &thief.contact("alice"));
    refused(&thief.ask(&draft)?, "REGISTER without credentials")?;
    refused(&thief.ask_as(&draft, "bob", PASSWORD)?, "REGISTER of alice by bob")?;
    refused(&thief.ask_as(&draft, "alice", "guess")?, "REGISTER with a wrong password")?;
    let remove = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor("alice"), &aor("alice"))
        .with("Contact: *\r\nExpires: 0\r\n");
    refused(&thief.ask_as(&remove, "bob", PASSWORD)?, "removal by bob")?;
    let here = server.address.to_string();
    for host in
        [here.as_str(), "0.0.0.0:5060", "224.0.0.1:5060", "127.0.0.1:5060", "255.255.255.255:5060"]
    {
        let draft = Draft::register("alice", DOMAIN, &format!("sip:alice@{host}"));
        let answer = alice.ask_as(&draft, "alice", PASSWORD)?;
        if answer.status() == 200 {
            bail!("a contact at {host} was accepted");
        }
    }
    let fetch = Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor("alice"), &aor("alice"));
    let answer = alice.ask_as(&fetch, "alice", PASSWORD)?;
    let contacts: Vec<&str> = answer.all("contact").collect();
    if contacts.len() != 1 || !contacts.iter().all(|c| c.contains(&alice.local.to_string())) {
        bail!("alice is bound to {contacts:?}");
    }
    server.healthy()?;
    Ok("4 takeovers and 5 poisonous contacts refused; the owner's binding untouched".into())
}

pub fn header_smuggle(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let bob = Agent::new(world.address(11), server.address)?;
    bob.register("bob", PASSWORD, DOMAIN)?;
    let alice = Agent::new(world.address(10), server.address)?;
    let spellings = [
        "P-Asserted-Identity: <sip:boss@example.com>\r\n",
        "P-Asserted-Identity : <sip:boss@example.com>\r\n",
        "P-Asserted-Identity\t: <sip:boss@example.com>\r\n",
        "p-asserted-IDENTITY: <sip:boss@example.com>\r\n",
        "P-Asserted-Identity:\r\n <sip:boss@example.com>\r\n",
        "P-Asserted-Identity: <sip:a@example.com>\r\nP-Asserted-Identity: <sip:boss@example.com>\r\n",
        "P-Preferred-Identity: <sip:boss@example.com>\r\n",
        "Remote-Party-ID: <sip:boss@example.com>;party=calling\r\n",
        "remote-party-id : <sip:boss@example.com>\r\n",
    ];
    let mut arrived = 0;
    for spelling in spellings {
        let draft = Draft::new("INVITE", &aor("bob"), &aor("alice"), &aor("bob"))
            .with(&format!("Contact: <{}>\r\n{spelling}", alice.contact("alice")));
        let challenged = alice.ask(&draft)?;
        let Some(challenge) = Challenge::all(&challenged).into_iter().next() else {
            bail!("no challenge: {}", challenged.start);
        };
        let draft =
            draft.again().with(&challenge.answer("alice", PASSWORD, "INVITE", &aor("bob"), 1));
        alice.draft(&draft)?;
        // Refusing is as good as removing.
        let Ok(invite) = bob.request("INVITE", Duration::from_secs(2)) else { continue };
        arrived += 1;
        let found = invite
            .headers
            .iter()
            .find(|(name, _)| name.contains("identity") || name.contains("remote-party"));
        if let Some((name, value)) = found {
            bail!("bob was told `{name}: {value}` of `{}`", spelling.trim().replace("\r\n", "|"));
        }
        if invite.header("proxy-authorization").is_some() {
            bail!("the credentials for our realm were passed on");
        }
        bob.send(crate::sip::response(&invite, "486 Busy Here", "b", ""))?;
        while alice.receive(Duration::from_millis(200))?.is_some() {}
        while bob.receive(Duration::from_millis(50))?.is_some() {}
    }
    server.healthy()?;
    Ok(format!(
        "{} spellings: {arrived} calls arrived, no identity that was not ours, no credentials",
        spellings.len()
    ))
}

/// What a stranger sees must not depend on whether the user exists, is online, or neither.
pub fn enum_code(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["online", "offline"]))?;
    let online = Agent::new(world.address(11), server.address)?;
    online.register("online", PASSWORD, DOMAIN)?;
    let mut compared = 0;
    for (n, method) in ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "BYE"]
        .into_iter()
        .enumerate()
    {
        for (m, from) in ["self", "user", "foreign"].into_iter().enumerate() {
            let stranger = Agent::new(world.address(100 + (n * 3 + m) as u8), server.address)?;
            let mut seen: Vec<(String, String)> = Vec::new();
            for _ in 0..6 {
                for user in ["online", "offline", "nobodyy"] {
                    let caller = if from == "self" { user } else { "offline" };
                    let uri =
                        if method == "REGISTER" { format!("sip:{DOMAIN}") } else { aor(user) };
                    let caller_uri = if from == "foreign" {
                        "sip:x@elsewhere.example".into()
                    } else {
                        aor(caller)
                    };
                    let draft = Draft::new(method, &uri, &caller_uri, &aor(user));
                    let answer =
                        stranger.ask_within(&draft, Duration::from_secs(3)).context(method)?;
                    seen.push((user.to_owned(), normal(&answer, user, caller)));
                    compared += 1;
                }
            }
            let first = seen.first().map(|(_, text)| text.clone()).unwrap_or_default();
            if let Some((user, other)) = seen.iter().find(|(_, text)| *text != first) {
                bail!(
                    "{method}: `{user}` is told apart: {} / {}",
                    first.replace("\r\n", "|"),
                    other.replace("\r\n", "|")
                );
            }
        }
    }
    server.healthy()?;
    Ok(format!("{compared} answers compared, 0 differences"))
}

/// A response without what differs in every one of them.
fn normal(answer: &Message, user: &str, caller: &str) -> String {
    let mut text = format!("{}\r\n", answer.start);
    for (name, value) in &answer.headers {
        let mut value = value.clone();
        for (parameter_name, header) in
            [("tag", "to"), ("tag", "from"), ("branch", "via"), ("rport", "via")]
        {
            if name == header
                && let Some(found) = parameter(&value, parameter_name).map(str::to_owned)
            {
                value = value.replace(&found, "-");
            }
        }
        if name == "call-id" {
            value.clear();
        }
        if let Some((before, after)) = value.split_once("nonce=\"") {
            let rest = after.split_once('"').map_or("", |(_, rest)| rest);
            value = format!("{before}nonce={rest}");
        }
        let value = value.replace(user, "USER").replace(caller, "USER");
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text
}
