//! The `ringway` binary: a SIP server and the tools around it. Everything is in the subcommands.

mod address;
mod admin;
mod cli;
mod clock;
mod config;
mod observe;
mod reload;
mod resolver;
mod shard;
mod start;
mod stream;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::main())
}
