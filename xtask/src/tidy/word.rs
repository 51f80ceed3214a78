//! Names that say nothing, marks of unfinished work, and paths of one machine. Names are judged where they are
//! made: a function, a type, a module, a file.

use super::Source;

/// Part of no name: each hides what the thing is.
const BANNED: &[&str] =
    &["manager", "helper", "util", "utils", "common", "misc", "process", "data", "info"];
const BANNED_STARTS: &[&str] = &["do_", "get_"];

/// Spelled in halves, so that this file does not find itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ign", "ore"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("thread::sl", "eep"),
];
const MACHINE: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/fa", "rm/"),
    (".libr", "ary/"),
    ("DESIGN", " §"),
];

pub fn check(sources: &[Source], findings: &mut Vec<String>) {
    for source in sources {
        paths(source, findings);
        if !source.is_rust() {
            continue;
        }
        if !source.text.starts_with("//!") && !source.text.starts_with("#![") {
            findings.push(format!(
                "{}:1: no `//!`: say what the file is and what it never does",
                source.path
            ));
        }
        let name = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if let Some(word) = banned(name) {
            findings.push(format!("{}: `{word}` in a file name says nothing", source.path));
        }
        let shipped = source.shipped_lines().count();
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = defined(line).and_then(banned) {
                findings.push(format!(
                    "{}:{}: `{word}` in a name says nothing",
                    source.path,
                    number + 1
                ));
            }
            unfinished(source, number + 1, line, number >= shipped, findings);
        }
    }
}

fn paths(source: &Source, findings: &mut Vec<String>) {
    for (number, line) in source.text.lines().enumerate() {
        for (a, b) in MACHINE {
            let word = format!("{a}{b}");
            if line.contains(&word) {
                findings.push(format!(
                    "{}:{}: `{word}` is of one machine",
                    source.path,
                    number + 1
                ));
            }
        }
    }
}

fn unfinished(source: &Source, number: usize, line: &str, test: bool, findings: &mut Vec<String>) {
    // A test waits for what it wants to see, never for a time. The black-box suite talks to real programs, which answer
    // to no virtual clock, and may pause between two questions.
    let waits = !test || source.path.starts_with("conformance/");
    for (a, b) in UNFINISHED {
        let word = format!("{a}{b}");
        if line.contains(&word) && !(waits && word.contains("sleep")) {
            findings.push(format!("{}:{number}: `{word}`", source.path));
        }
    }
}

/// The name a line defines, if it defines one.
fn defined(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "static "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    for word in ["fn ", "struct ", "enum ", "trait ", "mod ", "type ", "macro_rules! "] {
        if let Some(after) = rest.strip_prefix(word) {
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
            return after.get(..end);
        }
    }
    None
}

/// The banned part of a snake_case or CamelCase name.
fn banned(name: &str) -> Option<&'static str> {
    if let Some(start) = BANNED_STARTS.iter().find(|s| name.starts_with(*s)) {
        return Some(start);
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c.is_uppercase() {
            words.push(String::new());
        }
        if c != '_' && c != '-' {
            words.last_mut()?.extend(c.to_lowercase());
        }
    }
    BANNED.iter().find(|b| words.iter().any(|w| w == *b)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_words() {
        assert_eq!(banned("CallManager"), Some("manager"));
        assert_eq!(banned("get_route"), Some("get_"));
        assert_eq!(banned("route_data"), Some("data"));
        assert_eq!(banned("datagram"), None);
        assert_eq!(banned("Information"), None);
        assert_eq!(defined("    pub fn forward(&self) {"), Some("forward"));
        assert_eq!(defined("    let fn_name = 3;"), None);
    }
}
