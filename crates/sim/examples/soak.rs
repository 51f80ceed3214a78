//! `cargo xtask soak [MINUTES]`: random worlds, one after the other, from a seed nobody has tried; stops at the first
//! that goes wrong. 10 minutes if not told otherwise.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

fn main() -> ExitCode {
    let minutes = match std::env::args().nth(1).as_deref().map(str::parse) {
        None => 10,
        Some(Ok(minutes)) => minutes,
        Some(Err(_)) => {
            eprintln!("error: say how many minutes, for example `cargo xtask soak 30`");
            return ExitCode::from(2);
        }
    };
    let since = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs());
    let first = since.wrapping_mul(1_000_000);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut seed = first;
    while Instant::now() < end {
        let outcome = sim::swarm::run(seed);
        if !outcome.wrong.is_empty() {
            println!("{}", outcome.report(true));
            return ExitCode::FAILURE;
        }
        seed += 1;
    }
    println!("{} worlds from seed {first}, nothing wrong", seed - first);
    ExitCode::SUCCESS
}
