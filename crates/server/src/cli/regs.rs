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
    #[command(
        after_help = "NAT: whether the device is behind one. Such devices are pinged: RTT is the last round trip;\n\
        HEALTH is answers, silent (it used to answer) or unknown (it never did).\n\n\
        Examples:\n  \
        ringway regs list\n  \
        ringway regs list alice\n  \
        ringway regs list --json | jq .contact\n  \
        ringway regs list --json | jq 'select(.health == \"silent\") | .aor'"
    )]
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
        let nat = match item.get("nat").and_then(Value::as_bool) {
            Some(true) => "yes",
            _ => "no",
        };
        let rtt = item.get("rtt_ms").and_then(Value::as_f64);
        let rtt = rtt.map_or_else(String::new, |ms| format!("{ms:.1} ms"));
        let expires = format!("{seconds} s");
        vec![aor, contact, expires, source, nat.to_owned(), rtt, text(item, "health"), user_agent]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    print(&table(&["USER", "CONTACT", "EXPIRES", "FROM", "NAT", "RTT", "HEALTH", "DEVICE"], &rows));
    exit::YES
}

/// For a terminal: what a phone wrote about itself has no control characters here.
fn text(item: &Value, key: &str) -> String {
    let text = item.get(key).and_then(Value::as_str).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
