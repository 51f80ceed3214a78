//! Calls through gateways: each has a seat from its INVITE to its BYE, and what becomes of it is counted. It never
//! chooses a gateway and never ends a call.

use std::sync::Arc;

use sip_message::{Head, Method, Name, Response};
use smallvec::smallvec;

use super::record_route::Sender;
use super::{Extra, Kind, Next, Proxy, ResponseContext, Step, Steps, Target, TargetUri};
use crate::dispatcher::calls::{CallKey, Trunk};
use crate::limits::{self, LimitReached};
use crate::output::Event;
use crate::registrar::binding::Q_DEFAULT;
use crate::time::Duration;
use crate::transaction::{ContextId, TransactionLayer};
use crate::turn::Turn;

impl Proxy {
    /// A request has had its final response, `head` or one like it. `trunk`: it was given to a gateway.
    pub(super) fn count_call(
        &mut self,
        turn: &mut Turn<'_>,
        kind: Kind,
        status: u16,
        head: &Head,
        trunk: Option<Arc<Trunk>>,
    ) {
        if trunk.is_none() && self.calls.is_empty() {
            return;
        }
        let (Ok(cseq), Ok(call_id), Ok(from), Ok(to)) =
            (head.cseq(), head.call_id(), head.from(), head.to())
        else {
            return;
        };
        let (from, to) = (from.tag().unwrap_or_default(), to.tag().unwrap_or_default());
        let turned = matches!(kind, Kind::Within(sealed) if sealed.sender == Sender::Callee);
        let (caller, callee) = if turned { (to, from) } else { (from, to) };
        let key = CallKey::new(&turn.shared.seal, call_id, caller, callee);
        match (kind, cseq.method) {
            (Kind::Call, Method::Invite) if is_success(status) => {
                let Some(trunk) = trunk.filter(|trunk| trunk.seat.is_some()) else { return };
                if !self.calls.answered(turn.now, key, trunk, session(head)) {
                    let limit = limits::GATEWAY_CALLS;
                    turn.out.events.push(LimitReached { limit }.event(None));
                }
            }
            (Kind::Within(_), Method::Invite | Method::Update) if is_success(status) => {
                self.calls.refreshed(turn.now, key, session(head));
            }
            // RFC 3261 §15.1.1: a BYE ends the dialog whatever its answer; but one that was challenged comes again.
            (Kind::Within(_), Method::Bye) if !matches!(status, 401 | 407) => self.calls.ended(key),
            _ => {}
        }
    }

    /// Takes a fork's seat from it: its call stands, or will not.
    pub(super) fn take_trunk(&mut self, context: ContextId, fork: u16) -> Option<Arc<Trunk>> {
        let active = self.active(context)?;
        active.forks.get_mut(usize::from(fork))?.trunk.take()
    }

    /// A fork at a gateway has failed with this status: that of the gateway, or one that stands for its silence.
    pub(super) fn count_failure(&mut self, context: ContextId, fork: u16, status: u16) {
        if let Some(trunk) = self.take_trunk(context, fork)
            && matches!(status, 408 | 500..=599)
        {
            trunk.gateway.live.count_failed();
        }
    }
}

/// What came of a challenge by a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The request is sent once more, with our proof.
    Sent,
    /// It has had our proof, and wants another.
    Refused,
    /// It is somebody else who asks: the caller may know him.
    NotAsked,
}

impl Proxy {
    /// RFC 3261 §22.3: a provider wants to know whether it is his customer who calls. Our proof goes to the gateway whose
    /// account it is, for the one realm of that account, and once.
    pub(super) fn prove(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
        fork: u16,
        response: &Response,
    ) -> Proof {
        let at = usize::from(fork);
        let Some(asked) = self.active(name).and_then(|active| active.forks.get(at)) else {
            return Proof::NotAsked;
        };
        let (flow, proved, trunk) = (asked.flow, asked.proved, asked.trunk.clone());
        let account = trunk.as_ref().and_then(|trunk| trunk.gateway.account.clone());
        let (Some(trunk), Some(account)) = (trunk, account) else { return Proof::NotAsked };
        let Ok(cseq) = response.cseq() else { return Proof::NotAsked };
        let subject = (cseq.method.as_bytes(), &trunk.uri[..]);
        let Some(proof) = account.answer(&turn.shared.seal, response, &flow, subject) else {
            return Proof::NotAsked;
        };
        if proved {
            return Proof::Refused;
        }
        self.end_fork(name, fork);
        self.take_trunk(name, fork);
        let Some(mut context) = self.contexts.remove(&name) else { return Proof::NotAsked };
        let Some(mut rest) = context.rest.take() else {
            self.contexts.insert(name, context);
            return Proof::NotAsked;
        };
        let uri = TargetUri::Other(trunk.uri.clone());
        let target = Target { uri, next: Next::Flow(flow), q: Q_DEFAULT };
        let mut step = Step::new(smallvec![target]);
        let lines = [trunk.lines.as_deref().unwrap_or_default(), &proof].concat();
        step.extra = Extra { lines: Some(lines.into()), trunk: Some(trunk), diversion: None };
        rest.send(step, |request, plan, at| {
            self.send_step(turn, transactions, &mut context, request, plan, at);
        });
        if let Some(fork) = context.forks.last_mut() {
            fork.proved = true;
        }
        context.rest = Some(rest);
        self.contexts.insert(name, context);
        Proof::Sent
    }

    /// The step under way is one of gateways: its time is the time they may be silent.
    pub(super) fn is_hunting(&mut self, context: ContextId) -> bool {
        let rest = self.active(context).and_then(|active| active.rest.as_ref());
        rest.is_some_and(|rest| rest.hunts())
    }

    /// The time of silence is over.
    pub(super) fn ask_next_gateway(&mut self, context: ContextId) {
        let Some(active) = self.active(context) else { return };
        let has_heard_nothing = active.has_heard_nothing();
        if let Some(rest) = &mut active.rest {
            rest.deadline = None;
        }
        if has_heard_nothing {
            self.ask_policy(context, true);
        }
    }
}

impl ResponseContext {
    /// A gateway was no good, and another is asked: the operator wants to know.
    pub(super) fn tell_of_gateway(
        &self,
        turn: &mut Turn<'_>,
        gateway: Box<str>,
        status: u16,
        steps: &Steps,
    ) {
        let next = steps.first().and_then(|step| step.extra.trunk.as_ref());
        let (Some(next), Some(failed)) = (next, self.forks.last()) else { return };
        let call_id = self.request().map_or(Box::default(), |request| {
            String::from_utf8_lossy(request.call_id().unwrap_or_default()).into()
        });
        turn.out.events.push(Event::GatewayFailed {
            call_id,
            gateway,
            flow: failed.flow,
            next: next.gateway.name.clone(),
            status,
        });
    }

    /// A gateway has been asked and has not said a word.
    pub(super) fn has_heard_nothing(&self) -> bool {
        let mut step = self.forks.iter().skip(usize::from(self.step_at));
        step.all(|fork| fork.trunk.is_some() && !fork.heard && !fork.ended)
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// RFC 4028 §4: `Session-Expires: 1800;refresher=uac`.
fn session(head: &Head) -> Option<Duration> {
    let value = head.header(Name::SessionExpires)?;
    let digits = value.split(|b| *b == b';').next()?.trim_ascii();
    core::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_secs)
}
