//! `UserAgent`: a whole phone without sound. One input in, everything that follows from it out. It parses, matches, and
//! hands on; it decides nothing itself. It never blocks, never reads a clock and never looks into a body.

use bytes::Bytes;
use sip_message::{Message, Method, Request, Response};

use crate::flow::Flow;
use crate::rejection::Rejection;
use crate::time::Instant;
use crate::transaction::{Happening, Matched, Received, ServerKey};

use super::admit;
use super::calls::{self, Calls};
use super::command::{CallId, Command, Input, RequestId};
use super::event::{Event, Failure};
use super::exchange::{ExchangeId, Outcome, Owner};
use super::outbox::Outbox;
use super::registration::{self, Registration};
use super::served::Answer;
use super::settings::Settings;
use super::single;
use super::stack::{Stack, Turn};
use crate::time::Duration;

pub struct UserAgent {
    settings: Settings,
    stack: Stack,
    state: State,
}

/// Whom messages, commands and alarms are handed on to.
#[derive(Default)]
struct State {
    names: u32,
    calls: Calls,
    registration: Registration,
    happenings: Vec<Happening>,
}

/// What each table holds; all zero when nothing is under way. A registration that stands is not under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Finished ones, which linger for late retransmissions, included.
    pub transactions: usize,
    pub timers: usize,
    /// Requests of ours that wait for a name or an answer, and INVITEs that may yet be accepted once more.
    pub exchanges: usize,
    /// Transactions of ours that somebody still has to hear the end of.
    pub clients: usize,
    /// Requests of others, until the end of their transaction.
    pub served: usize,
    pub calls: usize,
    pub alarms: usize,
    pub resolves: usize,
}

impl UserAgent {
    /// `seed`: 16 random bytes; every tag, branch, Call-ID and cnonce follows from it.
    pub fn new(settings: Settings, seed: [u8; 16]) -> Self {
        let stack = Stack::new(&settings, seed);
        Self { settings, stack, state: State::default() }
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A name for a call that is to be placed.
    pub const fn new_call(&mut self) -> CallId {
        CallId(self.state.name())
    }

    /// A name for a request that is to be sent.
    pub const fn new_request(&mut self) -> RequestId {
        RequestId(self.state.name())
    }

    /// Feeds one input; everything that follows from it is in `out` on return.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        let Self { settings, stack, state } = self;
        state.handle(&mut Turn { now, settings, stack, out }, input);
        out.transmits.append(&mut stack.wire.transmits);
    }

    /// When `handle` wants to be called at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let Self { stack, state: State { registration, .. }, .. } = self;
        let deadlines = [
            stack.transactions.next_deadline(),
            stack.alarms.next_deadline(),
            registration.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub fn sizes(&self) -> Sizes {
        let Self { stack, state: State { calls, .. }, .. } = self;
        Sizes {
            transactions: stack.transactions.len(),
            timers: stack.transactions.timers_len(),
            exchanges: stack.exchanges.len(),
            clients: stack.clients.len(),
            served: stack.served.len(),
            calls: calls.len(),
            alarms: stack.alarms.len(),
            resolves: stack.resolves.len(),
        }
    }
}

impl State {
    const fn name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        match input {
            Input::Message { flow, bytes } => self.message(turn, &flow, bytes),
            Input::SendFailed { token } => {
                turn.stack.transactions.send_failed(turn.now, token, &mut turn.stack.wire);
            }
            Input::FlowClosed { connection } => self.registration.flow_closed(turn, connection),
            Input::Resolved { ask, flows } => turn.resolved(ask, flows),
            Input::Command(command) => self.command(turn, command),
            Input::Tick => {}
        }
        while let Some((call, alarm)) = turn.stack.alarms.expire(turn.now) {
            self.calls.alarm(turn, call, alarm);
        }
        self.registration.tick(turn);
        self.advance(turn);
    }

    fn command(&mut self, turn: &mut Turn<'_>, command: Command) {
        match command {
            Command::Register { expires } => self.registration.register(turn, expires),
            Command::Unregister { all } => self.registration.unregister(turn, all),
            Command::QueryBindings => self.registration.query(turn),
            Command::Request { request, method, to, body, headers } => {
                single::send(turn, request, &method, &to, body, &headers);
            }
            command => self.calls.command(turn, command),
        }
    }

