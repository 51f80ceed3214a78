//! The wall clock jumps under the running server: bindings and nonces live by the monotonic clock.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::digest::Challenge;
use crate::sip::{Draft, Message, parameter};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::{LOCAL, World};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const HOLD: u64 = 600;
/// Of 1 s each, one a second.
const STEPS: u32 = 60;

pub fn clock_jump(world: &mut World) -> Result<String> {
    if !std::path::Path::new(LIBRARY).exists() {
        bail!("{LIBRARY} is missing: apt-get install faketime");
    }
    let file = world.folder.join("clock");
    std::fs::write(&file, "+0\n")?;
    let environment = [
        ("LD_PRELOAD", LIBRARY.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
    ];
    let environment = environment.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    let mut server =
        world.start(&Settings { environment, ..Settings::local(&["alice", "bob"]) })?;
    let agent = Agent::new(LOCAL, server.address)?;
    let registered = Instant::now();
    let mut session = Session::new(&agent, "alice")?;
    session.register(HOLD)?;
    let mut jumps = Vec::new();
    for jump in ["+2h", "-2h", "+10y", "+0"] {
        std::fs::write(&file, format!("{jump}\n"))?;
        // A short binding made in the new time ends when it should, whatever the calendar says.
        let mut short = Session::new(&agent, "bob")?;
        short.register(2)?;
        check(&mut session, registered).with_context(|| format!("after {jump}"))?;
        std::thread::sleep(Duration::from_millis(3200));
        if short.fetch()?.header("contact").is_some() {
            bail!("after {jump}: a binding of 2 s is still there after 3.2 s");
        }
        jumps.push(jump);
    }
    for step in 1..=STEPS {
        std::fs::write(&file, format!("+{step}\n"))?;
        check(&mut session, registered).with_context(|| format!("after {step} steps of 1 s"))?;
        std::thread::sleep(Duration::from_secs(1));
    }
    server.healthy()?;
    Ok(format!(
        "jumps {} and {STEPS} steps of 1 s: no binding lost or moved by more than 2 s, the first nonce good all the time",
        jumps.join(", ")
    ))
}

/// The binding is there, with the time left that is left.
fn check(session: &mut Session<'_>, registered: Instant) -> Result<()> {
    let answer = session.fetch()?;
    let contact = answer.header("contact").context("the binding is gone")?;
    let left: u64 =
        parameter(contact, "expires").and_then(|e| e.parse().ok()).context("no expires")?;
    let wanted = HOLD.saturating_sub(registered.elapsed().as_secs());
    if left.abs_diff(wanted) > 2 {
        bail!("the binding has {left} s left, not {wanted}");
    }
    Ok(())
}

/// One nonce, used again and again with the next count: a stale answer is a failure.
struct Session<'a> {
    agent: &'a Agent,
    user: String,
    challenge: Challenge,
    count: u32,
    call_id: String,
}

impl<'a> Session<'a> {
    fn new(agent: &'a Agent, user: &str) -> Result<Self> {
        let draft = Self::draft(user);
        let refused = agent.ask(&draft)?;
        let challenge = Challenge::all(&refused).into_iter().next();
        let challenge = challenge.with_context(|| format!("no challenge: {}", refused.start))?;
        Ok(Self { agent, user: user.into(), challenge, count: 0, call_id: draft.call_id })
    }

    fn draft(user: &str) -> Draft {
        let aor = format!("sip:{user}@{DOMAIN}");
        Draft::new("REGISTER", &format!("sip:{DOMAIN}"), &aor, &aor)
    }

    fn register(&mut self, expires: u64) -> Result<Message> {
        let contact = self.agent.contact(&self.user);
        self.ask(&format!("Contact: <{contact}>;expires={expires}\r\n"))
    }

    fn fetch(&mut self) -> Result<Message> {
        self.ask("")
    }

    fn ask(&mut self, lines: &str) -> Result<Message> {
        self.count += 1;
        let mut draft = Self::draft(&self.user);
        draft.call_id.clone_from(&self.call_id);
        draft.cseq = self.count + 1;
        let answer =
            self.challenge.answer(&self.user, PASSWORD, "REGISTER", &draft.uri, self.count);
        let message = self.agent.ask(&draft.with(lines).with(&answer))?;
        if message.status() != 200 {
            bail!("use {} of the nonce: {}", self.count, message.start);
        }
        Ok(message)
    }
}
