//! How large a file or a function may be, with a list of the exceptions that may only shrink.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Source;

const FILE_MAX: usize = 800;
const FUNCTION_MAX: usize = 70;
const LIST: &str = "xtask/src/tidy/oversize.txt";

pub fn check(root: &Path, sources: &[Source], findings: &mut Vec<String>) -> Result<()> {
    let mut list = list(root)?;
    for (key, lines) in oversized(sources) {
        match list.remove(&key) {
            None => findings.push(format!("{key}: {lines} lines; split it ({})", bound(&key))),
            Some(kept) if lines > kept => {
                findings
                    .push(format!("{key}: grew from {kept} to {lines} lines; it may only shrink"));
            }
            Some(kept) if lines < kept => {
                findings.push(format!(
                    "{key}: shrank from {kept} to {lines}; run `cargo xtask tidy --write`"
                ));
            }
            Some(_) => {}
        }
    }
    for key in list.keys() {
        findings.push(format!(
            "{LIST}: `{key}` is no longer too large; run `cargo xtask tidy --write`"
        ));
    }
    Ok(())
}

fn bound(key: &str) -> String {
    if key.contains(" fn ") {
        format!("a function has at most {FUNCTION_MAX}")
    } else {
        format!("a file has at most {FILE_MAX}")
    }
}

/// Renews the list. It keeps only what it already had, with the smaller of the two figures: writing can never let
/// something grow.
pub fn write(root: &Path, sources: &[Source]) -> Result<()> {
    let kept = list(root)?;
    let mut text = String::new();
    for (key, lines) in oversized(sources) {
        if let Some(before) = kept.get(&key) {
            text.push_str(&format!("{key} {}\n", lines.min(*before)));
        }
    }
    std::fs::write(root.join(LIST), text).context(LIST)
}

/// `path LINES` or `path fn name LINES`, one a line.
fn list(root: &Path) -> Result<BTreeMap<String, usize>> {
    let text = std::fs::read_to_string(root.join(LIST)).context(LIST)?;
    text.lines()
        .map(|line| {
            let (key, lines) =
                line.rsplit_once(' ').with_context(|| format!("{LIST}: `{line}`"))?;
            Ok((key.to_owned(), lines.parse().with_context(|| format!("{LIST}: `{line}`"))?))
        })
        .collect()
}

fn oversized(sources: &[Source]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for source in sources.iter().filter(|s| s.is_rust()) {
        let lines = source.text.lines().count();
        if lines > FILE_MAX {
            found.insert(source.path.clone(), lines);
        }
        for (name, lines) in functions(&source.text) {
            if lines > FUNCTION_MAX {
                found.insert(format!("{} fn {name}", source.path), lines);
            }
        }
    }
    found
}

/// Every function with its length in lines, signature and braces included. The text is formatted by rustfmt, so a
/// function ends at the first closing brace in its own column.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let column = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(column));
        let end = lines.iter().skip(index).position(|l| *l == close || one_line(l, line));
        if let Some(length) = end {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

fn one_line(line: &str, first: &str) -> bool {
    line == first && (line.ends_with('}') || line.ends_with(';'))
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if rest.starts_with("//") {
        return None;
    }
    for word in
        ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "]
    {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured() {
        let text = "pub fn one() {}\n    fn two(\n        a: u8,\n    ) -> u8 {\n        {\n        }\n        a\n    }\nfn declared();\n";
        let lengths: Vec<_> = functions(text).into_iter().collect();
        assert_eq!(lengths, vec![("one".into(), 1), ("two".into(), 7), ("declared".into(), 1)]);
    }
}
