//! `cargo xtask sim [SEED]`: one random world with its ladder and everything that is wrong with it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let seed = match std::env::args().nth(1).as_deref().map(str::parse) {
        None => 1,
        Some(Ok(seed)) => seed,
        Some(Err(_)) => {
            eprintln!("error: a seed is a number, for example `cargo xtask sim 42`");
            return ExitCode::from(2);
        }
    };
    let outcome = sim::swarm::run(seed);
    println!("{}", outcome.report(true));
    if outcome.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
