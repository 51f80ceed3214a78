//! The arrows between crates, and what the pure ones may not touch. Arrows go one way; nothing depends on the server.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Source;

/// Crate, the crates of the workspace it may use, and those it may use in tests only.
const EDGES: &[(&str, &[&str], &[&str])] = &[
    ("sip-message", &[], &[]),
    ("sip-core", &["sip-message"], &["sim"]),
    ("media", &[], &[]),
    ("udp", &[], &[]),
    ("store", &["sip-message", "sip-core"], &[]),
    ("phone", &["sip-message", "sip-core", "media", "udp"], &[]),
    ("sim", &["sip-message", "sip-core"], &[]),
    ("server", &["sip-message", "sip-core", "udp", "store", "phone"], &["sim"]),
    ("conformance", &[], &[]),
    ("xtask", &[], &[]),
];

/// Clocks, sockets, files, threads and logging: never in a pure crate.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime::now",
    "Instant::now()",
    "std::env",
    "tokio::",
    "tracing::",
    "println!",
    "eprintln!",
    "rand::",
];

const PURE: &[&str] = &["crates/sip-message/src/", "crates/sip-core/src/", "crates/media/src/"];

pub fn check(root: &Path, sources: &[Source], findings: &mut Vec<String>) -> Result<()> {
    let manifests = sources
        .iter()
        .filter(|s| s.path.ends_with("Cargo.toml") && s.path != "Cargo.toml" && !excluded(&s.path));
    let names: Vec<&str> = EDGES.iter().map(|(name, ..)| *name).collect();
    for manifest in manifests {
        let table: toml::Table = manifest.text.parse().with_context(|| manifest.path.clone())?;
        let name = table.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
        let name = name.with_context(|| format!("{}: no package name", manifest.path))?;
        let Some((_, uses, tests)) = EDGES.iter().find(|(n, ..)| *n == name) else {
            findings.push(format!(
                "{}: crate `{name}` has no row in xtask/src/tidy/edge.rs; cut crates by dependency set, not by topic",
                manifest.path
            ));
            continue;
        };
        for (section, extra) in [("dependencies", &[][..]), ("dev-dependencies", *tests)] {
            let Some(list) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for used in list.keys().filter(|k| names.contains(&k.as_str())) {
                if !uses.contains(&used.as_str()) && !extra.contains(&used.as_str()) {
                    findings.push(format!(
                        "{}: `{name}` must not use `{used}` ({section})",
                        manifest.path
                    ));
                }
            }
        }
    }
    for crate_ in ["sip-message", "sip-core", "media"] {
        let path = format!("crates/{crate_}/clippy.toml");
        if !root.join(&path).exists() {
            findings.push(format!(
                "{path}: missing; it keeps clocks, sockets and files out of a pure crate"
            ));
        }
    }
    purity(sources, findings);
    Ok(())
}

fn excluded(path: &str) -> bool {
    path.starts_with("fuzz/")
        || path.contains("/fuzz/")
        || path.starts_with("conformance/differential/")
}

fn purity(sources: &[Source], findings: &mut Vec<String>) {
    for source in sources.iter().filter(|s| s.is_rust()) {
        let pure = PURE.iter().any(|p| source.path.starts_with(p));
        for (number, line) in source.shipped_lines() {
            let code = line.split("//").next().unwrap_or_default();
            if pure && let Some(word) = IMPURE.iter().find(|w| code.contains(*w)) {
                findings.push(format!("{}:{number}: `{word}` in a pure crate", source.path));
            }
        }
    }
    let unsafe_files: Vec<&str> = sources
        .iter()
        // A test that counts allocations has to be the allocator, which is unsafe by its nature.
        .filter(|s| s.is_rust() && s.path.starts_with("crates/") && !s.is_test())
        .filter(|s| s.text.lines().any(unsafe_code))
        .map(|s| s.path.as_str())
        .collect();
    for path in unsafe_files.iter().filter(|p| !p.starts_with("crates/udp/src/")) {
        findings.push(format!("{path}: `unsafe` belongs in the one file of crates/udp"));
    }
    if unsafe_files.iter().filter(|p| p.starts_with("crates/udp/src/")).count() > 1 {
        findings.push(format!("`unsafe` in more than one file: {}", unsafe_files.join(", ")));
    }
}

fn unsafe_code(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|w| code.contains(w))
}
