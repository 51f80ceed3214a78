//! `Calls`: the table of calls. It finds the call that a message, a command or an alarm is for, and carries what one call
//! has to say to another (Replaces, the progress of a transfer). It decides nothing about a call.

use std::collections::BTreeMap;

use sip_message::{Method, Name, Request, Response};

use crate::rejection::Rejection;
use crate::transaction::ContextId;

use super::alarm::Alarm;
use super::call::refer::Target;
use super::call::{Call, CallPlan, Note, Side, callee, caller};
use super::command::{Body, CallId, CallOptions, Command};
use super::event::{EndedBy, Event, Failure};
use super::exchange::{ExchangeId, Outcome, Owner, Purpose};
use super::served::Answer;
use super::stack::Turn;

#[derive(Default)]
pub(super) struct Calls {
    calls: BTreeMap<CallId, Call>,
}

/// RFC 3891 §6.1: a dialog by its names.
struct Replaces<'a> {
    call_id: &'a [u8],
    to_tag: &'a [u8],
    from_tag: &'a [u8],
    is_early_only: bool,
}

fn replaces(value: &[u8]) -> Option<Replaces<'_>> {
    let mut parts = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let mut read =
        Replaces { call_id: parts.next()?, to_tag: b"", from_tag: b"", is_early_only: false };
    for part in parts {
        let mut words = part.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        match (words.next()?, words.next()) {
            (b"to-tag", Some(tag)) => read.to_tag = tag,
            (b"from-tag", Some(tag)) => read.from_tag = tag,
            (b"early-only", _) => read.is_early_only = true,
            _ => {}
        }
    }
    (!read.to_tag.is_empty() && !read.from_tag.is_empty()).then_some(read)
}

