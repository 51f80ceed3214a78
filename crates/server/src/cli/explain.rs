//! `ringway explain`: what would become of a call, room by room, with the line of the file that says so. The running
//! server is asked; without one, the configuration and the store are.

use serde_json::{Value, json};
use sip_core::output::Outbox;
use sip_core::route::explain::{Explanation, Question, explain};
use sip_core::turn::Turn;
use store::{Directory, Home, Store};

use super::{Global, exit, fail, print};
use crate::admin::client::{self, ClientError};
use crate::admin::gateway::told_json;
use crate::admin::request::Request;
use crate::clock::Clock;
use crate::config::{Flags, Settings};
use crate::start;

/// What would become of a call.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway explain +15551234@sip.example.com --from alice\n  \
    ringway explain bob --from alice\n  \
    ringway explain +4930123 --source 203.0.113.99   # as a gateway calls\n  \
    ringway explain bob --from alice --json")]
pub struct Args {
    /// Who is called: a number or a user, with a domain or of the first one, or
    /// a sip: URI.
    to: String,
    /// Who calls: alice, alice@sip.example.com, or a gateway [default: somebody
    /// elsewhere].
    #[arg(long, value_name = "USER")]
    from: Option<String>,
    /// Where the request comes from [default: where the caller is registered].
    #[arg(long, value_name = "IP")]
    source: Option<std::net::IpAddr>,
    /// The request.
    #[arg(long, default_value = "INVITE")]
    method: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    if !args.method.bytes().all(|b| b.is_ascii_uppercase()) || args.method.is_empty() {
        return fail(exit::USAGE, &format!("`{}` is no method, such as INVITE", args.method));
    }
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let request = Request::Explain {
        to: args.to.clone(),
        from: args.from.clone(),
        source: args.source.map(|ip| ip.to_string()),
        method: args.method.clone(),
    };
    let told = match client::ask(settings.admin.as_deref(), &request) {
        Ok(reply) => Ok(reply.last),
        Err(ClientError::NotRunning { .. } | ClientError::NoSocket) => offline(global, args),
        Err(error) => return fail(super::status::refused(&error), &error.to_string()),
    };
    let told = match told {
        Ok(told) => told,
        Err((code, why)) => return fail(code, &why),
    };
    if args.json {
        print(&format!("{told}\n"));
    } else {
        print(&page(&told));
    }
    let goes = told.get("goes").and_then(Value::as_bool).unwrap_or(false);
    if goes { exit::YES } else { exit::NO }
}

/// Longer texts push the place of their row to the right, and of no other.
const WIDTH_MAX: usize = 76;

/// Numbered rooms, each with its line; then what comes of it.
fn page(told: &Value) -> String {
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let file = text(told, "config");
    let mut page = String::new();
    let steps = told.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    let lengths = steps.iter().map(|step| text(step, "text").chars().count());
    let width = lengths.max().unwrap_or(0).min(WIDTH_MAX);
    for (at, step) in steps.iter().enumerate() {
        let line = step.get("line").and_then(Value::as_u64).unwrap_or(0);
        let place = if line == 0 { String::new() } else { format!("{file}:{line}") };
        let (room, words) = (text(step, "room"), text(step, "text"));
        let row = format!("{} {room:10} {words:width$}  {place}", at + 1);
        page.push_str(row.trim_end());
        page.push('\n');
    }
    page.push_str(&format!("=> {}\n", text(told, "result")));
    page
}

/// From the configuration and the store.
fn offline(global: &Global, args: &Args) -> Result<Value, (u8, String)> {
    let loaded = global.load(Flags::default());
    if loaded.findings.errors() > 0 {
        let text = loaded.findings.human(global.color());
        return Err((exit::NO, format!("{text}{}", loaded.findings.summary())));
    }
    let settings = &loaded.settings;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (exit::NO, error.to_string()))?;
    let told = runtime.block_on(told(settings, args))?;
    let mut value = told_json(&told);
    if let Some(object) = value.as_object_mut() {
        object.insert("config".to_owned(), json!(loaded.path));
    }
    Ok(value)
}

async fn told(settings: &Settings, args: &Args) -> Result<Explanation, (u8, String)> {
    let failed = |error: store::StoreError| (exit::NO, error.to_string());
    let directory = match &settings.store {
        // Looking makes nothing.
        Home::Directory(path) if path.exists() => Some(Directory::lock(path).map_err(failed)?),
        _ => None,
    };
    let mut store = Store::open(directory).await.map_err(failed)?;
    let now = Clock::start().now();
    let picture = start::picture(settings, &mut store, now).await;
    store.close().await.map_err(failed)?;
    let (config, shared) = picture.map_err(|error| (exit::NO, error.to_string()))?;
    let (to, method) = (start::uri(&args.to, &config.domains), args.method.as_str());
    let (from, source, port) = start::caller(args.from.as_deref(), args.source, &config);
    let question = Question { method, to: &to, from: from.as_deref(), source, port };
    let mut out = Outbox::default();
    let mut turn = Turn { now, config: &config, shared: &shared, draining: false, out: &mut out };
    explain(&mut turn, &question).map_err(|why| (exit::NO, why))
}
