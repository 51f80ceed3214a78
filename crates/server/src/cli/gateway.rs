//! `ringway gateway`: what the running server knows of its gateways, and what the operator wants of them.

use serde_json::Value;

use super::{Global, exit, fail, print, table};
use crate::admin::client;
use crate::admin::request::Request;

/// Gateways: list, enable, disable, drain, test.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every gateway: its set, its state, its calls.
    #[command(after_help = "Examples:\n  \
        ringway gateway list\n  \
        ringway gateway list --json | jq -r 'select(.state != \"up\").name'")]
    List {
        /// One JSON object per gateway, one per line.
        #[arg(long)]
        json: bool,
    },
    /// Use a gateway again.
    #[command(after_help = "Examples:\n  ringway gateway enable carrier-a")]
    Enable {
        /// As `gateway list` shows it.
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Use a gateway no more: no calls to it, none from it, no probes. Calls that stand go on.
    #[command(after_help = "Examples:\n  \
        ringway gateway disable carrier-a --reason 'contract ended'")]
    Disable {
        /// As `gateway list` shows it.
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Give a gateway no new calls; those that stand go on, and its own come in.
    #[command(after_help = "Examples:\n  ringway gateway drain carrier-a --reason maintenance")]
    Drain {
        /// As `gateway list` shows it.
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Ask a gateway now whether it is there, from the server's own address.
    #[command(after_help = "Examples:\n  \
        ringway gateway test carrier-a\n  \
        ringway gateway test carrier-a --json")]
    Test {
        /// As `gateway list` shows it.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Reason {
    /// Why, for whoever looks at it later.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let request = request(&args.command);
    let reply = match client::ask(settings.admin.as_deref(), &request) {
        Ok(reply) => reply,
        Err(error) => return fail(super::status::refused(&error), &error.to_string()),
    };
    let last = &reply.last;
    match &args.command {
        Command::List { json: true } => {
            print(&reply.items.iter().map(|item| format!("{item}\n")).collect::<String>())
        }
        Command::List { .. } => {
            let rows: Vec<Vec<String>> = reply.items.iter().map(row).collect();
            let header = ["NAME", "SET", "STATE", "CALLS", "LATENCY", "WHY", "URI"];
            print(&table(&header, &rows))
        }
        Command::Test { json, .. } => {
            let is_good = last.get("good").and_then(Value::as_bool).unwrap_or(false);
            if *json {
                print(&format!("{last}\n"))
            } else {
                print(&tested(last, is_good))
            };
            return if is_good { exit::YES } else { exit::NO_ANSWER };
        }
        Command::Enable { reason, .. }
        | Command::Disable { reason, .. }
        | Command::Drain { reason, .. } => {
            if reason.json {
                print(&format!("{last}\n"))
            } else {
                let calls = last.get("calls").and_then(Value::as_u64).unwrap_or(0);
                print(&format!("{}   {}, {calls} calls\n", text(last, "name"), text(last, "state")))
            }
        }
    };
    exit::YES
}

fn request(command: &Command) -> Request {
    let order = |name: &str, order: &str, reason: &Reason| Request::GatewayOrder {
        name: name.to_owned(),
        order: order.to_owned(),
        by: whoami(),
        why: reason.reason.clone(),
    };
    match command {
        Command::List { .. } => Request::Gateways,
        Command::Enable { name, reason } => order(name, "enabled", reason),
        Command::Disable { name, reason } => order(name, "disabled", reason),
        Command::Drain { name, reason } => order(name, "draining", reason),
        Command::Test { name, .. } => Request::GatewayTest { name: name.clone() },
    }
}

/// Who gives the order, for whoever looks at it later.
fn whoami() -> String {
    let named = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    named.unwrap_or_else(|_| format!("uid {}", nix::unistd::getuid()))
}

fn text(item: &Value, key: &str) -> String {
    item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn row(item: &Value) -> Vec<String> {
    let number = |key: &str| item.get(key).and_then(Value::as_u64).unwrap_or(0);
    let calls = match number("max_calls") {
        0 => number("calls").to_string(),
        most => format!("{} of {most}", number("calls")),
    };
    let latency = item.get("latency_ms").and_then(Value::as_f64).unwrap_or(0.0);
    let latency = if latency > 0.0 { format!("{latency:.1} ms") } else { "-".to_owned() };
    let (by, why) = (text(item, "by"), text(item, "why"));
    let why = match (by.is_empty(), why.is_empty()) {
        (true, _) => why,
        (false, true) => format!("by {by}"),
        (false, false) => format!("by {by}: {why}"),
    };
    let why = match text(item, "registered").as_str() {
        "no" | "yes" => why,
        "trying" => format!("registering; {why}"),
        _ => format!("not registered: {}; {why}", text(item, "registration_why")),
    };
    let why = why.trim_end_matches("; ").to_owned();
    let name = |key| text(item, key);
    vec![name("name"), name("set"), name("state"), calls, latency, why, name("uri")]
}

fn tested(last: &Value, is_good: bool) -> String {
    let (name, state) = (text(last, "name"), text(last, "state"));
    if is_good {
        let ms = last.get("ms").and_then(Value::as_f64).unwrap_or(0.0);
        let code = last.get("code").and_then(Value::as_u64).unwrap_or(0);
        return format!("{name}   {code} in {ms:.1} ms; {state}\n");
    }
    format!("{name}   no good answer; {state}\n")
}
