//! `Node`: the whole server. One input in, everything that follows from it out. It parses, matches, asks `route` what
//! to do, and has it done; it decides nothing itself. It never blocks, never sleeps, never logs.
//!
//! ```text
//! bytes -> Message -> matched to a transaction? -> route -> registrar | ua | proxy -> Outbox
//! ```

mod pending;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use sip_message::{Malformed, Message, Method, Request, Response, Uri};

use crate::config::Config;
use crate::dispatcher::chore::{ASKS, Place};
use crate::dispatcher::probe::{self, Prober};
use crate::dispatcher::registrant::{REGISTRATIONS, Registrant};
use crate::flow::Flow;
use crate::input::{Answer, Command, Input};
use crate::nat::alias;
use crate::nat::keepalive::{self, Keepalive};
use crate::output::{Event, Outbox};
use crate::proxy::{Next, Plan, Proxy};
use crate::redirect;
use crate::registrar;
use crate::rejection::Rejection;
use crate::route::{self, Verdict, limit, locate, nat, onward, own, screen};
use crate::shared::Shared;
use crate::time::Instant;
use crate::transaction::large::Streams;
use crate::transaction::{Happening, Matched, Received, ServerKey, TransactionLayer};
use crate::turn::Turn;
use crate::ua::{self, options, refusal, reply};
use pending::Pending;

pub struct Node {
    config: Arc<Config>,
    shared: Arc<Shared>,
    state: State,
}

/// What a turn changes; what it only reads stands beside it.
struct State {
    transactions: TransactionLayer,
    proxy: Proxy,
    pending: Pending,
    keepalive: Keepalive,
    prober: Prober,
    registrant: Registrant,
    draining: bool,
    /// Reused from turn to turn.
    happenings: Vec<Happening>,
    scratch: Vec<u8>,
}

/// What each table of a node holds; all zero when nothing is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Finished ones, which linger for late retransmissions, included.
    pub transactions: usize,
    /// Those that still hold a whole message.
    pub transactions_live: usize,
    /// Stopped ones that were not yet dropped included.
    pub timers: usize,
    pub contexts: usize,
    /// The same: a context without its request is gone.
    pub contexts_active: usize,
    /// Running Timers C.
    pub timers_c: usize,
    /// Contexts whose step under way has a time.
    pub steps: usize,
    /// Calls that stand at gateways.
    pub calls: usize,
    /// REGISTERs that wait for the store.
    pub registers_pending: usize,
    /// Questions to the DNS.
    pub questions: usize,
}

impl Node {
    /// `index` is this node's number among those that share `shared`; every Via branch carries it.
    pub fn new(index: u16, config: Arc<Config>, shared: Arc<Shared>) -> Self {
        let mut transactions =
            TransactionLayer::new(index, shared.branch_seal.clone(), &config.timers);
        transactions.carry_large_by(Streams { config: config.clone(), shared: shared.clone() });
        let state = State {
            transactions,
            proxy: Proxy::default(),
            pending: Pending::default(),
            keepalive: Keepalive::default(),
            prober: Prober::default(),
            registrant: Registrant::default(),
            draining: false,
            happenings: Vec::new(),
            scratch: Vec::new(),
        };
        Self { config, shared, state }
    }

    /// Feeds one input; everything that follows from it is in `out` on return.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        if let Input::Config(config) = input {
            let shared = Arc::clone(&self.shared);
            self.state.transactions.carry_large_by(Streams { config: config.clone(), shared });
            self.config = config;
            let Self { config, shared, state } = self;
            let draining = state.draining;
            let turn = Turn { now, config, shared, draining, out };
            state.prober.configure(&turn);
            return state.registrant.configure(&turn);
        }
        let Self { config, shared, state } = self;
        let draining = state.draining;
        state.handle(&mut Turn { now, config, shared, draining, out }, input);
    }

    /// When `handle` wants to be called at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let State { transactions, proxy, keepalive, prober, registrant, .. } = &self.state;
        let deadlines = [
            transactions.next_deadline(),
            proxy.next_deadline(),
            keepalive.next_deadline(),
            prober.next_deadline(),
            registrant.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Bindings this node pings.
    pub const fn watched(&self) -> usize {
        self.state.keepalive.len()
    }

    pub fn sizes(&self) -> Sizes {
        let State { transactions, proxy, pending, .. } = &self.state;
        Sizes {
            transactions: transactions.len(),
            transactions_live: transactions.live_len(),
            timers: transactions.timers_len(),
            contexts: proxy.len(),
            contexts_active: proxy.len(),
            timers_c: proxy.timers_len(),
            steps: proxy.steps_len(),
            calls: proxy.calls_len(),
            registers_pending: pending.len(),
            questions: proxy.questions_len(),
        }
    }
}

