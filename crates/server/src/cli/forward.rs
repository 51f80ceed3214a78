//! `ringway user forward`: where calls to an account go instead (RFC 5359 §2.8-§2.10). It holds from the next call on,
//! and after a restart.

use serde_json::{Value, json};

use super::exit;
use super::user::Refusal;
use crate::admin::forward::{Change, lines};
use crate::admin::request::Request;
use crate::config::duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway user forward alice --always bob\n  \
    ringway user forward alice --busy --no-answer 20s sip:desk@sip.example.com\n  \
    ringway user forward alice --unreachable sip:4930123@192.0.2.9\n  \
    ringway user forward alice --off --busy\n  \
    ringway user forward alice --off")]
pub struct Args {
    /// alice, or alice@sip.example.com.
    name: String,
    /// Every call, without asking the phones.
    #[arg(long)]
    always: bool,
    /// When the phones say that they are busy (486).
    #[arg(long)]
    busy: bool,
    /// When nobody has answered for so long: 1s to 3m.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "20s")]
    no_answer: Option<String>,
    /// When no phone is registered, or none replies.
    #[arg(long)]
    unreachable: bool,
    /// Where calls go: bob, bob@sip.example.com, or a sip: URI.
    #[arg(required_unless_present = "off", conflicts_with = "off")]
    uri: Option<String>,
    /// Forward no more: for the named causes, or for all.
    #[arg(long)]
    off: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn request(&self) -> Result<Request, Refusal> {
        let after = self.no_answer.as_deref().map(duration::parse).transpose();
        let after = after.map_err(|why| (exit::USAGE, format!("--no-answer: {why}")))?;
        let change = Change {
            always: self.always,
            busy: self.busy,
            no_answer: self.no_answer.is_some(),
            unreachable: self.unreachable,
            after_s: after.map_or(0, |after| after.as_secs()),
            uri: self.uri.clone(),
        };
        Ok(Request::UserForward { name: self.name.clone(), change })
    }

    pub fn report(&self, last: &Value) -> String {
        let aor = last.get("aor").and_then(Value::as_str).unwrap_or_default();
        let forwards = last.get("forwards").unwrap_or(&Value::Null);
        if self.json {
            return format!("{}\n", json!({"v": 1, "aor": aor, "forwards": forwards}));
        }
        let lines = lines(forwards);
        if lines.is_empty() {
            return format!("{aor}   forwards nothing\n");
        }
        let mut page = format!("{aor}   forwards\n");
        for line in lines {
            page.push_str(&format!("  {line}\n"));
        }
        page
    }
}
