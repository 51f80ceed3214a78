//! `Exchange`: one request of ours until it has its answer, through every try: the addresses of its next hop (RFC 3263
//! §4.3), challenges (RFC 3261 §22), redirections (§8.1.3.4). Its owner hears of the outcome, never of a try.

use std::collections::VecDeque;

use bytes::Bytes;
use sip_message::{Method, NameAddr, Response, Uri};

use crate::auth::client::{Asked, Subject as Proven, Trust};
use crate::flow::Flow;
use crate::limits;
use crate::output::AskId;
use crate::time::Instant;
use crate::transaction::{ClientId, ContextId, Kind};

use super::command::{CallId, RequestId, ResolveFailure};
use super::draft::Draft;
use super::event::{Failure, Subject};
use super::locate::NextHop;
use super::outbox::Resolve;
use super::redirect::Redirects;
use super::settings::Settings;
use super::stack::Turn;

/// Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ExchangeId(u64);

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Registration,
    /// A REGISTER that only asks.
    Query,
    Request(RequestId),
    /// The INVITE that makes a call.
    Invite(CallId),
    /// A request inside a dialog.
    Inside(CallId, Purpose),
    /// The ACK of a 2xx: no transaction (RFC 3261 §13.2.2.4). Whose 2xx it is.
    Ack(ExchangeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Reinvite,
    Update,
    /// RFC 4028 §7.4: an UPDATE without offer.
    Refresh,
    Prack,
    Bye,
    Refer,
    Notify,
    Info,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    Response(&'a Response),
    Failure(&'a Failure),
}

/// An ACK that was sent, or waits for the answer that it shall carry.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub tag: Box<[u8]>,
    pub sent: Option<(Flow, Bytes)>,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub draft: Draft,
    pub owner: Owner,
    /// The URI that says where it is sent, unless an outbound proxy takes it.
    pub next: Box<[u8]>,
    pub hop: Option<NextHop>,
    pub flows: VecDeque<Flow>,
    pub flow: Option<Flow>,
    pub client: Option<ClientId>,
    pub context: Option<ContextId>,
    pub ask: Option<AskId>,
    pub asked: Asked,
    /// The credentials it was last sent with: the ACK of its 2xx carries the same (RFC 3261 §22.1).
    pub proof: Vec<u8>,
    pub redirects: Redirects,
    /// Nothing is tried again.
    pub is_cancelled: bool,
    pub began: Instant,
    pub tries: u32,
    /// Of an INVITE: the 2xx that were acknowledged, by their To tags.
    pub acks: Vec<Acknowledged>,
}

impl Exchange {
    fn new(draft: Draft, next: &[u8], owner: Owner, now: Instant) -> Self {
        let redirects = Redirects::starting_at(&draft.uri);
        Self {
            draft,
            owner,
            next: next.into(),
            hop: None,
            flows: VecDeque::new(),
            flow: None,
            client: None,
            context: None,
            ask: None,
            asked: Asked::default(),
            proof: Vec::new(),
            redirects,
            is_cancelled: false,
            began: now,
            tries: 0,
            acks: Vec::new(),
        }
    }

    pub fn is_inside(&self) -> bool {
        matches!(self.owner, Owner::Inside(..) | Owner::Ack(_))
    }

    pub fn subject(&self) -> Option<Subject> {
        match self.owner {
            Owner::Registration | Owner::Query => Some(Subject::Registration),
            Owner::Request(request) => Some(Subject::Request(request)),
            Owner::Invite(call) | Owner::Inside(call, _) => Some(Subject::Call(call)),
            Owner::Nobody | Owner::Ack(_) => None,
        }
    }

    /// RFC 3261 §22: whose challenges are answered. See [`Trust`].
    pub fn trust<'a>(&'a self, settings: &Settings) -> Trust<'a> {
        if self.is_inside() || self.owner == Owner::Nobody {
            return Trust::Known;
        }
        let host = Uri::parse(&self.draft.uri).map_or(&b""[..], |uri| uri.host_bytes);
        let home = Uri::parse(settings.aor.as_bytes()).map_or(&b""[..], |uri| uri.host_bytes);
        let by_proxy = settings.proxy.is_some() && self.draft.routes.is_empty();
        let is_register = matches!(self.owner, Owner::Registration | Owner::Query);
        if by_proxy || is_register || host.eq_ignore_ascii_case(home) {
            return Trust::Ours;
        }
        Trust::Host(host)
    }
}

