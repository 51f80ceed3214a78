//! One change to where an account's calls go: what is asked of the admin socket, and what it makes of what held before.
//! The same rules whether the server runs or not.

use std::time::Duration;

use serde_json::{Value, json};
use sip_core::forwarding::{self, Forwards, RING_MAX, RING_MIN};

use super::request::Name;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub always: bool,
    pub busy: bool,
    pub no_answer: bool,
    pub unreachable: bool,
    /// For `no_answer`: how long the phones ring before.
    pub after_s: u64,
    /// Where calls go; none: they are not forwarded any more, for these causes, or if none is chosen, for all.
    pub uri: Option<String>,
}

impl Change {
    pub fn to_json(&self, name: &str) -> Value {
        json!({
            "v": 1, "ask": "user-forward", "name": name, "uri": self.uri, "after_s": self.after_s,
            "always": self.always, "busy": self.busy, "no_answer": self.no_answer,
            "unreachable": self.unreachable,
        })
    }

    pub fn from_json(value: &Value) -> Self {
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        Self {
            always: flag("always"),
            busy: flag("busy"),
            no_answer: flag("no_answer"),
            unreachable: flag("unreachable"),
            after_s: value.get("after_s").and_then(Value::as_u64).unwrap_or(0),
            uri: value.get("uri").and_then(Value::as_str).map(str::to_owned),
        }
    }

    fn is_of_all(&self) -> bool {
        !(self.always || self.busy || self.no_answer || self.unreachable)
    }

    /// What holds for `name` when `before` held.
    pub fn apply(&self, name: &Name, before: &Forwards) -> Result<Forwards, String> {
        let mut after = before.clone();
        let Some(text) = &self.uri else {
            if self.is_of_all() {
                return Ok(Forwards::default());
            }
            for (chosen, slot) in [
                (self.always, &mut after.always),
                (self.busy, &mut after.busy),
                (self.unreachable, &mut after.unreachable),
            ] {
                if chosen {
                    *slot = None;
                }
            }
            if self.no_answer {
                after.no_answer = None;
            }
            return Ok(after);
        };
        if self.is_of_all() {
            return Err("say when: --always, --busy, --no-answer 20s or --unreachable".to_owned());
        }
        let uri = target(text, name)?;
        let slots = [
            (self.always, &mut after.always),
            (self.busy, &mut after.busy),
            (self.unreachable, &mut after.unreachable),
        ];
        for (chosen, slot) in slots {
            if chosen {
                *slot = Some(uri.clone());
            }
        }
        if self.no_answer {
            let ring = Duration::from_secs(self.after_s);
            if !(RING_MIN..=RING_MAX).contains(&ring) {
                let (least, most) = (RING_MIN.as_secs(), RING_MAX.as_secs());
                return Err(format!("phones ring {least} to {most} seconds, not {}", self.after_s));
            }
            after.no_answer = Some((uri, ring));
        }
        Ok(after)
    }
}

/// `carol`, `carol@example.com`, or a whole URI.
fn target(text: &str, name: &Name) -> Result<Box<str>, String> {
    let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| text.starts_with(scheme));
    let uri = match text {
        uri if has_scheme => uri.to_owned(),
        address if address.contains('@') => format!("sip:{address}"),
        user => format!("sip:{user}@{}", name.domain),
    };
    forwarding::check(&uri).map_err(|why| format!("calls cannot go to {uri}: {why}"))?;
    if uri == format!("sip:{}", name.aor()) {
        return Err(format!("calls to {} cannot go to {} instead", name.aor(), name.aor()));
    }
    Ok(uri.into())
}

/// As `user show` has it.
pub fn to_json(forwards: &Forwards) -> Value {
    let Forwards { always, busy, no_answer, unreachable } = forwards;
    let no_answer =
        no_answer.as_ref().map(|(uri, after)| json!({"uri": uri, "after_s": after.as_secs()}));
    json!({"always": always, "busy": busy, "no_answer": no_answer, "unreachable": unreachable})
}

/// The same for people, one line for each cause.
pub fn lines(forwards: &Value) -> Vec<String> {
    let uri = |key: &str| forwards.get(key).and_then(Value::as_str);
    let mut lines: Vec<String> = ["always", "busy", "unreachable"]
        .into_iter()
        .filter_map(|key| uri(key).map(|uri| format!("{key} to {uri}")))
        .collect();
    if let Some(no_answer) = forwards.get("no_answer").filter(|value| value.is_object()) {
        let uri = no_answer.get("uri").and_then(Value::as_str).unwrap_or_default();
        let after = no_answer.get("after_s").and_then(Value::as_u64).unwrap_or(0);
        lines.push(format!("no answer for {after}s to {uri}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name { user: "alice".to_owned(), domain: "example.com".to_owned() }
    }

    #[test]
    fn changes_add_up_and_can_be_taken_back() {
        let to = |uri: &str| Some(uri.to_owned());
        let busy = Change { busy: true, uri: to("bob"), ..Change::default() };
        let held = busy.apply(&name(), &Forwards::default()).unwrap();
        let late =
            Change { no_answer: true, after_s: 20, uri: to("c@192.0.2.9"), ..Change::default() };
        let held = late.apply(&name(), &held).unwrap();
        assert_eq!(held.busy.as_deref(), Some("sip:bob@example.com"));
        assert_eq!(held.no_answer, Some(("sip:c@192.0.2.9".into(), Duration::from_secs(20))));
        assert_eq!(
            lines(&to_json(&held)),
            ["busy to sip:bob@example.com", "no answer for 20s to sip:c@192.0.2.9"]
        );
        let off = Change { busy: true, ..Change::default() };
        let held = off.apply(&name(), &held).unwrap();
        assert!(held.busy.is_none() && held.no_answer.is_some());
        assert!(Change::default().apply(&name(), &held).unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let change =
            |uri: &str| Change { always: true, uri: Some(uri.to_owned()), ..Change::default() };
        for uri in ["alice", "alice@example.com", "tel:+1", "sips:a@x", "a b", ""] {
            assert!(change(uri).apply(&name(), &Forwards::default()).is_err(), "{uri}");
        }
        let when = Change { uri: Some("bob".to_owned()), ..Change::default() };
        assert!(when.apply(&name(), &Forwards::default()).is_err());
        for after_s in [0, 181] {
            let late =
                Change { no_answer: true, after_s, uri: Some("bob".into()), ..Change::default() };
            assert!(late.apply(&name(), &Forwards::default()).is_err(), "{after_s}");
        }
    }
}
