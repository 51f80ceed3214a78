//! A target that is a name (RFC 3263): its addresses are found out, and one after the other is tried within the same fork
//! (§4.3): the next one when the network, silence or a 503 says that this one is no good. Each try is a client transaction
//! with a branch of its own. Whoever was silent is still listened to: should it speak after all, an INVITE is cancelled,
//! and a 2xx counts like any other.
//!
//! It never waits: what is not known is asked for, and goes on when the answer comes.

use hashbrown::HashMap;
use sip_message::Request;

use super::best::Best;
use super::forward::{Copy, RouteRecord};
use super::{Extra, Fork, Plan, Proxy, ResponseContext, TargetUri};
use crate::flow::Flow;
use crate::limits;
use crate::locate::{Destination, Found, Needs, Query, Resolution, Search, Sought, Why};
use crate::output::{Ask, AskId, Event, Question, Transmit};
use crate::seal::Purpose;
use crate::time::Instant;
use crate::transaction::{ContextId, TransactionLayer};
use crate::turn::Turn;

/// What is kept of a fork to a name as long as there may be somebody else to turn to.
#[derive(Debug)]
pub(super) struct Hop {
    search: Search,
    uri: TargetUri,
    /// As the rooms have left it.
    request: Request,
    /// Without its steps.
    plan: Plan,
    extra: Extra,
    /// How many copies those who are still to be tried may become (RFC 5393 §5.3).
    pub breadth: u8,
    /// Who was tried before, and how that failed.
    failed: Option<(Flow, u16)>,
}

/// A fork that has nobody to send to yet.
#[derive(Debug)]
pub(super) struct Seeking {
    ask: AskId,
    pub hop: Box<Hop>,
    /// It is looked for because this fork is silent, which may still speak.
    silent: Option<u16>,
}

/// What the node has asked the DNS.
#[derive(Debug, Default)]
pub(super) struct Questions {
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    query: Query,
    who: Who,
}

#[derive(Debug)]
enum Who {
    Context(ContextId),
    Ack(Box<Acknowledgement>),
}

/// The ACK of a 2xx, whose next hop is a name.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    search: Search,
    uri: TargetUri,
    request: Request,
    inbound: Flow,
    plan: Plan,
}

impl Questions {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    fn are_too_many(&self, turn: &mut Turn<'_>) -> bool {
        let limit = limits::QUESTIONS;
        if self.waiting.len() < limit.max {
            return false;
        }
        turn.out.events.push(Event::LimitHit { limit: limit.name, flow: None });
        true
    }

    fn ask(&mut self, turn: &mut Turn<'_>, query: Query, until: Instant, who: Who) -> AskId {
        // With the time in it: an answer to a question of this node's predecessor, which panicked, finds nobody.
        self.last = turn.now.0.max(self.last + 1);
        let id = AskId(self.last);
        let question = Question::Resolve { query: query.clone(), until };
        turn.out.asks.push(Ask { id, question });
        self.waiting.insert(self.last, Waiting { query, who });
        id
    }
}

impl Hop {
    pub fn new(
        turn: &Turn<'_>,
        sought: &Sought,
        uri: &TargetUri,
        extra: &Extra,
        (request, plan, breadth): (&Request, &Plan, u8),
    ) -> Box<Self> {
        Box::new(Self {
            search: search(turn, request, sought),
            uri: uri.clone(),
            request: request.clone(),
            plan: plan.without_steps(),
            extra: extra.clone(),
            breadth,
            failed: None,
        })
    }

    /// The part of the breadth that the next one gets: half of it, as long as others may come after. A server that said
    /// 503 may have made copies before, so it keeps its part: one request never becomes more than its Max-Breadth.
    fn take_breadth(&mut self) -> u8 {
        let part = if self.search.has_more() { self.breadth.div_ceil(2) } else { self.breadth };
        self.breadth -= part;
        part
    }
}

/// RFC 3263 §4.4: of several equals, every message of a call takes the same.
fn search(turn: &Turn<'_>, request: &Request, sought: &Sought) -> Search {
    let call_id = request.call_id().unwrap_or_default();
    let key = turn.shared.seal.mac(Purpose::Path, &[call_id]);
    Search::new(sought, key, turn.config)
}

const fn destination(flow: &Flow) -> Destination {
    Destination { transport: flow.transport, address: flow.remote }
}

/// What a name that leads nowhere earns.
const fn status(why: Why) -> u16 {
    match why {
        Why::Ourselves => 482,
        Why::NotFound | Why::NoTransport | Why::Local | Why::NotAnswered => 478,
    }
}

