//! The documents speak of things that exist: paths, links, commands.

use std::path::Path;

use super::Source;

/// What `cargo xtask` knows; the usage text of `main.rs` is the source.
const CHORES: &[&str] =
    &["test", "tidy", "sim", "soak", "bench", "conformance", "count", "licence"];

pub fn check(root: &Path, sources: &[Source], findings: &mut Vec<String>) {
    for source in sources.iter().filter(|s| s.path.ends_with(".md") && s.path != "docs/rfc.md") {
        for (number, line) in source.text.lines().enumerate() {
            let place = format!("{}:{}", source.path, number + 1);
            for word in quoted(line) {
                if looks_like_path(word)
                    && !MADE.iter().any(|m| word.starts_with(m))
                    && !exists(root, word)
                {
                    findings.push(format!("{place}: `{word}` does not exist"));
                }
            }
            for target in links(line) {
                let folder = Path::new(&source.path).parent().unwrap_or(Path::new(""));
                let file = target.split('#').next().unwrap_or_default();
                if !file.contains("://")
                    && !file.is_empty()
                    && !root.join(folder).join(file).exists()
                {
                    findings.push(format!("{place}: the link to `{target}` leads nowhere"));
                }
            }
            commands(root, line, &place, findings);
        }
    }
}

fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn looks_like_path(word: &str) -> bool {
    let starts =
        ["crates/", "xtask/", "conformance/", "docs/", "corpus/", "fuzz/", "benches/", ".ci/"];
    starts.iter().any(|s| word.starts_with(s)) && !word.contains([' ', '<', '{'])
}

/// Made by running something, and not kept.
const MADE: &[&str] = &["fuzz/artifacts/", "fuzz/corpus/"];

/// A path, a path with `*` in its last part, or `file.rs` meant as `file/mod.rs`.
fn exists(root: &Path, word: &str) -> bool {
    let word = word.trim_end_matches('/');
    match word.split_once('*') {
        Some((before, _)) => {
            root.join(before.rsplit_once('/').map_or("", |(folder, _)| folder)).exists()
        }
        None => root.join(word).exists(),
    }
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Every `cargo xtask X` and, in a line that is a command, every `ringway X` is one that exists.
fn commands(root: &Path, line: &str, place: &str, findings: &mut Vec<String>) {
    for (at, before) in line.match_indices("cargo xtask ") {
        let rest = line.get(at + before.len()..).unwrap_or_default();
        let name: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        if !name.is_empty() && !CHORES.contains(&name.as_str()) {
            findings.push(format!("{place}: `cargo xtask {name}` is not a command"));
        }
    }
    let command = line.trim_start().trim_start_matches("$ ");
    let typed = command.starts_with("ringway ").then_some(command);
    for text in quoted(line).chain(typed) {
        let Some(rest) = text.strip_prefix("ringway ") else { continue };
        let name: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        let folder = root.join("crates/server/src/cli");
        let known = folder.join(format!("{name}.rs")).exists() || folder.join(&name).exists();
        if !name.is_empty() && folder.exists() && !known {
            findings.push(format!("{place}: `ringway {name}` is not a command"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_text_names_every_chore() {
        let usage: Vec<&str> = crate::USAGE
            .lines()
            .filter_map(|l| l.strip_prefix("  "))
            .filter_map(|l| l.split(' ').next())
            .filter(|w| !w.is_empty())
            .collect();
        assert_eq!(usage, CHORES);
    }

    #[test]
    fn links_and_quotes() {
        assert_eq!(links("see [a](b.md#c) and [d](e)").collect::<Vec<_>>(), vec!["b.md#c", "e"]);
        assert_eq!(
            quoted("run `one two` or `three`").collect::<Vec<_>>(),
            vec!["one two", "three"]
        );
    }
}
