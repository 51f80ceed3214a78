//! Requests of ours outside dialogs: MESSAGE (RFC 3428), OPTIONS (RFC 3261 §11.1) and whatever else has no dialog. One
//! request, its answers, nothing kept.

use crate::flow::Flow;

use super::admit;
use super::call::target;
use super::command::{Body, RequestId};
use super::draft::{Draft, Lines, name_addr};
use super::event::{Event, Failure};
use super::exchange::{ExchangeId, Outcome, Owner};
use super::headers::{self, text};
use super::stack::Turn;

/// Methods that are not sent this way.
const NOT_SINGLE: [&str; 5] = ["INVITE", "ACK", "CANCEL", "BYE", "PRACK"];

pub(super) fn send(
    turn: &mut Turn<'_>,
    request: RequestId,
    method: &str,
    to: &str,
    body: Option<Body>,
    lines: &[Box<str>],
) {
    let is_token = !method.is_empty() && method.bytes().all(|b| b.is_ascii_graphic());
    if !is_token || NOT_SINGLE.contains(&method) {
        let why = Failure::NotPossible { why: "that method needs a call" };
        return turn.tell(Event::RequestFailed { request, why });
    }
    let uri = match target(turn.settings, to) {
        Ok(uri) => uri,
        Err(why) => return turn.tell(Event::RequestFailed { request, why }),
    };
    let mut all = Lines::default();
    if method == "OPTIONS" {
        // RFC 3261 §11.1.
        all.push("Accept", admit::ACCEPT);
    }
    if !matches!(method, "MESSAGE" | "INFO") {
        // RFC 3428 §4: "MUST NOT" in a MESSAGE.
        all.push("Contact", format_args!("<{}>", turn.settings.contact));
    }
    headers::usual(turn.settings, &mut all);
    all.push_all(lines);
    let from = name_addr(turn.settings.display.as_deref(), &turn.settings.aor);
    let draft = Draft {
        method: method.into(),
        uri: uri.as_bytes().into(),
        routes: Vec::new(),
        from: format!("{from};tag={}", turn.stack.mint.tag()).into_bytes().into(),
        to: format!("<{uri}>").into_bytes().into(),
        call_id: turn.stack.mint.call_id().as_bytes().into(),
        cseq: 1,
        lines: all,
        body,
    };
    turn.send(draft, uri.as_bytes(), Owner::Request(request));
}

pub(super) fn answered(
    turn: &mut Turn<'_>,
    request: RequestId,
    id: ExchangeId,
    outcome: Outcome<'_>,
    from: Option<&Flow>,
) {
    let event = match outcome {
        Outcome::Failure(why) => Event::RequestFailed { request, why: why.clone() },
        Outcome::Response(response) => {
            let Some(exchange) = turn.stack.exchanges.get(&id) else { return };
            let Some(from) = from.copied().or(exchange.flow) else { return };
            Event::Response {
                request,
                status: response.status(),
                reason: text(response.reason()),
                body: headers::body(response),
                headers: headers::all(response),
                from,
                took: turn.now.since(exchange.began),
            }
        }
    };
    turn.tell(event);
}
