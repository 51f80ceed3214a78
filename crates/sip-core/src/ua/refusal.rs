//! What is refused, and who is told: the peer by a stateless answer (RFC 3261 §8.2.7), the operator by an event. It
//! decides nothing: a room did.

use sip_message::{Malformed, Method, Request};

use crate::flow::Flow;
use crate::output::Event;
use crate::rejection::Rejection;
use crate::route::{limit, nat, screen};
use crate::turn::Turn;
use crate::ua::reply;

/// RFC 3261 §16.3 step 1, §8.2.2: 400, 413, 505 or 513 if there is enough to answer to; a response or an ACK gets
/// none in any case.
pub fn malformed(turn: &mut Turn<'_>, flow: &Flow, malformed: Malformed, scratch: &mut Vec<u8>) {
    let error = malformed.error;
    let request = malformed.request.filter(|request| request.method() != Method::Ack);
    let answerable = request.filter(|_| limit::admits(turn, flow));
    let kind = error.kind.words();
    turn.out.events.push(Event::Malformed { flow: *flow, kind, answered: answerable.is_some() });
    if let Some(mut request) = answerable {
        nat::stamp(&mut request, flow);
        reply::reject(turn, &request, flow, &screen::syntax(error), scratch);
    }
}

/// Answers with a refusal, and tells of it. A first challenge is no news.
pub fn reject(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &Request,
    why: &Rejection,
    scratch: &mut Vec<u8>,
) {
    if request.method() == Method::Ack {
        return;
    }
    reply::reject(turn, request, flow, why, scratch);
    if let Some(refused) = &why.refused {
        let user = refused.user.clone();
        turn.out.events.push(Event::AuthFailed { flow: *flow, user, why: refused.why });
    }
    limit::refused(turn, flow, why);
    if !matches!(why.status, 401 | 407) && !why.is_quiet {
        let call_id = String::from_utf8_lossy(request.call_id().unwrap_or_default()).into();
        let (status, reason, fault) = (why.status, why.reason, why.fault);
        let flow = *flow;
        turn.out.events.push(Event::Rejected { flow, status, reason, fault, call_id });
    }
}
