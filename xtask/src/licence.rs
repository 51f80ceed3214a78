//! The licence of every dependency, against the list in deny.toml. A small stand-in for `cargo deny check licenses
//! bans`, which takes minutes to build from source: this needs nothing and reads the same file.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub fn run(root: &Path) -> Result<bool> {
    let allowed = allowed(root)?;
    let output = crate::cargo(root)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut good = true;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let source = package["source"].as_str();
        let licence = package["license"].as_str().unwrap_or("none");
        if !expression(licence, &allowed) {
            println!("{name}: licence `{licence}` is not on the list in deny.toml");
            good = false;
        }
        if source.is_some_and(|s| {
            !s.starts_with("registry+https://github.com/rust-lang/crates.io-index")
        }) {
            println!("{name}: comes from {}, not from crates.io", source.unwrap_or_default());
            good = false;
        }
    }
    println!(
        "{} packages, licences {}",
        packages.len(),
        if good { "fit" } else { "do not all fit" }
    );
    Ok(good)
}

fn allowed(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let table: toml::Table = text.parse().context("deny.toml")?;
    let list = table.get("licenses").and_then(|l| l.get("allow")).and_then(toml::Value::as_array);
    let list = list.context("deny.toml has no [licenses] allow")?;
    Ok(list.iter().filter_map(|l| l.as_str().map(str::to_owned)).collect())
}

/// An SPDX expression holds if one side of every OR does and both sides of every AND do.
fn expression(text: &str, allowed: &[String]) -> bool {
    let mut rest: Vec<String> = text
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    rest.reverse();
    any(&mut rest, allowed)
}

fn any(rest: &mut Vec<String>, allowed: &[String]) -> bool {
    let mut holds = all(rest, allowed);
    while rest.last().is_some_and(|w| w == "OR") {
        rest.pop();
        holds |= all(rest, allowed);
    }
    holds
}

fn all(rest: &mut Vec<String>, allowed: &[String]) -> bool {
    let mut holds = one(rest, allowed);
    while rest.last().is_some_and(|w| w == "AND") {
        rest.pop();
        holds &= one(rest, allowed);
    }
    holds
}

fn one(rest: &mut Vec<String>, allowed: &[String]) -> bool {
    match rest.pop() {
        Some(open) if open == "(" => {
            let holds = any(rest, allowed);
            rest.pop();
            holds
        }
        Some(name) => {
            if rest.last().is_some_and(|w| w == "WITH") {
                // An exception only ever permits more.
                rest.truncate(rest.len().saturating_sub(2));
            }
            allowed.contains(&name)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
        assert!(expression("MIT OR Apache-2.0", &allowed));
        assert!(expression("(GPL-2.0 OR MIT) AND Unicode-3.0", &allowed));
        assert!(!expression("(GPL-2.0 OR MIT) AND OpenSSL", &allowed));
        assert!(!expression("GPL-3.0", &allowed));
        assert!(expression("Apache-2.0/MIT", &allowed));
        assert!(expression("Apache-2.0 WITH LLVM-exception OR MIT", &allowed));
    }
}