impl Turn<'_> {
    /// Sends a request; `next` is the URI it goes to unless an outbound proxy takes everything. Failures come at the end
    /// of the turn.
    pub fn send(&mut self, draft: Draft, next: &[u8], owner: Owner) -> ExchangeId {
        let id = ExchangeId(self.stack.number());
        let exchange = Exchange::new(draft, next, owner, self.now);
        let is_full = self.stack.exchanges.len() >= limits::EXCHANGES.max;
        self.stack.exchanges.insert(id, exchange);
        if is_full {
            self.fail(id, Failure::Limit { limit: limits::EXCHANGES.name });
        } else {
            self.locate(id);
        }
        id
    }

    pub fn fail(&mut self, id: ExchangeId, why: Failure) {
        self.stack.failed.push_back((id, why));
    }

    /// RFC 3261 §8.1.2: the first Route, the outbound proxy, or the Request-URI.
    pub fn locate(&mut self, id: ExchangeId) {
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        let by_proxy = exchange.draft.routes.is_empty();
        let hop = match &self.settings.proxy {
            Some(proxy) if by_proxy => Some(proxy.clone()),
            _ => Uri::parse(&exchange.next).ok().and_then(|uri| NextHop::of(&uri)),
        };
        exchange.hop.clone_from(&hop);
        let flow = hop.as_ref().map(|hop| hop.flow(&self.settings.listeners));
        match (hop, flow) {
            (Some(_), Some(Some(Some(flow)))) => {
                exchange.flows = [flow].into();
                self.transmit(id);
            }
            (Some(hop), Some(None)) => {
                let ask = AskId(self.stack.number());
                if let Some(exchange) = self.stack.exchanges.get_mut(&id) {
                    exchange.ask = Some(ask);
                }
                self.stack.resolves.insert(ask, id);
                self.out.resolves.push(Resolve { ask, hop });
            }
            _ => {
                let uri = String::from_utf8_lossy(&exchange.next).into_owned().into();
                self.fail(id, Failure::Unreachable { uri });
            }
        }
    }

    /// The shell has answered.
    pub fn resolved(&mut self, ask: AskId, flows: Result<Vec<Flow>, ResolveFailure>) {
        let Some(id) = self.stack.resolves.remove(&ask) else { return };
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        exchange.ask = None;
        let host = exchange.hop.as_ref().map_or("".into(), |hop| hop.to_string().into());
        match flows {
            Ok(flows) if !flows.is_empty() => {
                exchange.flows = flows.into_iter().take(limits::FORKS.max).collect();
                self.transmit(id);
            }
            Ok(_) => {
                let why = "it has no address that we can reach".into();
                self.fail(id, Failure::Unresolvable { host, why });
            }
            Err(ResolveFailure { why }) => self.fail(id, Failure::Unresolvable { host, why }),
        }
    }

    /// One try: to the next address, in a transaction of its own.
    pub fn transmit(&mut self, id: ExchangeId) {
        let now = self.now;
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        let Some(flow) = exchange.flows.pop_front() else { return };
        let kind = Kind::of(Method::of(exchange.draft.method.as_bytes()));
        let is_ack = matches!(exchange.owner, Owner::Ack(_));
        let context = self.stack.context();
        let reserved = self.stack.transactions.reserve(kind, context, 0, 0);
        let (client, branch) = match reserved {
            Ok(reserved) => reserved,
            Err(reached) => return self.fail(id, Failure::Limit { limit: reached.limit.name }),
        };
        let sent_by = self.settings.listeners.get(usize::from(flow.listener.0));
        let via = format!(
            "SIP/2.0/{} {};branch={branch:?};rport",
            flow.transport.via_token(),
            sent_by.map_or("invalid.invalid", |listener| &*listener.advertised),
        );
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        exchange.flow = Some(flow);
        exchange.tries += 1;
        if !is_ack {
            exchange.proof.clear();
            let unasked = !exchange.is_inside();
            let (method, uri) = (exchange.draft.method.as_bytes(), &*exchange.draft.uri);
            let proven = Proven { method, uri, flow: &flow, unasked };
            let mint = &mut self.stack.mint;
            let keyring = &mut self.stack.keyring;
            keyring.authorize(&proven, &exchange.asked, || mint.cnonce(), &mut exchange.proof);
        }
        let wire = exchange.draft.write(&via, &exchange.proof);
        if is_ack {
            // RFC 3261 §17.1.1.3: the ACK of a 2xx is outside of every transaction; its branch is its own.
            self.stack.transactions.release(client);
            return self.acknowledged(id, flow, wire);
        }
        exchange.client = Some(client);
        exchange.context = Some(context);
        self.stack.clients.insert(context, Some(id));
        self.stack.transactions.send(now, client, flow, wire, &mut self.stack.wire);
    }

    /// Sends the ACK of a 2xx and keeps it: each repetition of the 2xx gets it again (RFC 3261 §13.2.2.4).
    fn acknowledged(&mut self, id: ExchangeId, flow: Flow, wire: Bytes) {
        let Some(exchange) = self.stack.exchanges.remove(&id) else { return };
        let Owner::Ack(invite) = exchange.owner else { return };
        self.stack.wire.send(flow, wire.clone());
        let tag = NameAddr::parse(&exchange.draft.to).ok().and_then(|to| to.tag());
        let Some(invite) = self.stack.exchanges.get_mut(&invite) else { return };
        if let Some(ack) = invite.acks.iter_mut().find(|ack| Some(&*ack.tag) == tag) {
            ack.sent = Some((flow, wire));
        }
    }

    /// Sends the ACK of a 2xx to `invite`, with the credentials of the INVITE (RFC 3261 §13.2.2.4).
    pub fn acknowledge(&mut self, draft: Draft, next: &[u8], invite: ExchangeId) {
        let id = ExchangeId(self.stack.number());
        let mut exchange = Exchange::new(draft, next, Owner::Ack(invite), self.now);
        if let Some(invite) = self.stack.exchanges.get(&invite) {
            exchange.proof.clone_from(&invite.proof);
        }
        self.stack.exchanges.insert(id, exchange);
        self.locate(id);
    }
}