impl Proxy {
    /// Begins a fork to a name.
    pub(super) fn seek(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
        mut hop: Box<Hop>,
    ) {
        let needs = hop.search.next(turn.now, turn.config, &turn.shared.hops);
        self.pursue(turn, transactions, context, hop, needs, None);
    }

    /// Does what the search says, until a request is on its way, a question is, or nobody is left.
    fn pursue(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
        mut hop: Box<Hop>,
        mut needs: Needs,
        silent: Option<u16>,
    ) {
        loop {
            let hops = &turn.shared.hops;
            needs = match needs {
                Needs::Query(query, until) => {
                    if self.questions.are_too_many(turn) {
                        hop.search.answer(turn.now, turn.config, hops, (&Found::Failed, true))
                    } else {
                        let who = Who::Context(context.name);
                        let ask = self.questions.ask(turn, query, until, who);
                        return context.seeking.push(Seeking { ask, hop, silent });
                    }
                }
                Needs::Try(to) => match turn.config.flow_to(to.transport, to.address) {
                    Some(flow) => {
                        return self.try_next(turn, transactions, context, hop, flow, silent);
                    }
                    None => hop.search.next(turn.now, turn.config, hops),
                },
                // The silent one is all there is: it has its full time.
                Needs::End(_) if silent.is_some() => return,
                Needs::End(why) => {
                    if hop.failed.is_none() {
                        unresolved(turn, &hop.request, why);
                    }
                    let status = hop.failed.map_or(status(why), |(_, status)| status);
                    let fork = u16::try_from(context.forks.len()).unwrap_or(u16::MAX);
                    return context.consider(Best { status, fork, wire: None });
                }
            };
        }
    }

    /// Sends the request to one more destination.
    fn try_next(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
        mut hop: Box<Hop>,
        flow: Flow,
        silent: Option<u16>,
    ) {
        if let Some(fork) = silent.and_then(|at| context.forks.get_mut(usize::from(at))) {
            fork.ended = true;
            fork.timed_out = true;
            if let Some(timer) = fork.timer_c.take() {
                self.timer_c.stop(timer);
            }
            transactions.give_up(turn.now, fork.client, turn.out);
            hop.breadth += core::mem::take(&mut fork.breadth);
        }
        let breadth = hop.take_breadth();
        if let Some((from, status)) = hop.failed {
            let call_id = text(hop.request.call_id().unwrap_or_default());
            turn.out.events.push(Event::FailedOver { call_id, from, to: flow, status });
        }
        let at = u16::try_from(context.forks.len()).unwrap_or(u16::MAX);
        let route =
            RouteRecord::new(turn, &hop.request, &hop.plan, &context.flow, context.arrived_at);
        let copy = Copy {
            request: &hop.request,
            plan: &hop.plan,
            uri: &hop.uri,
            extra: &hop.extra,
            inbound: &context.flow,
            outbound: &flow,
            route: &route,
            breadth: Some(breadth),
        };
        let Some(client) = self.fork(turn, transactions, context.name, at, &copy) else {
            return context.consider(Best { status: 503, fork: at, wire: None });
        };
        if hop.search.has_more() {
            transactions.expect_soon(turn.now, client);
        }
        let deadline = turn.now + turn.config.timers.timer_c;
        let timer_c = context.invite.then(|| self.timer_c.arm(deadline, context.name, at));
        let fork = Fork::new(client, flow, timer_c, breadth);
        let trunk = hop.extra.trunk.clone();
        context.forks.push(Fork { is_named: true, trunk, hop: Some(hop), ..fork });
    }

    /// RFC 3263 §4.3: this one is no good; whether somebody else of the same name is tried, or looked for, instead.
    pub(super) fn fail_over(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
        at: u16,
        (status, reached): (u16, bool),
    ) -> bool {
        let Some((flow, mut hop, needs)) = self.next_hop(turn, name, at, reached) else {
            return false;
        };
        if matches!(needs, Needs::End(_)) || hop.breadth == 0 {
            return false;
        }
        hop.failed = Some((flow, status));
        self.end_fork(name, at);
        if let Some(mut context) = self.contexts.remove(&name) {
            self.pursue(turn, transactions, &mut context, hop, needs, None);
            self.contexts.insert(name, context);
        }
        self.settle(turn, transactions, name);
        true
    }

    /// The same for one that has not said a word yet. It is not given up before there is somebody else.
    pub(super) fn is_silent(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
        at: u16,
    ) {
        const SILENT: u16 = 408;
        let Some((flow, mut hop, needs)) = self.next_hop(turn, name, at, true) else { return };
        hop.failed = Some((flow, SILENT));
        if let Some(mut context) = self.contexts.remove(&name) {
            self.pursue(turn, transactions, &mut context, hop, needs, Some(at));
            self.contexts.insert(name, context);
        }
        self.settle(turn, transactions, name);
    }

