//! A digest that somebody overheard is worth nothing (S-6), while its owner goes on using the nonce.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::digest::Challenge;
use crate::sip::{Draft, branch, token};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::World;

pub fn replay(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::public(&["alice"]))?;
    let alice = Agent::new(world.address(10), server.address)?;
    let draft = Draft::register("alice", DOMAIN, &alice.contact("alice"));
    let refused = alice.ask(&draft)?;
    let challenge = Challenge::all(&refused).into_iter().next().context("no challenge")?;
    let credentials = challenge.answer("alice", PASSWORD, "REGISTER", &draft.uri, 1);
    let sent = draft.clone().again().with(&credentials);
    let answer = alice.ask(&sent)?;
    if answer.status() != 200 {
        bail!("the owner's own registration: {}", answer.start);
    }
    let thief = Agent::new(world.address(66), server.address)?;
    let mut accepted = 0;
    for n in 0..51u32 {
        let mut copy = sent.clone();
        copy.branch = branch();
        if n % 3 != 0 {
            copy.call_id = format!("{}@thief", token());
        }
        copy.cseq = sent.cseq + n + 1;
        copy.extra =
            format!("Contact: <sip:alice@198.18.0.66:5060>\r\nExpires: 600\r\n{credentials}");
        thief.draft(&copy)?;
        let status = thief.receive(Duration::from_millis(500))?.map_or(0, |m| m.status());
        accepted += u32::from(status == 200);
    }
    if accepted > 0 {
        bail!("{accepted} of 51 replays accepted");
    }
    let mut latest = answer;
    for count in 2..=20 {
        let next = Draft { cseq: sent.cseq + count, branch: branch(), ..draft.clone() };
        let credentials = challenge.answer("alice", PASSWORD, "REGISTER", &next.uri, count);
        latest = alice.ask(&next.with(&credentials))?;
        if latest.status() != 200 {
            bail!("the owner's use {count} of the nonce: {}", latest.start);
        }
    }
    let contacts: Vec<&str> = latest.all("contact").collect();
    if contacts.iter().any(|c| c.contains("198.18.0.66")) {
        bail!("the thief's contact is bound: {contacts:?}");
    }
    server.healthy()?;
    Ok("0 of 51 replays accepted; 19 further uses by the owner all accepted".into())
}
