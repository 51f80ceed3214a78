//! Who is tested, and how it is started, stopped and looked at from outside.

mod kamailio;
mod ringway;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent;
use crate::child::Child;
use crate::world::LOCAL;

pub const DOMAIN: &str = "example.com";
/// The password of every account.
pub const PASSWORD: &str = "secret";
const PORT: u16 = 5060;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ringway,
    Kamailio,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ringway => "ringway",
            Self::Kamailio => "kamailio",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "ringway" => Ok(Self::Ringway),
            "kamailio" => Ok(Self::Kamailio),
            other => bail!("`{other}` is not a subject: ringway or kamailio"),
        }
    }
}

/// How the subject is to be set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: IpAddr,
    /// Further listen addresses (Ringway only).
    pub also: Vec<IpAddr>,
    pub users: Vec<String>,
    /// Requests from our domain and registrations are challenged.
    pub auth: bool,
    /// Offered digest algorithms, in order.
    pub algorithms: Vec<&'static str>,
    /// Calls from other domains to our users are let in.
    pub inbound: bool,
    /// Contacts of the same user are tried by their q, each value for so many seconds.
    pub serial: Option<u32>,
    /// Numbers that begin with + go to gateways at these ports, which take turns.
    pub gateways: Vec<u16>,
    /// Callers are told where to try.
    pub redirect: bool,
    /// Redirections are followed (Ringway only).
    pub recurse: bool,
    /// Shortest registration, seconds.
    pub expires_min: u32,
    /// Our users may call other domains.
    pub outbound: bool,
    /// The benchmark network is exempt from the limits per source.
    pub trusted: bool,
    /// Whole lines of `[dns]`.
    pub dns: String,
    /// Phones are behind NATs: what Kamailio has to be told, and Ringway has not.
    pub nat: bool,
    /// Put before the program: `prlimit`, `faketime`.
    pub prefix: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Another build than the usual one.
    pub program: Option<PathBuf>,
    /// More lines for its `[sip]` section, and whole sections (Ringway only).
    pub sip: String,
    pub sections: String,
}

impl Settings {
    /// For friendly peers on loopback.
    pub fn local(users: &[&str]) -> Self {
        Self {
            address: LOCAL,
            also: Vec::new(),
            users: users.iter().map(|u| (*u).to_owned()).collect(),
            auth: true,
            algorithms: vec!["SHA-256", "MD5"],
            inbound: false,
            serial: None,
            gateways: Vec::new(),
            redirect: false,
            recurse: false,
            expires_min: 1,
            outbound: false,
            trusted: false,
            dns: String::new(),
            nat: false,
            prefix: Vec::new(),
            environment: Vec::new(),
            program: None,
            sip: String::new(),
            sections: String::new(),
        }
    }

    pub fn gateways(mut self, ports: &[u16]) -> Self {
        self.gateways = ports.to_vec();
        self
    }

    /// For strangers: on an address nothing exempts.
    pub fn public(users: &[&str]) -> Self {
        Self { address: crate::world::SERVER, ..Self::local(users) }
    }

    /// For peers that know only MD5 and give up when anything else is offered beside it.
    pub fn old_digest(mut self) -> Self {
        self.algorithms = vec!["MD5"];
        self
    }

    pub fn serial(mut self, seconds: u32) -> Self {
        self.serial = Some(seconds);
        self
    }

    pub fn redirect(mut self) -> Self {
        self.redirect = true;
        self
    }

    pub fn open(mut self) -> Self {
        self.auth = false;
        self
    }

    pub fn inbound(mut self) -> Self {
        self.inbound = true;
        self
    }
}

/// A running subject.
pub struct Server {
    pub address: SocketAddr,
    kind: Kind,
    folder: PathBuf,
    settings: Settings,
    child: Option<Child>,
    starts: u32,
}

impl Server {
    pub fn start(kind: Kind, folder: &Path, settings: &Settings) -> Result<Self> {
        let mut server = Self {
            address: SocketAddr::new(settings.address, PORT),
            kind,
            folder: folder.to_owned(),
            settings: settings.clone(),
            child: None,
            starts: 0,
        };
        if kind == Kind::Ringway {
            ringway::prepare(folder, settings)?;
        }
        server.launch()?;
        server.ready(Duration::from_secs(20))?;
        Ok(server)
    }

    /// Starts the program (again), without waiting for it.
    pub fn launch(&mut self) -> Result<()> {
        self.starts += 1;
        let command = match self.kind {
            Kind::Ringway => ringway::command(&self.folder, &self.settings),
            Kind::Kamailio => kamailio::command(&self.folder, &self.settings)?,
        };
        let mut command = prefixed(command, &self.settings.prefix);
        command.current_dir(&self.folder).envs(self.settings.environment.iter().cloned());
        self.child = Some(Child::start(
            &self.folder,
            &format!("{}-{}", self.kind.name(), self.starts),
            &mut command,
        )?);
        Ok(())
    }

    /// Waits until OPTIONS is answered; gives the time it took.
    pub fn ready(&mut self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        let from = if self.address.ip().is_loopback() { LOCAL } else { [198, 18, 0, 250].into() };
        loop {
            let answer = agent::alive(from, self.address, Duration::from_millis(300));
            if answer.is_ok() {
                return Ok(start.elapsed());
            }
            let child = self.child.as_mut().context("it was not started")?;
            if !child.running() {
                bail!("{} did not start: {}", self.kind.name(), child.tail());
            }
            if start.elapsed() > limit {
                bail!(
                    "{} answers no OPTIONS after {} s: {}",
                    self.kind.name(),
                    limit.as_secs(),
                    child.tail()
                );
            }
        }
    }

    /// Passes if it runs and answers OPTIONS soon.
    pub fn healthy(&mut self) -> Result<Duration> {
        let from = if self.address.ip().is_loopback() { LOCAL } else { [198, 18, 0, 250].into() };
        let child = self.child.as_mut().context("it was not started")?;
        if !child.running() {
            bail!("{} has ended: {}", self.kind.name(), child.tail());
        }
        agent::alive(from, self.address, Duration::from_secs(2)).context("after that")
    }

    pub fn child(&mut self) -> Result<&mut Child> {
        self.child.as_mut().context("it was not started")
    }

    /// Where its configuration and its data are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child()?.kill()
    }

    /// Resident memory, KiB.
    pub fn memory(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// CPU used so far, user and system.
    pub fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after.split_whitespace().skip(11);
        let ticks: u64 = fields.next().and_then(|u| u.parse().ok()).unwrap_or(0)
            + fields.next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
        Duration::from_millis(ticks * 10)
    }

    /// What `ringway status` says.
    pub fn status(&self) -> Result<serde_json::Value> {
        let (_, text) = self.subcommand(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("status says {text}"))
    }

    /// A subcommand of the server's own program on the same configuration; its exit code and output.
    pub fn subcommand(&self, words: &[&str]) -> Result<(i32, String)> {
        ringway::subcommand(&self.folder, words)
    }
}

/// `command` behind a prefix such as `prlimit --nofile=256`.
fn prefixed(command: Command, prefix: &[String]) -> Command {
    let Some((first, rest)) = prefix.split_first() else { return command };
    let mut whole = Command::new(first);
    whole.args(rest).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            whole.env(name, value);
        }
    }
    whole
}
