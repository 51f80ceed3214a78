//! Who gets a proof of the password that the server has with its provider (S-20, ADV-33): the provider, and nobody who
//! names his realm: not another gateway, not a callee behind the provider who wants one for himself, not a phone, not
//! inside a dialog. A proof is a hash of the password to guess at.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::agent::Agent;
use crate::sip::{Draft, Message, response};
use crate::subject::{DOMAIN, PASSWORD, Settings};
use crate::world::World;

const USER: &str = "4930123456";
const REALM: &str = "provider.example";
const WAIT: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(300);

/// Agents, and every request each of them has seen.
struct Scene {
    alice: Agent,
    provider: Agent,
    other: Agent,
    bob: Agent,
    /// By agent: requests with our proof in them.
    proofs: BTreeMap<&'static str, usize>,
}

fn challenge(realm: &str) -> String {
    format!(
        "Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"abc\", algorithm=MD5, qop=\"auth\"\r\n"
    )
}

impl Scene {
    /// The next request of this method; whatever comes on the way is looked at as well.
    fn wait(&mut self, who: &'static str, method: &str) -> Result<Message> {
        loop {
            let agent = match who {
                "provider" => &self.provider,
                "other" => &self.other,
                "bob" => &self.bob,
                _ => &self.alice,
            };
            let Some(message) = agent.receive(WAIT)? else { bail!("no {method} came to {who}") };
            self.look(who, &message);
            if message.method() == method {
                return Ok(message);
            }
        }
    }

    fn look(&mut self, who: &'static str, message: &Message) {
        let lines = message.all("authorization").chain(message.all("proxy-authorization"));
        let proofs = lines.filter(|line| line.contains(USER)).count();
        *self.proofs.entry(who).or_default() += proofs;
    }

    /// Everything that is still on its way.
    fn drain(&mut self) -> Result<()> {
        for who in ["alice", "provider", "other", "bob"] {
            loop {
                let agent = match who {
                    "provider" => &self.provider,
                    "other" => &self.other,
                    "bob" => &self.bob,
                    _ => &self.alice,
                };
                let Some(message) = agent.receive(QUIET)? else { break };
                self.look(who, &message);
            }
        }
        Ok(())
    }

    fn call(&self, number: &str) -> Result<Draft> {
        let from = format!("sip:alice@{DOMAIN}");
        let to = format!("sip:{number}@{DOMAIN}");
        let contact = format!("Contact: <{}>\r\n", self.alice.contact("alice"));
        let draft = Draft::new("INVITE", &to, &from, &to).with(&contact);
        self.alice.draft(&draft)?;
        Ok(draft)
    }

    /// The provider himself is answered: when we register, and when he asks who calls.
    fn owner(&mut self) -> Result<()> {
        let register = self.wait("provider", "REGISTER")?;
        let asks = challenge(REALM).replace("Proxy-", "WWW-");
        self.provider.send(response(&register, "401 Unauthorized", "p", &asks))?;
        let register = self.wait("provider", "REGISTER")?;
        self.provider.send(response(&register, "200 OK", "p", "Expires: 3600\r\n"))?;
        self.call("1555")?;
        let invite = self.wait("provider", "INVITE")?;
        self.provider.send(response(&invite, "407 Who Are You", "p", &challenge(REALM)))?;
        let invite = self.wait("provider", "INVITE")?;
        self.provider.send(response(&invite, "486 Busy Here", "p", ""))?;
        self.drain()
    }

    /// Another realm, another gateway and a phone ask as well.
    fn strangers(&mut self) -> Result<()> {
        self.call("1555")?;
        let invite = self.wait("provider", "INVITE")?;
        self.provider.send(response(&invite, "407 Me Too", "e", &challenge("evil.example")))?;
        self.call("2555")?;
        let invite = self.wait("other", "INVITE")?;
        self.other.send(response(&invite, "407 I Am He", "o", &challenge(REALM)))?;
        self.bob.register("bob", PASSWORD, DOMAIN)?;
        self.call("bob")?;
        let invite = self.wait("bob", "INVITE")?;
        self.bob.send(response(&invite, "407 I Am He", "b", &challenge(REALM)))?;
        self.drain()
    }

    /// The callee behind the provider challenges the BYE.
    fn dialog(&mut self) -> Result<()> {
        let draft = self.call("1777")?;
        let invite = self.wait("provider", "INVITE")?;
        let contact = format!("Contact: <{}>\r\n", self.provider.contact("x"));
        self.provider.send(response(&invite, "200 OK", "p", &contact))?;
        let route: String =
            invite.all("record-route").map(|route| format!("Route: {route}\r\n")).collect();
        let mut bye = draft.again().with(&route);
        (bye.method, bye.uri, bye.to) =
            ("BYE".into(), self.provider.contact("x"), format!("{};tag=p", bye.to));
        self.drain()?;
        self.alice.draft(&bye)?;
        let arrived = self.wait("provider", "BYE")?;
        self.provider.send(response(&arrived, "407 Who Are You", "", &challenge(REALM)))?;
        self.drain()
    }
}

/// A gateway and the numbers that go to it.
fn section(name: &str, number: &str, ip: IpAddr, more: &str) -> String {
    format!(
        "[[gateway]]\nname = \"{name}\"\nset = \"{name}\"\nuri = \"sip:{ip}:5060\"\n{more}\n\
         [[route]]\nname = \"{name}\"\nwhen = {{ from = \"user\", number = \"^{number}\" }}\n\
         do = {{ set = \"{name}\" }}\n"
    )
}

pub fn digest_leak(world: &mut World) -> Result<String> {
    let (provider, other) = (world.address(20), world.address(21));
    let mut settings = Settings::public(&["alice", "bob"]).open();
    let account = format!(
        "register = {{ user = \"{USER}\", password = \"trunk\", realm = \"{REALM}\", domain = \"{REALM}\" }}"
    );
    settings.sections =
        section("provider", "1", provider, &account) + &section("other", "2", other, "");
    // They listen before the server registers.
    let at = |ip| Agent::at(SocketAddr::new(ip, 5060), (settings.address, 5060).into());
    let mut scene = Scene {
        provider: at(provider)?,
        other: at(other)?,
        alice: Agent::new(world.address(10), (settings.address, 5060).into())?,
        bob: Agent::new(world.address(11), (settings.address, 5060).into())?,
        proofs: BTreeMap::new(),
    };
    let mut server = world.start(&settings)?;
    scene.owner()?;
    let to_owner = scene.proofs.get("provider").copied().unwrap_or(0);
    if to_owner != 2 {
        bail!("the provider had {to_owner} proofs, and asked twice");
    }
    scene.strangers()?;
    scene.dialog()?;
    server.healthy()?;
    let leaked: usize = scene.proofs.values().sum::<usize>() - to_owner;
    if leaked != 0 {
        bail!("{leaked} proofs went to others, or were given inside a dialog: {:?}", scene.proofs);
    }
    Ok("2 proofs to the provider who asked; 0 for another realm, gateway, phone or dialog"
        .to_owned())
}
