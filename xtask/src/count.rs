//! Instructions per benchmark, counted by callgrind: the same on a busy machine as on a quiet one, so they can be a gate.

use std::path::Path;

use anyhow::{Result, bail};

/// Runs the counted benchmarks and compares them with the figures kept beside them.
pub fn run(root: &Path, _write: bool) -> Result<bool> {
    let bench = root.join("crates/sip-message/benches/instructions.rs");
    if !bench.exists() {
        bail!("{} does not exist yet", bench.display());
    }
    let mut command = crate::cargo(root);
    command.args(["bench", "-p", "sip-message", "--bench", "instructions"]);
    Ok(command.status()?.success())
}