    /// Everything that follows, until nothing does.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        loop {
            let stack = &mut *turn.stack;
            stack.transactions.tick(turn.now, &mut stack.wire, &mut self.happenings);
            let mut is_quiet = self.happenings.is_empty();
            for happening in self.happenings.drain(..) {
                happened(turn, happening);
            }
            for (call, id) in core::mem::take(&mut turn.stack.renumber) {
                is_quiet = false;
                self.calls.renumber(turn, call, id);
            }
            while let Some((id, why)) = turn.stack.failed.pop_front() {
                is_quiet = false;
                turn.detach(id);
                if let Some(owner) = turn.stack.exchanges.get(&id).map(|e| e.owner) {
                    self.tell(turn, id, owner, Outcome::Failure(&why), None);
                }
                turn.forget(id);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, flow: &Flow, bytes: Bytes) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            return self.registration.blank(turn, flow, &bytes);
        }
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => self.request(turn, flow, request),
            Ok(Message::Response(response)) => {
                self.response(turn, flow, &response);
            }
            Err(malformed) => {
                let request = malformed.request.filter(|r| r.method() != Method::Ack);
                if let Some(mut request) = request {
                    request.stamp_source(flow.remote);
                    let answer = Answer::from(&Rejection::from(malformed.error));
                    let tag = turn.stack.mint.tag();
                    turn.respond_stateless(&request, flow, &tag, &answer);
                }
            }
        }
    }

    fn request(&mut self, turn: &mut Turn<'_>, flow: &Flow, mut request: Request) {
        request.stamp_source(flow.remote);
        let wire = &mut turn.stack.wire;
        let matched = turn.stack.transactions.receive_request(turn.now, &request, flow, wire);
        match matched {
            Matched::Retransmission | Matched::Ack => {}
            Matched::AckForTwoXx => self.calls.acknowledged(turn, &request),
            Matched::Cancel { context, .. } => {
                // Only from where the INVITE came: whoever else knows its branch has read it on the way.
                let served = turn.stack.served.get(&context);
                let found = served.filter(|served| served.flow.remote.ip() == flow.remote.ip());
                let found = found.map(|served| (served.tag.clone(), served.call));
                let Some((tag, call)) = found else {
                    return stateless(turn, &request, flow, &Rejection::does_not_exist());
                };
                // RFC 3261 §9.2: 200, with the To tag of the response to the INVITE.
                turn.respond_stateless(&request, flow, &tag, &Answer::new(200));
                if let Some(call) = call {
                    self.calls.cancelled(turn, call, &request);
                }
            }
            Matched::CancelUnmatched => {
                stateless(turn, &request, flow, &Rejection::does_not_exist());
            }
            Matched::New(key) => self.serve(turn, flow, request, key),
            // RFC 3261 §17: nothing answers an ACK; without a Via nobody would know the answer.
            Matched::Unreadable(error) => {
                if request.method() != Method::Ack && request.via().is_ok() {
                    stateless(turn, &request, flow, &Rejection::from(error));
                }
            }
        }
    }

    fn serve(&mut self, turn: &mut Turn<'_>, flow: &Flow, request: Request, key: ServerKey) {
        let name = self.name();
        let checked = admit::check(turn, &request);
        let tag = turn.stack.mint.tag();
        let Some(context) = turn.accept(key, request.clone(), flow, tag.clone()) else {
            return stateless(turn, &request, flow, &Rejection::service_unavailable(5));
        };
        if let Err(answer) = checked {
            turn.respond(context, &answer);
            return;
        }
        let is_full = self.calls.len() >= turn.settings.calls_max;
        let is_inside = request.to().is_ok_and(|to| to.tag().is_some());
        match request.method() {
            _ if is_inside => self.calls.inside(turn, context, &request),
            Method::Invite => self.calls.invited(turn, CallId(name), context, &request, &tag),
            _ => calls::outside(turn, context, &request, is_full),
        }
    }

    fn response(&mut self, turn: &mut Turn<'_>, flow: &Flow, response: &Response) {
        // RFC 3261 §8.1.3.3: "If more than one Via header field value is present in a response, the UAC SHOULD discard the
        // message."
        if response.vias().count() > 1 || response.check().is_err() {
            return;
        }
        let wire = &mut turn.stack.wire;
        let received = turn.stack.transactions.receive_response(turn.now, response, wire);
        let Received::Delivered(delivered) = received else { return };
        let Some((id, owner)) = turn.answered(delivered, response, flow) else { return };
        let outcome = Outcome::Response(response);
        self.tell(turn, id, owner, outcome, Some(flow));
        let is_invite = matches!(
            owner,
            Owner::Invite(_) | Owner::Inside(_, super::exchange::Purpose::Reinvite)
        );
        let stays = response.status() < 200 || (is_invite && response.status() < 300);
        if !stays {
            turn.forget(id);
        }
    }

    fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        owner: Owner,
        outcome: Outcome<'_>,
        from: Option<&Flow>,
    ) {
        match owner {
            Owner::Nobody | Owner::Ack(_) => {}
            Owner::Registration => self.registration.answered(turn, id, outcome, from),
            Owner::Query => queried(turn, id, outcome, from),
            Owner::Request(request) => single::answered(turn, request, id, outcome, from),
            Owner::Invite(_) | Owner::Inside(..) => {
                self.calls.answered(turn, id, owner, outcome);
            }
        }
    }
}

fn happened(turn: &mut Turn<'_>, happening: Happening) {
    match happening {
        Happening::ClientTimeout { context, .. } | Happening::ClientCancelled { context, .. } => {
            turn.unanswered(context, |method, flow| Failure::Timeout { method, flow });
        }
        Happening::TransportError { context, .. } => {
            turn.unanswered(context, |method, flow| Failure::Transport { method, flow });
        }
        Happening::ClientGone { context, .. } => turn.client_gone(context),
        Happening::ServerGone { context } => drop(turn.stack.served.remove(&context)),
        // A failure that nobody acknowledged is a failure all the same (RFC 3261 §17.2.1).
        // And silence is told only where that was asked for.
        Happening::ServerTimeout { .. } | Happening::ClientSilent { .. } => {}
    }
}

fn stateless(turn: &mut Turn<'_>, request: &Request, flow: &Flow, why: &Rejection) {
    let tag = turn.stack.mint.tag();
    turn.respond_stateless(request, flow, &tag, &Answer::from(why));
}

fn queried(turn: &mut Turn<'_>, id: ExchangeId, outcome: Outcome<'_>, from: Option<&Flow>) {
    match outcome {
        Outcome::Response(response) if response.status() < 200 => {}
        Outcome::Response(response) if response.status() < 300 => {
            let none = Duration::ZERO;
            if let Some(report) = registration::report(turn, id, response, from, none) {
                turn.tell(Event::Registered(report));
            }
        }
        Outcome::Response(response) => {
            let why = super::outcome::failure(response);
            turn.tell(Event::RegistrationFailed { why, retry: None });
        }
        Outcome::Failure(why) => {
            turn.tell(Event::RegistrationFailed { why: why.clone(), retry: None });
        }
    }
}