impl State {
    fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        match input {
            Input::Message { flow, bytes } => self.message(turn, flow, bytes),
            Input::SendFailed { token } => {
                let second =
                    |request: &Request, flow: &Flow| locate::second_way(turn.config, request, flow);
                if !self.transactions.fall_back(turn.now, token, turn.out)
                    && !self.transactions.resend(token, second, turn.out)
                {
                    self.transactions.send_failed(turn.now, token, turn.out);
                }
            }
            Input::Unreachable { token, remote } => {
                self.transactions.unreachable(turn.now, token, remote, turn.out);
            }
            Input::Answer { ask, answer: Answer::Resolved(resolution) } => {
                let Self { proxy, prober, registrant, transactions, .. } = self;
                let is_known = ask.0 & ASKS != 0
                    && (prober.resolved(turn, transactions, ask, &resolution)
                        || registrant.resolved(turn, transactions, ask, &resolution));
                if !is_known {
                    proxy.resolved(turn, transactions, ask, resolution);
                }
            }
            Input::Answer { ask, answer } => {
                self.pending.answer(turn, ask, answer, &mut self.scratch);
            }
            Input::Command(command) => return self.obey(turn, command),
            // Who still names the connection learns it from `SendFailed`.
            Input::FlowClosed { .. } | Input::Tick | Input::Config(_) => {}
        }
        self.advance(turn);
    }

    /// Whoever commands may be on his way to other nodes, and carries nothing out: what is due waits for its tick.
    fn obey(&mut self, turn: &mut Turn<'_>, command: Command) {
        match command {
            Command::Drain => self.draining = true,
            Command::Watch(bindings) => {
                for watched in bindings {
                    self.keepalive.watch(turn, watched);
                }
            }
            Command::Tend { nodes } => {
                let node = self.transactions.node();
                self.prober.appoint(turn, Place { node, nodes });
                self.registrant.appoint(turn, Place { node, nodes });
            }
            Command::Probe { gateway } => {
                self.prober.ask_now(turn, &gateway);
            }
        }
    }

    /// Fires what is due. What the transactions have to tell may make them tell more.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        self.keepalive.tick(turn);
        self.proxy.tick(turn, &mut self.transactions);
        self.prober.tick(turn, &mut self.transactions);
        self.registrant.tick(turn, &mut self.transactions);
        loop {
            if self.proxy.is_asking() {
                self.proxy.go_on(turn, &mut self.transactions, onward::go_on);
            }
            self.transactions.tick(turn.now, turn.out, &mut self.happenings);
            if self.happenings.is_empty() {
                return;
            }
            for happening in self.happenings.drain(..) {
                match happening {
                    Happening::ClientTimeout { context, .. }
                    | Happening::TransportError { context, .. }
                        if context.0 >= probe::CONTEXTS =>
                    {
                        match context.0 {
                            REGISTRATIONS.. => self.registrant.failed(turn, context),
                            _ => self.prober.failed(turn, context),
                        }
                    }
                    _ => self.proxy.happening(turn, &mut self.transactions, happening),
                }
            }
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, flow: Flow, bytes: Bytes) {
        if !limit::hears(turn, &flow) {
            return;
        }
        match Message::parse(bytes) {
            // RFC 3261 §18.3: on a stream a request without Content-Length has no end; what came is only its head.
            Ok(Message::Request(request)) if flow.transport.is_reliable() => {
                match request.check_stream() {
                    Ok(()) => self.request(turn, &flow, request),
                    Err(error) => {
                        let request = Some(Box::new(request));
                        self.malformed(turn, &flow, Malformed { error, request });
                    }
                }
            }
            Ok(Message::Request(request)) => self.request(turn, &flow, request),
            Ok(Message::Response(response)) => self.response(turn, &flow, response),
            Err(malformed) => self.malformed(turn, &flow, malformed),
        }
    }

    fn request(&mut self, turn: &mut Turn<'_>, flow: &Flow, mut request: Request) {
        nat::stamp(&mut request, flow);
        match self.transactions.receive_request(turn.now, &request, flow, turn.out) {
            Matched::Retransmission | Matched::Ack => {}
            Matched::AckForTwoXx => self.acknowledge(turn, flow, request),
            Matched::Cancel { context, .. } => {
                if self.proxy.cancel(turn, &mut self.transactions, context, flow) {
                    let wire = reply::ok(turn, &request, b"", &mut self.scratch);
                    turn.out.send(*flow, wire);
                } else {
                    self.reject(turn, flow, &request, &Rejection::does_not_exist());
                }
            }
            Matched::CancelUnmatched => {
                // RFC 3261 §16.10, §9.2: we forward no INVITE without a transaction, so there is nothing to cancel.
                if limit::admits(turn, flow) {
                    self.reject(turn, flow, &request, &Rejection::does_not_exist());
                }
            }
            Matched::New(key) => {
                if let Err(rejection) = self.serve(turn, flow, &mut request, key) {
                    self.reject(turn, flow, &request, &rejection);
                }
            }
            Matched::Unreadable(error) => {
                if limit::admits(turn, flow) {
                    self.reject(turn, flow, &request, &screen::syntax(error));
                }
            }
        }
    }

    fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        flow: &Flow,
        request: &mut Request,
        key: ServerKey,
    ) -> Result<(), Rejection> {
        match route::route(turn, flow, request)? {
            Verdict::Drop => Ok(()),
            Verdict::Forward(plan) => {
                self.proxy.forward(turn, &mut self.transactions, key, request, flow, &plan)
            }
            Verdict::Redirect(contacts) => {
                let wire = redirect::answer(turn, request, &contacts, &mut self.scratch);
                turn.out.send(*flow, wire);
                let call_id = String::from_utf8_lossy(request.call_id().unwrap_or_default()).into();
                turn.out.events.push(Event::Redirected { flow: *flow, call_id });
                Ok(())
            }
            Verdict::Respond(answer) => {
                let (status, reason) = (answer.status, answer.reason.as_bytes());
                let line = (status, reason);
                let wire = reply::with_lines(turn, request, line, b"", &mut self.scratch);
                turn.out.send(*flow, wire);
                Ok(())
            }
            Verdict::Answer if request.method() == Method::Options => {
                let wire = reply::ok(turn, request, options::LINES, &mut self.scratch);
                turn.out.send(*flow, wire);
                Ok(())
            }
            Verdict::Answer => Err(ua::refuse(request)),
            Verdict::Register(aor) => {
                self.pending.admit()?;
                let (config, shared) = (turn.config, turn.shared);
                let registered = registrar::register(turn.now, aor, request, flow, config, shared)?;
                for watched in &registered.watched {
                    self.keepalive.watch(turn, *watched);
                }
                self.pending.grant(turn, flow, request, registered, &mut self.scratch);
                Ok(())
            }
        }
    }

    /// RFC 3261 §17: nothing is ever answered to an ACK; one that leads nowhere just ends.
    fn acknowledge(&mut self, turn: &mut Turn<'_>, flow: &Flow, mut request: Request) {
        // That of a stateless refusal of ours has our tag.
        let tag = request.to().ok().and_then(|to| to.tag());
        if tag.is_some_and(|tag| *tag == reply::tag(turn, &request)) {
            return;
        }
        if let Ok(Verdict::Forward(plan)) = route::route(turn, flow, &mut request) {
            let plan: &Plan = &plan;
            let second =
                plan.steps.first().and_then(|step| step.targets.first()).and_then(|target| {
                    match &target.next {
                        Next::Flow(flow) => locate::second_way(turn.config, &request, flow),
                        Next::Name(_) => None,
                    }
                });
            self.proxy.acknowledge(turn, &request, flow, plan, second);
        }
    }

    /// A response finds its fork by our own branch. What finds none is dropped: RFC 6026 §7.3 forbids to forward it,
    /// and its sender repeats a 2xx that matters until the caller's ACK, which is not ours to send.
    fn response(&mut self, turn: &mut Turn<'_>, flow: &Flow, mut response: Response) {
        let received = self.transactions.receive_response(turn.now, &response, turn.out);
        if turn.config.nat.contact_alias {
            let ours = |uri: &Uri<'_>| own::names_us(turn.config, uri);
            alias::add_to_response(&turn.shared.seal, &mut response, flow, ours);
        }
        let response = &response;
        match received {
            Received::Delivered(delivered) if delivered.context.0 >= probe::CONTEXTS => {
                let (context, client) = (delivered.context, delivered.client);
                if context.0 >= REGISTRATIONS {
                    let who = (context, client);
                    self.registrant.response(turn, &mut self.transactions, who, response);
                } else {
                    self.prober.response(turn, context, client, response.status());
                }
            }
            Received::Delivered(delivered) => {
                self.proxy.response(turn, &mut self.transactions, delivered, response);
            }
            Received::Repeated { server } => {
                self.proxy.repeat(turn, &mut self.transactions, server, response);
            }
            Received::Unmatched => keepalive::answer(turn, response),
            Received::Absorbed | Received::Stray => {}
        }
    }

    fn malformed(&mut self, turn: &mut Turn<'_>, flow: &Flow, malformed: Malformed) {
        refusal::malformed(turn, flow, malformed, &mut self.scratch);
    }

    fn reject(&mut self, turn: &mut Turn<'_>, flow: &Flow, request: &Request, why: &Rejection) {
        refusal::reject(turn, flow, request, why, &mut self.scratch);
    }
}
