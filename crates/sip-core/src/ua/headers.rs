//! Header lines that many requests and answers share, and values that phones read out of messages. It decides nothing.

use sip_message::{Head, Name};

use super::command::Body;
use super::draft::Lines;
use super::settings::Settings;

/// What every request of ours carries.
pub(super) fn usual(settings: &Settings, lines: &mut Lines) {
    if let Some(agent) = &settings.user_agent {
        lines.push("User-Agent", agent);
    }
    lines.push_all(&settings.headers);
}

pub(super) fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The body with its type, if there is one.
pub(super) fn body(head: &Head) -> Option<Body> {
    if head.body().is_empty() {
        return None;
    }
    let content_type = text(head.header(Name::ContentType).unwrap_or(b"application/octet-stream"));
    Some(Body { content_type, bytes: bytes::Bytes::copy_from_slice(head.body()) })
}

/// Every header, name and value.
pub(super) fn all(head: &Head) -> Vec<(Box<str>, Box<str>)> {
    head.lines().map(|(name, value)| (text(name), text(value))).collect()
}

/// Whether a list header (Supported, Require, Allow) names this.
pub(super) fn lists(head: &Head, name: Name, tag: &str) -> bool {
    head.tokens(name).any(|token| token.eq_ignore_ascii_case(tag.as_bytes()))
}

/// A header that is one number, perhaps with parameters behind.
pub(super) fn number(head: &Head, name: Name) -> Option<u32> {
    let value = head.header(name)?;
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    core::str::from_utf8(value.get(..digits)?).ok()?.parse().ok()
}
