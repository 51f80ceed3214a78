//! `ringway regs`: registered devices of the running server.

use serde_json::Value;

use super::{Global, exit, fail, print, table};
use crate::admin::client;
use crate::admin::request::Request;

/// Registered devices.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every device, or one user's.
    #[command(after_help = "Examples:\n  \
        ringway regs list\n  \
        ringway regs list alice\n  \
        ringway regs list --json | jq .contact")]
    List {
        /// Only this user's: alice or alice@example.com.
        user: Option<String>,
        /// One JSON object per device, one per line.
        #[arg(long)]
        json: bool,
    },
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let Command::List { user, json } = &args.command;
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let request = Request::Bindings { aor: user.clone() };
    let reply = match client::ask(settings.admin.as_deref(), &request) {
        Ok(reply) => reply,
        Err(error) => return fail(super::status::refused(&error), &error.to_string()),
    };
    let mut items = reply.items;
    items.sort_by_key(|item| (text(item, "aor"), text(item, "contact")));
    if *json {
        print(&items.iter().map(|item| format!("{item}\n")).collect::<String>());
        return exit::YES;
    }
    let row = |item: &Value| {
        let seconds = item.get("expires_s").and_then(Value::as_u64).unwrap_or(0);
        let cells = ["aor", "contact", "source", "user_agent"].map(|key| text(item, key));
        let [aor, contact, source, user_agent] = cells;
        vec![aor, contact, format!("{seconds} s"), source, user_agent]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    print(&table(&["USER", "CONTACT", "EXPIRES", "FROM", "DEVICE"], &rows));
    exit::YES
}

/// For a terminal: what a phone wrote about itself has no control characters here.
fn text(item: &Value, key: &str) -> String {
    let text = item.get(key).and_then(Value::as_str).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
