//! How the RFCs are cited, and `docs/rfc.md`, the table made from the citations: which section is obeyed where.
//! The form is `RFC 3261 §17.1.1.2`; a bare `§16.7` belongs to the RFC named before it in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Source;

const PAGE: &str = "docs/rfc.md";
/// The RFC a bare section number belongs to in a file that has named none yet.
const DEFAULT: u32 = 3261;

pub fn check(root: &Path, sources: &[Source], findings: &mut Vec<String>) -> Result<()> {
    for source in sources.iter().filter(|s| s.is_rust() || s.path.ends_with(".md")) {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(wrong) = misspelled(line) {
                findings.push(format!(
                    "{}:{}: `{wrong}`: a citation reads `RFC 3261 §17.1.1.2`",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    let kept = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if kept != page(sources) {
        findings
            .push(format!("{PAGE}: not what the citations say; run `cargo xtask tidy --write`"));
    }
    Ok(())
}

pub fn write(root: &Path, sources: &[Source]) -> Result<()> {
    std::fs::write(root.join(PAGE), page(sources)).context(PAGE)
}

/// What is wrong with a citation: no space, the word "section", a comma, or a number without its sign.
fn misspelled(line: &str) -> Option<&str> {
    for (at, _) in line.match_indices("RFC") {
        let after = line.get(at + 3..)?;
        if after.starts_with(|c: char| c.is_ascii_digit()) {
            return line.get(at..at + 7);
        }
        let Some(digits) = after.strip_prefix(' ') else { continue };
        let length = digits.chars().take_while(char::is_ascii_digit).count();
        if length < 3 {
            continue;
        }
        let rest = digits.get(length..)?.trim_start_matches([',', ' ']);
        let lower = rest.get(..rest.len().min(8)).unwrap_or_default().to_lowercase();
        let number = rest.starts_with(|c: char| c.is_ascii_digit())
            && rest
                .split(|c: char| !c.is_ascii_digit() && c != '.')
                .next()
                .is_some_and(|n| n.contains('.'));
        if lower.starts_with("section") || lower.starts_with("sec.") || number {
            return line.get(at..(at + 20).min(line.len()));
        }
    }
    None
}

/// RFC -> section -> (files that obey it, files that test it).
type Table = BTreeMap<u32, BTreeMap<Vec<String>, (BTreeSet<String>, BTreeSet<String>)>>;

fn page(sources: &[Source]) -> String {
    let mut table = Table::new();
    for source in sources.iter().filter(|s| s.is_rust() && s.path != "xtask/src/tidy/citation.rs") {
        for (rfc, section) in citations(&source.text) {
            let entry = table.entry(rfc).or_default().entry(key(&section)).or_default();
            let files = if source.is_test() { &mut entry.1 } else { &mut entry.0 };
            files.insert(source.path.clone());
        }
    }
    let mut text = String::from(
        "# Which file obeys which section\n\nMade from the citations in the code by `cargo xtask tidy --write`; not edited by hand.\n",
    );
    for (rfc, sections) in &table {
        text.push_str(&format!(
            "\n## RFC {rfc}\n\n| section | obeyed in | tested in |\n|---|---|---|\n"
        ));
        for (section, (obeyed, tested)) in sections {
            let shown = if section.is_empty() {
                "-".to_owned()
            } else {
                format!("§{}", section.join(".").replace(' ', ""))
            };
            text.push_str(&format!("| {shown} | {} | {} |\n", names(obeyed), names(tested)));
        }
    }
    text
}

fn names(files: &BTreeSet<String>) -> String {
    let quoted: Vec<String> = files.iter().map(|f| format!("`{f}`")).collect();
    quoted.join(" ")
}

/// Sorts `9.2` before `16.3`: numbers are padded for the order and shown without the padding.
fn key(section: &str) -> Vec<String> {
    section.split('.').filter(|p| !p.is_empty()).map(|part| format!("{part:>4}")).collect()
}

/// Every section cited in a text, with the RFC it belongs to. An RFC without a section counts with an empty one.
fn citations(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut rfc = DEFAULT;
    for line in text.lines() {
        let Some(comment) = line.find("//").and_then(|at| line.get(at..)) else { continue };
        let mut rest = comment;
        while let Some(at) = rest.find(['R', '§']) {
            rest = rest.get(at..).unwrap_or_default();
            if let Some(after) = rest.strip_prefix("RFC ") {
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                if let Ok(number) = digits.parse() {
                    rfc = number;
                    let follows = after.get(digits.len()..).unwrap_or_default();
                    if !follows.trim_start().starts_with('§') {
                        found.push((rfc, String::new()));
                    }
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('§') {
                let section: String =
                    after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
                let section = section.trim_end_matches('.').to_owned();
                if section.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                    found.push((rfc, section));
                }
                rest = after;
            } else {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_citation() {
        assert_eq!(misspelled("see RFC 3261 §17.1.1.2 and RFC 6026"), None);
        assert_eq!(misspelled("RFC 3261 and 2 more"), None);
        assert!(misspelled(concat!("RFC", "3261 §8")).is_some());
        assert!(misspelled(concat!("RFC 3261", " section 8")).is_some());
        assert!(misspelled(concat!("RFC 3261,", " 8.1.3")).is_some());
    }

    #[test]
    fn a_bare_section_belongs_to_the_rfc_before_it() {
        let text = "// RFC 3581 §4, §5\nlet x = \"RFC 9999 §1\";\n// §6 and RFC 6026";
        let found = citations(text);
        assert_eq!(
            found,
            vec![(3581, "4".into()), (3581, "5".into()), (3581, "6".into()), (6026, String::new())]
        );
    }
}
