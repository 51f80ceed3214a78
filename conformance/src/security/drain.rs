//! SIGTERM in the middle of 100 calls. Nobody's call is cut, new ones are sent elsewhere, and it ends when nothing is left
//! to finish, or when its time is up, or at once when it is told twice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::sip::{Draft, Message, branch, response};
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

const CALLS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);

/// Two phones and the calls between them.
struct Phones {
    alice: Agent,
    bob: Agent,
}

/// One call as both ends know it.
struct Call {
    draft: Draft,
    /// The INVITE as bob got it.
    invite: Message,
}

impl Phones {
    fn new(server: &Server) -> Result<Self> {
        let (alice, bob) = (Agent::new(LOCAL, server.address)?, Agent::new(LOCAL, server.address)?);
        bob.register("bob", PASSWORD, DOMAIN)?;
        Ok(Self { alice, bob })
    }

    fn ring(&self) -> Result<Call> {
        let to = format!("sip:bob@{DOMAIN}");
        let contact = format!("Contact: <{}>\r\n", self.alice.contact("alice"));
        let draft = Draft::new("INVITE", &to, &format!("sip:alice@{DOMAIN}"), &to).with(&contact);
        self.alice.draft(&draft)?;
        let invite = self.bob.request("INVITE", PATIENCE)?;
        self.bob.send(response(&invite, "180 Ringing", "bob", ""))?;
        Ok(Call { draft, invite })
    }

    fn answer(&self, call: &Call) -> Result<Message> {
        let contact = format!("Contact: <{}>\r\n", self.bob.contact("bob"));
        self.bob.send(response(&call.invite, "200 OK", "bob", &contact))?;
        let ok = self.hear(call, "INVITE")?;
        if ok.status() != 200 {
            bail!("a ringing call got {}", ok.start);
        }
        self.alice.draft(&self.within(call, &ok, "ACK", 1))?;
        self.bob.request("ACK", PATIENCE)?;
        Ok(ok)
    }

    /// The final response to a request of this call.
    fn hear(&self, call: &Call, method: &str) -> Result<Message> {
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(message) = self.alice.receive(left)?
                && message.call_id() == call.draft.call_id
                && message.cseq_method() == method
                && message.status() >= 200
            {
                return Ok(message);
            }
        }
        bail!("no final response to {method}")
    }

    fn within(&self, call: &Call, ok: &Message, method: &str, cseq: u32) -> Draft {
        let mut draft = call.draft.clone();
        draft.method = method.into();
        draft.uri = self.bob.contact("bob");
        draft.to = ok.header("to").unwrap_or_default().into();
        draft.cseq = cseq;
        draft.branch = branch();
        let mut routes: Vec<&str> = ok.all("record-route").collect();
        routes.reverse();
        draft.extra = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        draft
    }

    fn hang_up(&self, call: &Call, ok: &Message) -> Result<()> {
        self.alice.draft(&self.within(call, ok, "BYE", 2))?;
        let bye = self.bob.request("BYE", PATIENCE)?;
        self.bob.send(response(&bye, "200 OK", "", ""))?;
        let answer = self.hear(call, "BYE")?;
        if answer.status() != 200 {
            bail!("BYE got {}", answer.start);
        }
        Ok(())
    }
}

pub fn drain(world: &mut World) -> Result<String> {
    let cut = finishes(world)?;
    let late = times_out(world)?;
    let now = told_twice(world)?;
    Ok(format!("{cut}; {late}; {now}"))
}

/// Half of the calls stand, half still ring.
fn finishes(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let phones = Phones::new(&server)?;
    let (mut standing, mut ringing) = (Vec::new(), Vec::new());
    for n in 0..CALLS {
        let call = phones.ring()?;
        if n % 2 == 0 {
            let ok = phones.answer(&call)?;
            standing.push((call, ok));
        } else {
            ringing.push(call);
        }
    }
    server.child()?.terminate()?;
    server.child()?.says("draining", PATIENCE)?;
    let to = format!("sip:bob@{DOMAIN}");
    for _ in 0..5 {
        let draft = Draft::new("INVITE", &to, &format!("sip:alice@{DOMAIN}"), &to);
        let refused = Agent::new(LOCAL, server.address)?.ask(&draft)?;
        if refused.status() != 503 || refused.header("retry-after").is_none() {
            bail!("a new call while it drains got {}", refused.start);
        }
    }
    for (call, ok) in &standing {
        phones.hang_up(call, ok).context("a call that stood")?;
    }
    for call in &ringing {
        // It ends with the last of them: these calls go on without it, and their BYE goes through whoever comes after it.
        phones.answer(call).context("a call that rang")?;
    }
    let status = server.child()?.wait(PATIENCE)?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    let ended = server.child()?.output().matches("\"event\":\"call_ended\"").count();
    if ended != standing.len() {
        bail!("{ended} records of {} ended calls", standing.len());
    }
    Ok(format!("{CALLS} calls, none cut, a record of each of the {ended} that ended; new ones 503"))
}

fn times_out(world: &mut World) -> Result<String> {
    let sip = "drain_timeout = \"2s\"\n".to_owned();
    let mut server = world.start(&Settings { sip, ..Settings::local(&["alice", "bob"]).open() })?;
    let phones = Phones::new(&server)?;
    phones.ring()?;
    let began = Instant::now();
    server.child()?.terminate()?;
    server.child()?.wait(Duration::from_secs(8))?;
    let took = began.elapsed();
    if took < Duration::from_millis(1_900) || took > Duration::from_secs(3) {
        bail!("with a ringing call and 2 s to drain it ended after {:.1} s", took.as_secs_f64());
    }
    Ok(format!("a call that rings on is given up after {:.1} of 2 s", took.as_secs_f64()))
}

fn told_twice(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).open())?;
    let phones = Phones::new(&server)?;
    phones.ring()?;
    server.child()?.terminate()?;
    server.child()?.says("draining", PATIENCE)?;
    let began = Instant::now();
    server.child()?.terminate()?;
    server.child()?.wait(PATIENCE)?;
    let took = began.elapsed();
    if took > Duration::from_secs(1) {
        bail!("a second signal took {} ms", took.as_millis());
    }
    Ok(format!("a second signal ends it in {} ms", took.as_millis()))
}
