//! Finding the corpus. It never changes a byte of it.
#![allow(dead_code, clippy::disallowed_macros)] // each test binary uses its part; tests may print

use std::path::{Path, PathBuf};

/// Kept out of the project by their licence, replayed where they are present.
pub const FOREIGN: [&str; 4] =
    ["protos-c07-sip", "kamailio-test-sip", "pjsip-fuzz-seeds", "belle-sip-afl"];

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn file(path: &str) -> Vec<u8> {
    let path = workspace().join("corpus").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file below a folder, sorted by path.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|e| e != "md") {
                let bytes = std::fs::read(&path).expect("a corpus file can be read");
                out.push((path.display().to_string(), bytes));
            }
        }
    }
    out.sort();
    out
}

/// Everything malformed, the folders that are not ours to copy included where they are present.
pub fn malformed() -> Vec<(String, Vec<u8>)> {
    let mut out = files(&workspace().join("corpus/malformed"));
    assert!(out.len() >= 30, "the malformed corpus is not where it should be");
    let beside = || workspace().join("../shared/corpus");
    let foreign = std::env::var_os("RINGWAY_CORPUS").map_or_else(beside, PathBuf::from);
    let foreign = foreign.join("malformed");
    let before = out.len();
    for folder in FOREIGN {
        out.extend(files(&foreign.join(folder)));
    }
    if out.len() == before {
        eprintln!("not replayed, {} is not here: {}", foreign.display(), FOREIGN.join(", "));
    }
    out
}

/// One row of `EXPECTED.tsv`.
#[derive(Debug)]
pub struct Row {
    pub file: String,
    pub bytes: usize,
    pub class: String,
    pub action: String,
}

pub fn expected() -> Vec<Row> {
    let text = String::from_utf8(file("EXPECTED.tsv")).expect("UTF-8");
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        Row {
            file: cells[0].into(),
            bytes: cells[1].parse().expect("a size"),
            class: cells[5].into(),
            action: cells[7].into(),
        }
    });
    rows.collect()
}

/// What travels: the RFC 5118 archive holds bare LF and wrong lengths, `wire/` has them as they would be sent.
pub fn wire(row: &Row) -> Vec<u8> {
    file(&row.file.replace("rfc5118/", "rfc5118/wire/"))
}
