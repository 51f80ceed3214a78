//! The configuration: which file, what it says (`file.rs`), what that means (`meaning.rs`), and what is wrong with it
//! (`mistake.rs`). The same road for `run`, `check` and every command that must find the server.

mod account;
pub mod change;
mod deviation;
pub mod dispatch;
#[cfg(test)]
mod dispatch_tests;
pub mod dns;
pub mod duration;
pub mod file;
pub mod gateway;
mod limit;
pub mod meaning;
pub mod mistake;
pub mod note;
mod part;
pub mod route;
pub mod set;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use dispatch::{Balance, Dispatch};
pub use meaning::{DomainChoice, Flags, Listen, LogFormat, LogLevel, Settings, Spread};
pub use mistake::{Findings, Mistake};

use file::Written;

/// A configuration that was read, with whatever is wrong with it.
#[derive(Clone)]
pub struct Loaded {
    /// Meaningless while `findings` has errors.
    pub settings: Settings,
    pub findings: Findings,
    /// Where it is less careful than the defaults: for `check` to tell.
    pub deviations: Vec<Mistake>,
    /// None: no file, only defaults and flags.
    pub path: Option<PathBuf>,
    /// What was said instead of the file.
    pub flags: Flags,
    /// Settings that the file says in vain.
    pub overridden: Vec<&'static str>,
}

/// The file in force: `-c`, `$RINGWAY_CONFIG`, `./ringway.toml`, `/etc/ringway/ringway.toml`.
fn search(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    if let Some(path) = std::env::var_os("RINGWAY_CONFIG").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let usual = ["ringway.toml", "/etc/ringway/ringway.toml"].map(PathBuf::from);
    usual.into_iter().find(|path| path.exists())
}

pub fn load(named: Option<&Path>, flags: &Flags) -> Loaded {
    let Some(path) = search(named) else { return read("", "", flags, None) };
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(source) => read(&shown, &source, flags, Some(path)),
        Err(error) => {
            let mut loaded = read(&shown, "", flags, Some(path));
            let message = format!("cannot read {shown}: {error}");
            loaded.findings.mistakes.insert(0, Mistake::error("unreadable", message));
            loaded
        }
    }
}

fn read(shown: &str, source: &str, flags: &Flags, path: Option<PathBuf>) -> Loaded {
    let mut written = Written::parse(source);
    let settings = Settings::read(&mut written, flags);
    let deviations = deviation::of(&written, &settings);
    let overridden = flags.named().filter(|path| written.says(path)).collect();
    let findings = written.findings(shown, source);
    Loaded { settings, findings, deviations, path, flags: flags.clone(), overridden }
}
