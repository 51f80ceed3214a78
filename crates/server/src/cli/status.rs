//! `ringway status`: one screen about the running server.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Global, exit, fail, print};
use crate::admin::client::{self, ClientError};
use crate::admin::request::Request;

/// One screen about the running server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway status\n  \
    ringway status --json\n  \
    ringway status --nagios\n\n\
    Exit code 0: healthy; 1: something needs attention; 6: not reachable.")]
pub struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// One line and the exit codes of a monitoring plug-in.
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
}

/// The exit code of a command that could not ask.
pub fn refused(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused { .. } => exit::NO,
        _ => exit::NOT_RUNNING,
    }
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let reply = match client::ask(settings.admin.as_deref(), &Request::Status) {
        Ok(reply) => reply,
        Err(error) if args.nagios => {
            print(&format!("RINGWAY CRITICAL - {error}\n"));
            return 2;
        }
        Err(error) => return fail(refused(&error), &error.to_string()),
    };
    let status = &reply.last;
    let attention = words(status, "attention");
    if args.json {
        print(&format!("{status}\n"));
    } else if args.nagios {
        let state = if attention.is_empty() { "OK" } else { "WARNING" };
        let first = attention.first().cloned().unwrap_or_else(|| "running".to_owned());
        print(&format!("RINGWAY {state} - {first} | bindings={}\n", number(status, "bindings")));
    } else {
        print(&screen(status, &attention));
    }
    if attention.is_empty() { exit::YES } else { exit::NO }
}

fn words(status: &Value, key: &str) -> Vec<String> {
    let list = status.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn number(status: &Value, key: &str) -> u64 {
    status.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn screen(status: &Value, attention: &[String]) -> String {
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default();
    let n = |key: &str| number(status, key);
    let counter = |key: &str| number(status.get("counters").unwrap_or(&Value::Null), key);
    let mut page = String::new();
    let config = if text("config").is_empty() { "none, defaults" } else { text("config") };
    // Writing into a String cannot fail.
    let _ = writeln!(
        page,
        "ringway {}  up {}  pid {}  config {config}",
        text("version"),
        uptime(n("uptime_s")),
        n("pid")
    );
    for line in attention {
        let _ = writeln!(page, "ATTENTION   {line}");
    }
    let waits = words(status, "needs_restart");
    if !waits.is_empty() {
        let _ = writeln!(
            page,
            "restart     changed in the file, and not in force: {}",
            waits.join(", ")
        );
    }
    let _ = writeln!(page, "listen      {}", words(status, "listen").join("  "));
    let _ = writeln!(page, "domains     {}", words(status, "domains").join(", "));
    if text("mode") == "stateless" {
        let _ = writeln!(
            page,
            "mode        stateless: nothing is remembered from one message to the next"
        );
    }
    let _ = writeln!(
        page,
        "calls       {} being set up; {} answered, {} refused, {} ended since the start",
        n("calls_in_setup"),
        counter("calls_answered"),
        counter("calls_refused"),
        counter("calls_ended")
    );
    let _ = writeln!(
        page,
        "registered  {} of {} users, {} devices",
        n("registered_users"),
        n("users"),
        n("bindings")
    );
    let _ = writeln!(
        page,
        "traffic     {} messages in, {} out, {} refused, {} malformed, {} dropped by the kernel",
        counter("messages_received"),
        counter("messages_sent"),
        counter("rejected"),
        counter("malformed"),
        n("kernel_drops")
    );
    let _ = writeln!(page, "streams     {} connections", n("connections"));
    let _ = writeln!(
        page,
        "kept out    {} banned; {} messages of theirs and {} of strangers over their limit dropped, {} calls turned away",
        n("bans"),
        counter("dropped_banned"),
        counter("dropped_unverified"),
        counter("shed")
    );
    page
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
