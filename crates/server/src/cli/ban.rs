//! `ringway ban`: who is kept out of the running server.

use std::time::Duration;

use serde_json::Value;

use super::{Global, exit, fail, print, table};
use crate::admin::client;
use crate::admin::request::Request;
use crate::config::duration;

/// Who is kept out: list, add, rm.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every ban, the first to end first.
    #[command(after_help = "Examples:\n  \
        ringway ban list\n  \
        ringway ban list --json | jq .network")]
    List {
        /// One JSON object per ban, one per line.
        #[arg(long)]
        json: bool,
    },
    /// Keep out an address or a network; nothing from there is heard.
    #[command(after_help = "Examples:\n  \
        ringway ban add 203.0.113.7\n  \
        ringway ban add 198.51.100.0/24 --for 30m")]
    Add {
        /// An address, or a network: 198.51.100.0/24.
        network: String,
        /// How long.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
        lasts: Duration,
    },
    /// Let somebody in again.
    #[command(after_help = "Examples:\n  ringway ban rm 203.0.113.7")]
    Rm {
        /// As `ban list` shows it.
        network: String,
    },
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(str::to_owned)
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let request = match &args.command {
        Command::List { .. } => Request::Bans,
        Command::Add { network, lasts } => {
            Request::BanAdd { network: network.clone(), seconds: lasts.as_secs() }
        }
        Command::Rm { network } => Request::BanRemove { network: network.clone() },
    };
    let reply = match client::ask(settings.admin.as_deref(), &request) {
        Ok(reply) => reply,
        Err(error) => return fail(super::status::refused(&error), &error.to_string()),
    };
    let text = |item: &Value, key: &str| {
        item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let seconds = |item: &Value, key: &str| item.get(key).and_then(Value::as_u64).unwrap_or(0);
    match &args.command {
        Command::List { json: true } => {
            print(&reply.items.iter().map(|item| format!("{item}\n")).collect::<String>())
        }
        Command::List { .. } => {
            let row = |item: &Value| {
                let ends = format!("{} s", seconds(item, "ends_s"));
                vec![text(item, "network"), ends, text(item, "why")]
            };
            let rows: Vec<Vec<String>> = reply.items.iter().map(row).collect();
            print(&table(&["NETWORK", "ENDS IN", "WHY"], &rows))
        }
        Command::Add { .. } => {
            let (network, seconds) =
                (text(&reply.last, "network"), seconds(&reply.last, "seconds"));
            print(&format!("{network} is kept out for {seconds} s\n"))
        }
        Command::Rm { .. } => print(&format!("{} is let in again\n", text(&reply.last, "network"))),
    };
    exit::YES
}
