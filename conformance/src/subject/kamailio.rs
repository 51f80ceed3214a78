//! Debian's Kamailio with a configuration written for this suite; its own service is never started.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Settings;

pub fn command(folder: &Path, settings: &Settings) -> Result<Command> {
    let template = crate::root().join("conformance/kamailio.cfg");
    let text =
        std::fs::read_to_string(&template).with_context(|| template.display().to_string())?;
    let text = text.replace("ADDRESS", &settings.address.to_string());
    let text = text.replace("FORK_MS", &(settings.serial.unwrap_or(0) * 1000).to_string());
    let text = text.replace("FOLDER", &folder.display().to_string());
    let gateway = |port: &u16| format!("1 sip:{}:{port}\n", settings.address);
    let list: String = settings.gateways.iter().map(gateway).collect();
    std::fs::write(folder.join("dispatcher.list"), list)?;
    let path = folder.join("kamailio.cfg");
    std::fs::write(&path, text)?;
    let mut command = Command::new("kamailio");
    // -DD: stay in the foreground and keep the children; no files outside the folder.
    command.args(["-DD", "-E", "-m", "256", "-M", "32"]).arg("-f").arg(path);
    command.arg("-Y").arg(folder).arg("-P").arg(folder.join("kamailio.pid"));
    if settings.auth {
        command.args(["-A", "AUTH"]);
    }
    if settings.serial.is_some() {
        command.args(["-A", "SERIAL"]);
    }
    if !settings.gateways.is_empty() {
        command.args(["-A", "GATEWAYS"]);
    }
    if settings.nat {
        command.args(["-A", "NAT"]);
    }
    if settings.redirect {
        command.args(["-A", "REDIRECT"]);
    }
    Ok(command)
}
