//! Networks behind translators, made of namespaces inside the case's own: the case's namespace is the internet with the
//! subject in it; each home has a router (nftables) and phones behind it. When a case ends, so does all of this.

mod phone;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::child::Child;
use crate::world::{World, command};

pub use phone::{Line, Phone, Transport};

/// How a router translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keeps the port if it can: what most routers at home do.
    PortKept,
    /// Another port, the same way for every destination at a time.
    Random,
    /// Another port for every destination that nobody can guess: the worst.
    Symmetric,
    /// Lets everybody in who sends to the phone's port.
    FullCone,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::PortKept, Self::Random, Self::Symmetric, Self::FullCone];

    pub const fn name(self) -> &'static str {
        match self {
            Self::PortKept => "port kept",
            Self::Random => "random port",
            Self::Symmetric => "symmetric",
            Self::FullCone => "full cone",
        }
    }

    /// `inner`: the phone that a full cone lets in.
    fn rules(self, inner: &str) -> String {
        let how = match self {
            Self::PortKept | Self::FullCone => "masquerade",
            Self::Random => "masquerade random",
            Self::Symmetric => "masquerade fully-random",
        };
        let inward = match self {
            Self::FullCone => format!(
                "chain pre {{\ntype nat hook prerouting priority dstnat\niifname \"wan\" meta l4proto {{ tcp, udp }} dnat to {inner}\n}}\n"
            ),
            _ => String::new(),
        };
        format!(
            "table ip nat {{\n{inward}chain post {{\ntype nat hook postrouting priority srcnat\noifname \"wan\" {how}\n}}\n}}\n"
        )
    }
}

/// A network namespace of its own, alive as long as this.
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut sleep = Command::new("unshare");
        sleep.args(["--net", "sleep", "3600"]);
        let holder = Child::start(folder, name, &mut sleep)?;
        let network = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net"));
        let (ours, id) = (network("self")?, holder.id().to_string());
        let end = Instant::now() + Duration::from_secs(10);
        while network(&id).is_ok_and(|theirs| theirs == ours) {
            if Instant::now() > end {
                bail!("no network namespace for {name}: {}", holder.tail());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let namespace = Self { holder };
        namespace.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A command to be run inside.
    pub fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net", program]);
        command
    }

    pub fn run(&self, words: &[&str]) -> Result<()> {
        let id = self.holder.id().to_string();
        let inside: Vec<&str> =
            ["nsenter", "--target", &id, "--net"].iter().chain(words).copied().collect();
        command(&inside)
    }

    /// A setting of its network.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.run(&["sh", "-c", &format!("echo {value} > /proc/sys/net/{name}")])
    }

    fn firewall(&self, rules: &str) -> Result<()> {
        use std::io::Write as _;
        let mut nft = self.enter("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        nft.stdin.take().context("no input")?.write_all(rules.as_bytes())?;
        let status = nft.wait()?;
        if !status.success() { bail!("nft refused:\n{rules}") } else { Ok(()) }
    }

    fn id(&self) -> String {
        self.holder.id().to_string()
    }
}

/// A home: a router with an address of the internet and a network of private addresses behind it.
pub struct Home {
    router: Namespace,
    number: u8,
    phones: u8,
}

impl Home {
    /// `number`: 10 and up; it is in all its addresses.
    pub fn new(world: &World, number: u8, kind: Kind) -> Result<Self> {
        let router = Namespace::new(&world.folder, &format!("router-{number}"))?;
        let (ours, theirs) = (format!("198.18.{number}.1"), format!("198.18.{number}.2"));
        wire(None, (&format!("w{number}"), &ours), &router, ("wan", &theirs))?;
        router.run(&["ip", "route", "add", "default", "via", &ours])?;
        router.set("ipv4/ip_forward", "1")?;
        router.firewall(&kind.rules(&inner(number, 1)))?;
        Ok(Self { router, number, phones: 0 })
    }

    /// The router forgets whom it let through, as if it had been switched off and on.
    pub fn forget(&self) -> Result<()> {
        self.router.run(&["conntrack", "-F"])
    }

    /// After so many seconds without a packet it forgets a UDP mapping.
    pub fn udp_timeout(&self, seconds: u32) -> Result<()> {
        for name in ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"] {
            self.router.set(&format!("netfilter/{name}"), &seconds.to_string())?;
        }
        Ok(())
    }

    /// A place for one more phone.
    pub fn place(&mut self, world: &World, name: &str) -> Result<Place> {
        self.phones += 1;
        let (number, phone) = (self.number, self.phones);
        let namespace = Namespace::new(&world.folder, &format!("place-{name}"))?;
        let (router, address) = (format!("10.{number}.{phone}.1"), inner(number, phone));
        let lan = format!("lan{phone}");
        wire(Some(&self.router), (&lan, &router), &namespace, ("eth0", &address))?;
        namespace.run(&["ip", "route", "add", "default", "via", &router])?;
        Place::finish(namespace, address, number, phone)
    }
}

fn inner(number: u8, phone: u8) -> String {
    format!("10.{number}.{phone}.2")
}

/// Where a phone stands: a namespace with one address for SIP and one for the test to talk to the phone.
pub struct Place {
    namespace: Namespace,
    address: String,
    /// Only between the test and this phone.
    control: String,
}

impl Place {
    /// On the internet, without a router.
    pub fn outside(world: &World, number: u8, name: &str) -> Result<Self> {
        let namespace = Namespace::new(&world.folder, &format!("place-{name}"))?;
        let (ours, theirs) = (format!("198.18.{number}.1"), format!("198.18.{number}.2"));
        wire(None, (&format!("w{number}"), &ours), &namespace, ("eth0", &theirs))?;
        namespace.run(&["ip", "route", "add", "default", "via", &ours])?;
        Self::finish(namespace, theirs, number, 1)
    }

    fn finish(namespace: Namespace, address: String, number: u8, phone: u8) -> Result<Self> {
        let (ours, control) =
            (format!("172.{}.{number}.1", 16 + phone), format!("172.{}.{number}.2", 16 + phone));
        wire(None, (&format!("c{number}x{phone}"), &ours), &namespace, ("ctl", &control))?;
        Ok(Self { namespace, address, control })
    }
}

/// A cable: name and address of each end. The first is in `from`, or in the case's own namespace.
fn wire(
    from: Option<&Namespace>,
    (near, near_address): (&str, &str),
    to: &Namespace,
    (far, far_address): (&str, &str),
) -> Result<()> {
    let id = to.id();
    let near_run = |words: &[&str]| match from {
        Some(namespace) => namespace.run(words),
        None => command(words),
    };
    near_run(&["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", &id])?;
    near_run(&["ip", "address", "add", &format!("{near_address}/24"), "dev", near])?;
    near_run(&["ip", "link", "set", near, "up"])?;
    to.run(&["ip", "address", "add", &format!("{far_address}/24"), "dev", far])?;
    to.run(&["ip", "link", "set", far, "up"])
}
