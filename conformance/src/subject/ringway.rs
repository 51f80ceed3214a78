//! Ringway as an operator starts it: a configuration file, accounts added with its own command, `ringway run`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{DOMAIN, PASSWORD, PORT, Settings};
use crate::world;

pub fn prepare(folder: &Path, settings: &Settings) -> Result<()> {
    std::fs::write(folder.join("ringway.toml"), configuration(settings))?;
    for user in &settings.users {
        add(folder, user)?;
    }
    Ok(())
}

fn configuration(settings: &Settings) -> String {
    let mut listen = Vec::new();
    for ip in std::iter::once(&settings.address).chain(&settings.also) {
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        listen.push(format!("\"udp://{host}:{PORT}\""));
        listen.push(format!("\"tcp://{host}:{PORT}\""));
    }
    let algorithms: Vec<String> = settings.algorithms.iter().map(|a| format!("\"{a}\"")).collect();
    let mut text = String::new();
    let _ = writeln!(text, "[sip]\nlisten = [{}]\ndomains = [\"{DOMAIN}\"]", listen.join(", "));
    let _ = writeln!(text, "allow_inbound = {}", settings.inbound);
    let _ = writeln!(text, "allow_outbound = {}", settings.outbound);
    text.push_str(&settings.sip);
    if settings.redirect {
        let _ = writeln!(text, "redirect_domains = [\"{DOMAIN}\"]");
    }
    let _ = writeln!(text, "[proxy]\nrecurse = {}", settings.recurse);
    if let Some(seconds) = settings.serial {
        let _ = writeln!(text, "fork_timeout = \"{seconds}s\"");
    }
    let _ = writeln!(
        text,
        "[registrar]\nexpires = {{ min = \"{}s\", max = \"1h\", default = \"1h\" }}",
        settings.expires_min
    );
    let _ = writeln!(
        text,
        "[auth]\nenabled = {}\nalgorithms = [{}]",
        settings.auth,
        algorithms.join(", ")
    );
    let _ = writeln!(text, "[dns]\n{}", settings.dns);
    if settings.trusted {
        let _ = writeln!(text, "[limits]\ntrusted = [\"198.18.0.0/24\"]");
    }
    let _ = writeln!(text, "[store]\nurl = \"file:./ringway-data\"");
    for port in &settings.gateways {
        let _ = writeln!(
            text,
            "[[gateway]]\nname = \"g{port}\"\nset = \"pstn\"\nuri = \"sip:{}:{port}\"",
            settings.address
        );
    }
    if !settings.gateways.is_empty() {
        let _ = writeln!(
            text,
            "[[route]]\nname = \"pstn\"\nwhen = {{ from = \"user\", number = '^\\+' }}\ndo = {{ set = \"pstn\" }}"
        );
    }
    text.push_str(&settings.sections);
    text
}

pub fn command(folder: &Path, settings: &Settings) -> Command {
    let mut command = Command::new(settings.program.clone().unwrap_or_else(world::ringway));
    command.arg("run").arg("--config").arg(folder.join("ringway.toml"));
    command
}

fn add(folder: &Path, user: &str) -> Result<()> {
    let mut child = Command::new(world::ringway())
        .current_dir(folder)
        .args(["user", "add", user, "--password-stdin", "--config"])
        .arg(folder.join("ringway.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} could not be started", world::ringway().display()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(format!("{PASSWORD}\n").as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ringway user add {user}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A subcommand in the server's folder: its exit code and everything it printed.
pub fn subcommand(folder: &Path, words: &[&str]) -> Result<(i32, String)> {
    let output = Command::new(world::ringway())
        .current_dir(folder)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("ringway could not be started")?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
}
