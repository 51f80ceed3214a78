//! Instructions per operation, counted by callgrind: the same on a busy machine as on a quiet one, so they can be a gate.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Runs the counted operations; they compare themselves with the limits kept beside them.
pub fn run(root: &Path) -> Result<bool> {
    let mut command = crate::cargo(root);
    command.args(["bench", "--locked", "-p", "sip-message", "--bench", "instructions"]);
    Ok(command.status().context("cargo could not be started")?.success())
}
