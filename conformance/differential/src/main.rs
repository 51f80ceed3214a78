//! Two parsers read the same bytes: ours, and the crate `sipx-sip`, which shares no line with it. Where both can read
//! a value it must be the same value, for a difference is what request smuggling is made of. Where one refuses what
//! the other takes, the reason must be on the list of known differences (README.md).
//!
//! `cargo run --release -- [MUTANTS [SEED]]` reads the corpus and that many mutated messages; it fails when a
//! difference is not known, and prints the first message of each kind.

mod known;
mod mutate;
mod seen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use seen::{Difference, Seen};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>().unwrap_or(0));
    let mutants = numbers.next().unwrap_or(200_000);
    let seed = numbers.next().unwrap_or(1);
    let corpus = corpus();
    let mut tally = Tally::default();
    for (name, bytes) in &corpus {
        tally.compare(name, bytes);
    }
    let mut random = mutate::Random::new(seed);
    for n in 0..mutants {
        let (name, bytes) = random.pick(&corpus);
        let mutant = random.mutate(bytes, &corpus);
        tally.compare(&format!("mutant {n} of {name}"), &mutant);
    }
    println!("{} messages, seed {seed}", tally.messages);
    println!("{:>9} both took, {} both refused", tally.both_took, tally.both_refused);
    for (reason, count) in tally.known {
        println!("{count:>9} {reason}");
    }
    for ((difference, ours, theirs), (count, name, bytes)) in &tally.unknown {
        println!(
            "{count:>9} UNKNOWN {difference:?}: we say {ours:?}, they {theirs:?}; first in {name}:"
        );
        println!("          {}", bytes.escape_ascii());
    }
    if tally.unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    messages: u64,
    both_took: u64,
    both_refused: u64,
    known: BTreeMap<&'static str, u64>,
    /// By what each says; with how often, and the first message.
    unknown: BTreeMap<(Difference, String, String), (u64, String, Vec<u8>)>,
}

impl Tally {
    fn compare(&mut self, name: &str, bytes: &[u8]) {
        self.messages += 1;
        let (ours, theirs) = (Seen::by_us(bytes), Seen::by_them(bytes));
        match (ours.taken, theirs.taken) {
            (true, true) => self.both_took += 1,
            (false, false) => self.both_refused += 1,
            _ => {}
        }
        for difference in ours.differences(&theirs) {
            match known::reason(&difference, &ours, &theirs) {
                Some(reason) => *self.known.entry(reason).or_default() += 1,
                None => {
                    let class = (difference, ours.why.clone(), theirs.why.clone());
                    let first = || (0, name.to_owned(), bytes.to_vec());
                    self.unknown.entry(class).or_insert_with(first).0 += 1;
                }
            }
        }
    }
}

/// The RFC messages as they travel and the malformed ones that are small.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus");
    let mut folders: Vec<PathBuf> =
        ["rfc4475", "rfc5118/wire", "malformed"].iter().map(|f| root.join(f)).collect();
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.len() < 16_384
            {
                out.push((path.display().to_string(), bytes));
            }
        }
    }
    out.sort();
    out
}
