//! The programs the tests need, installed with apt where that is allowed and named exactly where it is not.
//! It never starts a service: Debian's own daemons stay off.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A program (or a file) a test uses, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("cc", "build-essential"),
    ("sipp", "sip-tester"),
    ("baresip", "baresip-core"),
    ("sipsak", "sipsak"),
    ("/usr/share/perl5/Net/SIP.pm", "libnet-sip-perl"),
    ("kamailio", "kamailio"),
    ("faketime", "faketime"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("prlimit", "util-linux"),
    ("valgrind", "valgrind"),
];

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, or says which command would.
pub fn install() -> Result<()> {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !present(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        println!("every program the tests need is here");
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !root() {
        bail!(
            "the tests need programs this user cannot install. Run:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends {wanted}"
        );
    }
    println!("installing {wanted}");
    apt(&["update", "-qq"])?;
    let policy = ServicesOff::new()?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    drop(policy);
    match NEEDED.iter().find(|(program, _)| !present(program)) {
        Some((program, package)) => {
            bail!("`{program}` is still missing after installing {package}")
        }
        None => Ok(()),
    }
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUN_KAMAILIO", "no")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("apt-get could not be started; install the programs by hand")?;
    if !status.success() {
        bail!("apt-get {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}

/// While it lives, installing a package starts no daemon (Debian's `policy-rc.d`: 101 means "not allowed").
struct ServicesOff {
    ours: bool,
}

impl ServicesOff {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .context("policy-rc.d could not be written")?;
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for ServicesOff {
    fn drop(&mut self) {
        if self.ours {
            // Nothing to do if it is already gone.
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// Is this user root? Asked of the kernel through /proc, so that no libc call is needed.
fn root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| text.lines().find(|l| l.starts_with("Uid:")).map(str::to_owned))
        .is_some_and(|line| line.split_whitespace().nth(2) == Some("0"))
}

fn present(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| Path::new(folder).join(program).is_file())
}
