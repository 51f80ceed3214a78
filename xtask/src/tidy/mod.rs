//! The structure of the project as a test: which crate may use which, how large things may grow, how the RFCs are cited, what
//! names are not used, and that the documents speak of things that exist. It reads files; it never changes one
//! except `docs/rfc.md` and the size list, when asked to.

mod citation;
mod edge;
mod page;
mod size;
mod word;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A text file of the project.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Test code: integration tests, `tests.rs` beside a module, benches, fuzz targets.
    pub fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts.iter().any(|p| matches!(*p, "tests" | "benches" | "examples" | "fuzz" | "tests.rs"))
            || self.path.starts_with("conformance/")
            || self.path.starts_with("crates/sim/")
    }

    /// The lines before the test module at the end of the file, numbered from 1.
    pub fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = if self.is_test() { 0 } else { usize::MAX };
        self.text
            .lines()
            .enumerate()
            .take(all)
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .map(|(index, line)| (index + 1, line))
    }
}

/// Checks everything; `write` renews the generated files first.
pub fn run(root: &Path, write: bool) -> Result<bool> {
    let sources = sources(root)?;
    if write {
        citation::write(root, &sources)?;
        size::write(root, &sources)?;
    }
    let mut findings = Vec::new();
    edge::check(root, &sources, &mut findings)?;
    size::check(root, &sources, &mut findings)?;
    word::check(&sources, &mut findings);
    citation::check(root, &sources, &mut findings)?;
    page::check(root, &sources, &mut findings);
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    Ok(findings.is_empty())
}

/// Every text file git knows of or would add. The corpus is other people's bytes and is left out.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("git could not be started")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut sources = Vec::new();
    for path in names.split('\0').filter(|p| !p.is_empty() && !p.starts_with("corpus/")) {
        // A file deleted and not yet committed, or one that is not text, says nothing here.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}
