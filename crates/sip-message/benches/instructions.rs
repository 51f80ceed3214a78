//! Instructions per operation, by callgrind: the same on a busy machine as on an idle one, so CI can gate on it.
//! `cargo bench -p sip-message --bench instructions` runs itself under valgrind at two lengths; the difference is the
//! operation without start-up. Fails when one is above its limit in `limits.tsv`, or when valgrind is missing.

#![allow(clippy::disallowed_macros)] // a report on the terminal is what it is for

mod hot;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use bytes::Bytes;
use sip_message::{Request, peek, write};

const LIMITS: &str = include_str!("limits.tsv");
const SHORT: u64 = 100;
const LONG: u64 = 1_100;

type Case = (&'static str, fn(&Bytes, &Request, &mut Vec<u8>) -> usize);

const CASES: [Case; 6] = [
    ("parse", |buf, _, _| hot::parse(buf).len()),
    ("parse_and_locate", |buf, _, _| hot::parse_and_locate(buf)),
    ("check", |_, request, _| usize::from(request.check().is_ok())),
    ("forward", |_, request, out| hot::forward(request, out)),
    ("respond", |_, request, out| {
        out.clear();
        write::response(request, 100, b"Trying", None, b"", b"", out);
        out.len()
    }),
    ("peek_call_id", |buf, _, _| peek::call_id(buf).map_or(0, <[u8]>::len)),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, case, times] = &args[..]
        && flag == "--measured"
    {
        run(case, times.parse().unwrap_or(0));
        return ExitCode::SUCCESS;
    }
    let mut good = true;
    println!("{:<20}{:>14}{:>10}", "operation", "instructions", "limit");
    for line in LIMITS.lines() {
        let Some((case, limit)) = line.split_once('\t') else { continue };
        let limit: u64 = limit.parse().unwrap_or(0);
        match (count(case, SHORT), count(case, LONG)) {
            (Ok(short), Ok(long)) => {
                let each = long.saturating_sub(short) / (LONG - SHORT);
                let over = each > limit || each == 0;
                good &= !over;
                println!("{case:<20}{each:>14}{limit:>10}{}", if over { "  TOO MANY" } else { "" });
            }
            (Err(why), _) | (_, Err(why)) => {
                eprintln!("{case}: {why}");
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The measured side.
fn run(case: &str, times: u64) {
    let Some((_, f)) = CASES.iter().find(|(name, _)| *name == case) else { return };
    let buf = Bytes::from_static(hot::INVITE);
    let request = hot::parse(&buf);
    let mut out = Vec::with_capacity(4096);
    for _ in 0..times {
        black_box(f(black_box(&buf), black_box(&request), &mut out));
    }
}

/// Instructions of the whole program that runs the operation so many times.
fn count(case: &str, times: u64) -> Result<u64, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--measured", case, &times.to_string()])
        .output()
        .map_err(|e| format!("valgrind does not start ({e}): apt-get install valgrind"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let total = log.lines().find_map(|line| line.split_once("Collected : ").map(|(_, n)| n.trim()));
    total.and_then(|n| n.parse().ok()).ok_or_else(|| format!("valgrind gave no count: {log}"))
}
