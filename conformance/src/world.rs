//! The inside of a namespace: its addresses, a folder for this case, and the subject under test.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::case::Case;
use crate::subject::{Kind, Server, Settings};

/// The subject's address when the test plays strangers: of the benchmark range (RFC 2544), so that nothing exempts it.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
/// The subject's address for friendly peers.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub struct World {
    pub kind: Kind,
    /// Empty at the start, removed at the end.
    pub folder: PathBuf,
    /// `conformance/` of the project: scenarios and scripts.
    pub scenarios: PathBuf,
    pub corpus: PathBuf,
    started: u32,
}

impl World {
    /// Starts the subject and waits until it answers.
    pub fn start(&mut self, settings: &Settings) -> Result<Server> {
        self.started += 1;
        let folder = self.folder.join(format!("server-{}", self.started));
        std::fs::create_dir_all(&folder)?;
        Server::start(self.kind, &folder, settings)
    }

    /// An address of ours on the benchmark network; 1 is the subject's, 2 to 254 are anybody's.
    pub fn address(&self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(198, 18, 0, last))
    }

    /// nftables rules of this namespace.
    pub fn firewall(&self, rules: &str) -> Result<()> {
        let path = self.folder.join("rules.nft");
        std::fs::write(&path, rules)?;
        command(&["nft", "-f", &path.display().to_string()])
    }
}

/// Runs one case here and prints its verdict as the last line.
pub fn inside(case: &Case, kind: Kind) -> Result<bool> {
    let folder =
        std::env::temp_dir().join(format!("ringway-conformance-{}-{}", case.name, nonce()));
    std::fs::create_dir_all(&folder)?;
    let root = crate::root();
    let result = network().and_then(|()| {
        let mut world = World {
            kind,
            folder: folder.clone(),
            scenarios: root.join("conformance"),
            corpus: root.join("corpus"),
            started: 0,
        };
        (case.run)(&mut world)
    });
    let verdict = match &result {
        Ok(reason) => format!("PASS {reason}"),
        Err(error) => format!("FAIL {error:#}"),
    };
    if std::env::var_os("KEEP").is_some() {
        println!("kept {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).ok();
    }
    println!("{}", verdict.replace('\n', " | "));
    Ok(result.is_ok())
}

/// Loopback up, with a small network of addresses on it.
fn network() -> Result<()> {
    command(&["ip", "link", "set", "lo", "up"])?;
    command(&["ip", "address", "add", "198.18.0.1/24", "dev", "lo"])?;
    // A kernel without IPv6 fails the one case that needs it, not all of them.
    for last in 1..=2 {
        command(&["ip", "-6", "address", "add", &format!("2001:db8::{last}/128"), "dev", "lo"])
            .ok();
    }
    Ok(())
}

pub fn command(words: &[&str]) -> Result<()> {
    output(words).map(drop)
}

/// What a command prints, if it ends well.
pub fn output(words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} could not be started"))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Something no other run has: inside a process namespace our own number is always the same.
fn nonce() -> String {
    let mut bytes = [0u8; 6];
    use std::io::Read as _;
    if std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).is_err() {
        return "0".into();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A program of the project's own, or where the caller says it is.
pub fn ringway() -> PathBuf {
    std::env::var_os("RINGWAY")
        .map(PathBuf::from)
        .unwrap_or_else(|| crate::root().join("target/release/ringway"))
}

/// The malformed inputs: ours, and a neighbouring collection where there is one.
pub fn malformed(corpus: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(&corpus.join("malformed"), &mut found)?;
    let beside = std::env::var_os("RINGWAY_CORPUS")
        .map(PathBuf::from)
        .or_else(|| crate::root().parent().map(|p| p.join("shared/corpus")));
    match beside.map(|b| b.join("malformed")).filter(|b| b.is_dir()) {
        Some(folder) => walk(&folder, &mut found)?,
        None => {
            println!("no further malformed inputs beside the project; only its own are replayed")
        }
    }
    found.retain(|p| {
        let text = p.display().to_string();
        !text.contains("/stun/") && !text.ends_with(".dict") && !text.ends_with(".md")
    });
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