    /// Takes what a fork keeps for its successor, and remembers for all calls that this destination has failed. One that
    /// was not reached made no copies.
    fn next_hop(
        &mut self,
        turn: &mut Turn<'_>,
        name: ContextId,
        at: u16,
        reached: bool,
    ) -> Option<(Flow, Box<Hop>, Needs)> {
        let fork = self.active(name)?.forks.get_mut(usize::from(at))?;
        let (flow, mut hop) = (fork.flow, fork.hop.take()?);
        if !reached {
            hop.breadth += core::mem::take(&mut fork.breadth);
        }
        let hops = &turn.shared.hops;
        hops.failed(turn.now, destination(&flow));
        let needs = hop.search.next(turn.now, turn.config, hops);
        Some((flow, hop, needs))
    }

    /// The DNS has spoken. An answer to a question nobody has asked is ignored.
    pub fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        ask: AskId,
        resolution: Resolution,
    ) {
        let Some(Waiting { query, who }) = self.questions.waiting.remove(&ask.0) else { return };
        let hops = &turn.shared.hops;
        let is_silent = resolution == Resolution::Failed;
        // For everybody, also when whoever asked has gone.
        let found = hops.store(turn.now, query, resolution);
        let name = match who {
            Who::Context(name) => name,
            Who::Ack(mut ack) => {
                let needs = ack.search.answer(turn.now, turn.config, hops, (&found, is_silent));
                return self.acknowledge_on(turn, ack, needs);
            }
        };
        let Some(mut context) = self.contexts.remove(&name) else { return };
        if let Some(at) = context.seeking.iter().position(|seeking| seeking.ask == ask) {
            let Seeking { mut hop, silent, .. } = context.seeking.remove(at);
            let needs = hop.search.answer(turn.now, turn.config, hops, (&found, is_silent));
            self.pursue(turn, transactions, &mut context, hop, needs, silent);
        }
        self.contexts.insert(name, context);
        self.settle(turn, transactions, name);
    }

    /// The ACK of a 2xx goes to a name: to the first destination, for nobody would tell that it has failed.
    pub(super) fn acknowledge_name(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request,
        inbound: &Flow,
        plan: &Plan,
        (sought, uri): (&Sought, &TargetUri),
    ) {
        let mut ack = Box::new(Acknowledgement {
            search: search(turn, request, sought),
            uri: uri.clone(),
            request: request.clone(),
            inbound: *inbound,
            plan: plan.without_steps(),
        });
        let needs = ack.search.next(turn.now, turn.config, &turn.shared.hops);
        self.acknowledge_on(turn, ack, needs);
    }

    fn acknowledge_on(
        &mut self,
        turn: &mut Turn<'_>,
        mut ack: Box<Acknowledgement>,
        mut needs: Needs,
    ) {
        loop {
            let hops = &turn.shared.hops;
            needs = match needs {
                Needs::Query(query, until) => {
                    if !self.questions.are_too_many(turn) {
                        self.questions.ask(turn, query, until, Who::Ack(ack));
                        return;
                    }
                    ack.search.answer(turn.now, turn.config, hops, (&Found::Failed, true))
                }
                Needs::Try(to) => match turn.config.flow_to(to.transport, to.address) {
                    Some(flow) => {
                        let Acknowledgement { request, inbound, plan, uri, .. } = &*ack;
                        let bytes = self.ack_copy(turn, request, inbound, plan, uri, &flow);
                        return turn.out.transmits.extend(bytes.map(|bytes| Transmit {
                            flow,
                            bytes,
                            token: None,
                            second: None,
                        }));
                    }
                    None => ack.search.next(turn.now, turn.config, hops),
                },
                Needs::End(why) => return unresolved(turn, &ack.request, why),
            };
        }
    }
}

impl ResponseContext {
    /// A fork has answered, whatever it was: nobody else is looked for in its place, and its destination is well.
    pub(super) fn has_spoken(&mut self, turn: &Turn<'_>, at: u16) {
        self.seeking.retain(|seeking| seeking.silent != Some(at));
        if let Some(fork) = self.forks.get(usize::from(at)).filter(|fork| fork.is_named) {
            turn.shared.hops.answered(&destination(&fork.flow));
        }
    }

    /// Nobody else of any name is tried.
    pub(super) fn stop_seeking(&mut self) {
        self.seeking.clear();
        for fork in &mut self.forks {
            fork.hop = None;
        }
    }
}

fn unresolved(turn: &mut Turn<'_>, request: &Request, why: Why) {
    let call_id = text(request.call_id().unwrap_or_default());
    let uri = text(request.uri_bytes());
    turn.out.events.push(Event::Unresolved { call_id, uri, why });
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}
