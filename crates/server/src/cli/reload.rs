//! `ringway reload`: the running server reads its file again. All or nothing; calls go on.

use std::io::Write as _;

use serde_json::Value;

use super::{Global, exit, fail, print, table};
use crate::admin::client::{self, ClientError};
use crate::admin::request::Request;

/// Apply the file to the running server, all or nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway reload\n  \
    ringway reload --json | jq .needs_restart\n  \
    ringway check && ringway reload\n\n\
    The file is the one the server was started with; -c and --admin only find the\n\
    server. SIGHUP does the same.\n\n\
    Exit code 0: in force, though some settings may need a restart; 1: the file has\n\
    mistakes, and nothing was changed; 6: not reachable.")]
pub struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return fail(code, "the running server was not asked, and keeps what it has"),
    };
    let request = Request::Reload { color: global.color() };
    let reply = match client::ask(settings.admin.as_deref(), &request) {
        Ok(reply) => reply.last,
        Err(error) => return refused(&error, args.json),
    };
    if args.json {
        return print(&format!("{}\n", public(&reply)));
    }
    show(&reply);
    print(&table(&["", "SETTING", "BEFORE", "NOW"], &rows(&reply)));
    let _ = std::io::stderr().write_all(verdict(&reply).as_bytes());
    exit::YES
}

fn refused(error: &ClientError, json: bool) -> u8 {
    let code = super::status::refused(error);
    if let ClientError::Refused { reply, .. } = error {
        if json {
            print(&format!("{}\n", public(reply)));
            return code;
        }
        show(reply);
    }
    fail(code, &error.to_string())
}

/// Without what is only there to be shown to people.
fn public(reply: &Value) -> Value {
    let mut reply = reply.clone();
    reply.as_object_mut().map(|fields| fields.remove("shown"));
    reply
}

/// Mistakes and warnings with their lines.
fn show(reply: &Value) {
    let shown = reply.get("shown").and_then(Value::as_str).unwrap_or_default();
    let _ = std::io::stderr().write_all(shown.as_bytes());
}

fn items<'r>(reply: &'r Value, key: &str) -> &'r [Value] {
    reply.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn rows(reply: &Value) -> Vec<Vec<String>> {
    let text =
        |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let rows = |word: &'static str, key: &str| {
        let row = move |item: &Value| {
            vec![word.to_owned(), text(item, "setting"), text(item, "before"), text(item, "after")]
        };
        items(reply, key).iter().map(row).collect::<Vec<_>>()
    };
    let mut all = rows("changed", "changed");
    all.extend(rows("needs restart", "needs_restart"));
    all
}

fn verdict(reply: &Value) -> String {
    let config = reply.get("config").and_then(Value::as_str);
    let config = config.map_or_else(
        || "No file was found; the defaults are".to_owned(),
        |file| format!("{file} is"),
    );
    let (changed, restart) = (items(reply, "changed").len(), items(reply, "needs_restart").len());
    let n = |key: &str| reply.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut text = format!(
        "{config} in force: {changed} changed, {restart} to wait for a restart, {} as before.\n\
         Kept: {} calls being set up, {} registered devices, {} bans.\n",
        items(reply, "kept").len(),
        n("calls_in_setup"),
        n("bindings"),
        n("bans"),
    );
    let overridden: Vec<&str> =
        items(reply, "overridden").iter().filter_map(Value::as_str).collect();
    if !overridden.is_empty() {
        let names = overridden.join(", ");
        text.push_str(&format!("Not read, because flags of `run` say otherwise: {names}.\n"));
    }
    text
}