impl Calls {
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Lets one call act; afterwards it leaves the table if it is over, and what it has to say to others is said.
    fn with(
        &mut self,
        turn: &mut Turn<'_>,
        id: CallId,
        act: impl FnOnce(&mut Call, &mut Turn<'_>),
    ) {
        if let Some(call) = self.calls.get_mut(&id) {
            act(call, turn);
        }
        self.settle(turn, id);
    }

    fn settle(&mut self, turn: &mut Turn<'_>, id: CallId) {
        if self.calls.get(&id).is_some_and(Call::is_over) {
            self.calls.remove(&id);
            turn.stack.alarms.stop_all(id);
        }
        while let Some(note) = turn.stack.notes.pop() {
            match note {
                Note::Replaced(call) => {
                    self.with(turn, call, |call, turn| call.over(turn, EndedBy::Replaced));
                }
                Note::Progress { call, status, reason } => {
                    self.with(turn, call, |call, turn| call.refer_progress(turn, status, &reason));
                }
            }
        }
    }

    /// Our user wants something of a call.
    pub fn command(&mut self, turn: &mut Turn<'_>, command: Command) {
        use Command::*;
        match command {
            Call { call, to, body, with } => self.place(turn, call, to, body, with),
            Ring { call, status, body } => {
                self.with(turn, call, |call, turn| call.ring(turn, status, body));
            }
            Answer { call, body } => self.with(turn, call, |call, turn| call.answer(turn, body)),
            Reject { call, status, headers } => {
                self.with(turn, call, |call, turn| call.reject(turn, status, headers));
            }
            HangUp { call } => self.with(turn, call, super::call::Call::hang_up),
            Acknowledge { call, body } => {
                self.with(turn, call, |call, turn| call.acknowledge(turn, body));
            }
            Offer { call, body, by } => {
                self.with(turn, call, |call, turn| call.offer_new(turn, body, by));
            }
            AnswerOffer { call, body } => {
                self.with(turn, call, |call, turn| call.answer_offer(turn, body));
            }
            RefuseOffer { call, status } => {
                self.with(turn, call, |call, turn| call.refuse_offer(turn, status));
            }
            Refer { call, to, replaces } => self.refer(turn, call, &to, replaces),
            AcceptRefer { call } => self.with(turn, call, super::call::Call::accept_refer),
            RefuseRefer { call, status } => {
                self.with(turn, call, |call, turn| call.refuse_refer(turn, status));
            }
            Info { call, body } => self.with(turn, call, |call, turn| call.send_digits(turn, body)),
            Register { .. } | Unregister { .. } | QueryBindings | Request { .. } => {}
        }
    }

    fn place(
        &mut self,
        turn: &mut Turn<'_>,
        id: CallId,
        to: Box<str>,
        body: Option<Body>,
        with: CallOptions,
    ) {
        let failed = |turn: &mut Turn<'_>, why| turn.tell(Event::Failed { call: id, why });
        if self.calls.contains_key(&id) {
            return failed(turn, Failure::NotPossible { why: "that name is of a call already" });
        }
        if self.calls.len() >= turn.settings.calls_max {
            return failed(turn, Failure::Limit { limit: "calls_max" });
        }
        let named = with.replaces.and_then(|other| self.calls.get(&other)?.replaces_value());
        let mut plan = CallPlan {
            to,
            body,
            replaces: named.map(Into::into),
            referred_by: with.referred_by,
            headers: with.headers,
            referrer: None,
        };
        let referred = with.referred_by.and_then(|call| self.calls.get(&call)?.referred_target());
        if let Some((Target { replaces, .. }, by)) = referred {
            plan.replaces = plan.replaces.or_else(|| replaces.clone());
            plan.referrer = by;
        }
        match Call::place(turn, id, plan) {
            Ok(call) => {
                self.calls.insert(id, call);
                self.settle(turn, id);
            }
            Err(why) => failed(turn, why),
        }
    }

    fn refer(&mut self, turn: &mut Turn<'_>, id: CallId, to: &str, replaces: Option<CallId>) {
        let other = replaces.and_then(|other| self.calls.get(&other));
        let value = other.and_then(Call::replaces_value);
        // RFC 5589 §7: the target of an attended transfer is where the other leg really is.
        let target = other.and_then(Call::peer_target).filter(|_| to.is_empty());
        let to = target.as_deref().unwrap_or(to).to_owned();
        self.with(turn, id, |call, turn| call.refer(turn, &to, value.as_deref()));
    }

    /// An INVITE outside dialogs.
    pub fn invited(
        &mut self,
        turn: &mut Turn<'_>,
        id: CallId,
        context: ContextId,
        request: &Request,
        tag: &str,
    ) {
        if self.calls.len() >= turn.settings.calls_max {
            turn.respond(context, &Answer::new(486));
            return;
        }
        let served = self
            .replaced(request)
            .and_then(|replaces| Call::serve(turn, id, context, request, tag, replaces));
        match served {
            Ok(call) => drop(self.calls.insert(id, call)),
            Err(answer) => drop(turn.respond(context, &answer)),
        }
    }

    /// RFC 3891 §3: the call that an INVITE replaces.
    fn replaced(&self, request: &Request) -> Result<Option<CallId>, Answer> {
        let mut values = request.headers(Name::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        // "More than one Replaces header field": 400.
        let bad = || Answer::from(&Rejection::bad_request("Replaces"));
        let wanted = replaces(value).filter(|_| values.next().is_none()).ok_or_else(bad)?;
        let Some((id, leg)) = self.find(wanted.call_id, wanted.to_tag, wanted.from_tag) else {
            return Err(Answer::new(481));
        };
        let Some(call) = self.calls.get(&id) else { return Err(Answer::new(481)) };
        let is_confirmed = call.leg == Some(leg);
        match call.side {
            Side::Caller(caller::State::Terminating) | Side::Callee(callee::State::Terminating) => {
                // "If the Replaces header field matches [...] a dialog that has already terminated": 603.
                Err(Answer::new(603))
            }
            _ if is_confirmed && wanted.is_early_only => Err(Answer::new(486)),
            // "an early dialog that was not initiated by this UA": 481.
            Side::Callee(_) if !is_confirmed => Err(Answer::new(481)),
            _ => Ok(Some(id)),
        }
    }

    fn find(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> Option<(CallId, usize)> {
        self.calls
            .iter()
            .find_map(|(id, call)| Some((*id, call.leg_named(call_id, local, remote)?)))
    }

    fn find_for(&self, request: &Request) -> Option<(CallId, usize)> {
        let (from, to) = (request.from().ok()?, request.to().ok()?);
        self.find(request.call_id().ok()?, to.tag()?, from.tag().unwrap_or_default())
    }

    /// A request with a To tag.
    pub fn inside(&mut self, turn: &mut Turn<'_>, context: ContextId, request: &Request) {
        match self.find_for(request) {
            Some((id, leg)) => {
                self.with(turn, id, |call, turn| call.inside(turn, leg, context, request));
            }
            // RFC 3261 §12.2.2.
            None => drop(turn.respond(context, &Answer::from(&Rejection::does_not_exist()))),
        }
    }

    pub fn acknowledged(&mut self, turn: &mut Turn<'_>, ack: &Request) {
        if let Some((id, leg)) = self.find_for(ack) {
            self.with(turn, id, |call, turn| call.acknowledged(turn, leg, ack));
        }
    }

    pub fn cancelled(&mut self, turn: &mut Turn<'_>, id: CallId, cancel: &Request) {
        self.with(turn, id, |call, turn| call.cancelled(turn, cancel));
    }

    /// What became of a request of a call. A 2xx to an INVITE whose call is gone still gets its ACK and its BYE.
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        owner: Owner,
        outcome: Outcome<'_>,
    ) {
        let call = match owner {
            Owner::Invite(call) | Owner::Inside(call, _) => call,
            _ => return,
        };
        let accepted = accepted(owner, outcome);
        if let Some(response) = accepted {
            if turn.reacknowledge(id, response) {
                return;
            }
            if !self.calls.contains_key(&call) {
                turn.decline(id, response);
                return;
            }
        }
        self.with(turn, call, |call, turn| match owner {
            Owner::Inside(_, purpose) => call.inside_answered(turn, id, purpose, outcome),
            _ => call.invite_answered(turn, id, outcome),
        });
    }

    pub fn alarm(&mut self, turn: &mut Turn<'_>, id: CallId, alarm: Alarm) {
        self.with(turn, id, |call, turn| call.alarm(turn, alarm));
    }

    pub fn renumber(&mut self, turn: &mut Turn<'_>, id: CallId, exchange: ExchangeId) {
        self.with(turn, id, |call, turn| call.renumber(turn, exchange));
    }
}

/// The 2xx of an INVITE, if this is one.
fn accepted<'a>(owner: Owner, outcome: Outcome<'a>) -> Option<&'a Response> {
    let is_invite = matches!(owner, Owner::Invite(_) | Owner::Inside(_, Purpose::Reinvite));
    match outcome {
        Outcome::Response(response) if is_invite && (200..300).contains(&response.status()) => {
            Some(response)
        }
        _ => None,
    }
}

/// A request outside dialogs that is neither INVITE nor ACK nor CANCEL (RFC 3261 §8.2).
pub(super) fn outside(turn: &mut Turn<'_>, context: ContextId, request: &Request, is_full: bool) {
    match request.method() {
        // RFC 3428 §7.
        Method::Message => {
            turn.respond(context, &Answer::new(200));
            turn.tell(super::call::message(request));
        }
        // RFC 3261 §11.2: "the same that would be chosen had the request been an INVITE".
        Method::Options if is_full => drop(turn.respond(context, &Answer::new(486))),
        Method::Options => drop(turn.respond(context, &super::call::options(turn))),
        // A REFER outside a dialog would have anybody make us call anybody.
        Method::Refer => drop(turn.respond(context, &Answer::new(403))),
        // What needs a dialog and names none (RFC 3261 §12.2.2).
        _ => {
            let answer = Answer::from(&Rejection::does_not_exist());
            turn.respond(context, &answer);
        }
    }
}
