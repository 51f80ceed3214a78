//! Request forwarding (RFC 3261 §16.6): one server transaction, one copy and one client transaction per target. Also
//! the ACK of a 2xx, which is forwarded and forgotten (§16.11).
//!
//! It never touches a header that it has no reason to touch: everything else leaves byte for byte as it came.

use std::borrow::Cow;

use bytes::Bytes;
use sip_message::{Method, Name, Request, write};
use smallvec::SmallVec;

use super::hop::Hop;
use super::record_route::{self, Token, Ways};
use super::{
    Extra, Fork, Kind, Next, Plan, Proxy, RETRY_AFTER_FULL, ResponseContext, Target, TargetUri,
};
use crate::config::Listener;
use crate::flow::Flow;
use crate::limits;
use crate::nat::detect;
use crate::output::Transmit;
use crate::rejection::Rejection;
use crate::seal::Purpose;
use crate::time::Instant;
use crate::transaction::branch::SLOT_END;
use crate::transaction::{self, Branch, BranchParts, ContextId, ServerKey, TransactionLayer};
use crate::turn::Turn;

/// RFC 3261 §16.6 step 3: what a request without Max-Forwards gets, and the most any may have.
const MAX_FORWARDS: u8 = limits::HOPS.max as u8;

/// No node has this number: a branch with it belongs to an ACK, and no response finds anything by it.
const NO_NODE: u16 = u16::MAX;

/// Headers that end here: identities that others assert (RFC 3325 §5), and the breadth, which is divided anew.
const REMOVED: &[Name] = &[Name::PAssertedIdentity, Name::PPreferredIdentity, Name::MaxBreadth];

/// The same, of a request that somebody passed on: Diversions are written anew, ours first (RFC 5806 §5).
const REMOVED_PASSED_ON: &[Name] =
    &[Name::PAssertedIdentity, Name::PPreferredIdentity, Name::MaxBreadth, Name::Diversion];

impl Proxy {
    /// Forwards `request` along `plan` with a transaction of its own.
    pub fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        key: ServerKey,
        request: &Request,
        flow: &Flow,
        plan: &Plan,
    ) -> Result<(), Rejection> {
        if plan.steps.first().is_some_and(|step| step.targets.len() > max_breadth(request)) {
            return Err(Rejection::max_breadth_exceeded());
        }
        let name = self.next_name();
        let server = transactions.accept(key, request, flow, name).map_err(|reached| {
            turn.out.events.push(reached.event(flow));
            Rejection::service_unavailable(RETRY_AFTER_FULL)
        })?;
        let method = request.method();
        let invite = method == Method::Invite;
        if invite {
            // RFC 3261 §17.2.1: within 200 ms; here, in the same batch as the forks.
            self.scratch.clear();
            write::response(request, 100, b"Trying", None, b"", b"", &mut self.scratch);
            let trying = Bytes::copy_from_slice(&self.scratch);
            transactions.respond(turn.now, server, 100, trying, turn.out);
        }
        let mut context = ResponseContext {
            name,
            server,
            invite,
            bye: method == Method::Bye,
            kind: plan.kind,
            answered: false,
            rang: false,
            cancels: plan.cancels,
            cancelled: false,
            arrived_at: turn.now,
            request: request.bytes().clone(),
            flow: *flow,
            forks: SmallVec::new(),
            seeking: Vec::new(),
            step_at: 0,
            best: None,
            earlier: None,
            rest: None,
        };
        self.first_step(turn, transactions, &mut context, request, plan);
        let refused = !context.is_pending();
        self.contexts.insert(name, Box::new(context));
        if refused && !self.next_step(turn, transactions, name) {
            // The transaction exists already, so it carries the refusal.
            self.conclude(turn, transactions, name);
        }
        Ok(())
    }

    /// Sends the request to every target of step `at`, as far as the breadth allows.
    pub(super) fn send_step(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
        request: &Request,
        plan: &Plan,
        at: usize,
    ) {
        let Some(step) = plan.steps.get(at) else { return };
        let (name, invite, flow) = (context.name, context.invite, context.flow);
        let breadth = Breadth::new(context.breadth_for(request, plan, at), step.targets.len());
        let route = RouteRecord::new(turn, request, plan, &flow, context.arrived_at);
        for (place, target) in step.targets.iter().enumerate() {
            let Some(breadth) = breadth.of(place) else { break };
            let (uri, extra) = (&target.uri, &step.extra);
            let outbound = match &target.next {
                Next::Flow(flow) => *flow,
                Next::Name(sought) => {
                    let hop = Hop::new(turn, sought, uri, extra, (request, plan, breadth));
                    self.seek(turn, transactions, context, hop);
                    continue;
                }
            };
            let (inbound, outbound, route) = (&flow, &outbound, &route);
            let copy = Copy {
                request,
                plan,
                uri,
                extra,
                inbound,
                outbound,
                route,
                breadth: Some(breadth),
            };
            let at = u16::try_from(context.forks.len()).unwrap_or(u16::MAX);
            let Some(client) = self.fork(turn, transactions, name, at, &copy) else { break };
            let deadline = turn.now + turn.config.timers.timer_c;
            let timer_c = invite.then(|| self.timer_c.arm(deadline, name, at));
            let fork = Fork::new(client, *outbound, timer_c, breadth);
            context.forks.push(Fork { trunk: extra.trunk.clone(), ..fork });
        }
    }

    /// One copy of the request, on its way. `None`: no transaction is left to carry it.
    pub(super) fn fork(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: ContextId,
        at: u16,
        copy: &Copy<'_>,
    ) -> Option<transaction::ClientId> {
        let kind = transaction::Kind::of(copy.request.method());
        let listener = turn.config.listener(copy.outbound.listener)?;
        let (client, branch) = transactions.reserve(kind, context, at, copy.plan.loop_hash).ok()?;
        self.scratch.clear();
        copy.write(turn, listener, &branch, &mut self.pieces, &mut self.scratch);
        let wire = Bytes::copy_from_slice(&self.scratch);
        transactions.send(turn.now, client, *copy.outbound, wire, turn.out);
        Some(client)
    }

    /// The ACK of a 2xx (RFC 3261 §16.11, §17.1.1.3): no transaction, no answer. The same ACK leaves with the same
    /// branch each time. `second`: where it goes when the connection is gone that should carry it.
    pub fn acknowledge(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request,
        flow: &Flow,
        plan: &Plan,
        second: Option<Flow>,
    ) {
        let Some(step) = plan.steps.first() else { return };
        for Target { uri, next, .. } in &step.targets {
            match next {
                Next::Name(sought) => {
                    self.acknowledge_name(turn, request, flow, plan, (sought, uri));
                }
                Next::Flow(outbound) => {
                    let bytes = self.ack_copy(turn, request, flow, plan, uri, outbound);
                    let transmit = |bytes| Transmit { flow: *outbound, bytes, token: None, second };
                    turn.out.transmits.extend(bytes.map(transmit));
                }
            }
        }
    }

    pub(super) fn ack_copy(
        &mut self,
        turn: &Turn<'_>,
        request: &Request,
        inbound: &Flow,
        plan: &Plan,
        uri: &TargetUri,
        outbound: &Flow,
    ) -> Option<Bytes> {
        let listener = turn.config.listener(outbound.listener)?;
        let branch = stateless_branch(turn, request, plan.loop_hash);
        let route = &RouteRecord::new(turn, request, plan, inbound, turn.now);
        let extra = &Extra::NOTHING;
        let copy = Copy { request, plan, uri, extra, inbound, outbound, route, breadth: None };
        self.scratch.clear();
        copy.write(turn, listener, &branch, &mut self.pieces, &mut self.scratch);
        Some(Bytes::copy_from_slice(&self.scratch))
    }
}

/// RFC 3261 §16.11: a function of what came, so that a repetition is one.
fn stateless_branch(turn: &Turn<'_>, request: &Request, loop_hash: u32) -> Branch {
    let via = request.via().ok();
    let branch = via.as_ref().and_then(|via| via.branch).unwrap_or_default();
    let call_id = request.call_id().unwrap_or_default();
    let hash = turn.shared.seal.mac(Purpose::Branch, &[b"ack", branch, call_id]);
    let parts = BranchParts {
        node: NO_NODE,
        slot: (hash >> 40) as u32 % SLOT_END,
        generation: hash as u32 & 0xf_ffff,
        fork: 0,
        loop_hash,
    };
    Branch::new(&turn.shared.branch_seal, parts)
}

/// One copy of a request.
pub(super) struct Copy<'a> {
    pub request: &'a Request,
    pub plan: &'a Plan,
    pub uri: &'a TargetUri,
    pub extra: &'a Extra,
    pub inbound: &'a Flow,
    pub outbound: &'a Flow,
    pub route: &'a RouteRecord,
    pub breadth: Option<u8>,
}

impl Copy<'_> {
    /// `pieces` is where the new lines are put together, `out` where the copy goes.
    fn write(
        &self,
        turn: &Turn<'_>,
        listener: &Listener,
        branch: &Branch,
        pieces: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        pieces.clear();
        push_via(listener, branch, pieces);
        let via = pieces.len();
        let route = self.route.to(turn, self.request, self.uri, self.outbound);
        route.push(listener, pieces);
        let record = pieces.len();
        // Two when the request leaves by another of our addresses than it came by: each side gets one it can reach.
        if self.outbound.listener != self.inbound.listener
            && let Some(listener) = turn.config.listener(self.inbound.listener)
        {
            route.push(listener, pieces);
        }
        let records = pieces.len();
        self.push_lines(pieces);
        let piece = |from: usize, to: usize| pieces.get(from..to).unwrap_or_default();
        let both = [piece(via, record), piece(record, records)];
        let record_routes = match both {
            [[], _] => &[],
            [_, []] => both.get(..1).unwrap_or_default(),
            _ => &both[..],
        };
        let (request_uri, path) = match self.uri {
            TargetUri::Unchanged => (None, &[][..]),
            TargetUri::Contact(uri) => (Some(uri.as_bytes()), uri.path()),
            TargetUri::Other(uri) => (Some(&uri[..]), &[][..]),
        };
        let patch = write::Patch {
            request_uri,
            via: piece(0, via),
            record_routes,
            routes_popped: self.plan.own_routes,
            // RFC 3327 §5.3: the Path of the binding is the Route to it.
            route_prepended: Some(path).filter(|path| !path.is_empty()),
            max_forwards: max_forwards(self.request),
            removed: if self.extra.diversion.is_some() { REMOVED_PASSED_ON } else { REMOVED },
            header_lines: piece(records, pieces.len()),
        };
        write::forward(self.request, &patch, out);
    }

    /// Header lines that a copy gets and the original did not have.
    fn push_lines(&self, out: &mut Vec<u8>) {
        if let Some(breadth) = self.breadth {
            out.extend_from_slice(b"Max-Breadth: ");
            push_number(out, breadth.into());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.extra.diversion.as_deref().unwrap_or_default());
        out.extend_from_slice(self.extra.lines.as_deref().unwrap_or_default());
        if self.outbound.transport.is_reliable()
            && self.request.header(Name::ContentLength).is_none()
        {
            // RFC 3261 §16.6 step 9, §18.3: a stream needs it.
            let length = u32::try_from(self.request.body().len()).unwrap_or(u32::MAX);
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// RFC 3261 §16.6 step 3, and the clamp that bounds every loop we are part of.
fn max_forwards(request: &Request) -> u8 {
    match request.max_forwards() {
        Ok(Some(hops)) => {
            u8::try_from(hops.saturating_sub(1)).map_or(MAX_FORWARDS, |left| left.min(MAX_FORWARDS))
        }
        _ => MAX_FORWARDS,
    }
}

/// RFC 3261 §16.6 step 8.
pub(crate) fn push_via(listener: &Listener, branch: &Branch, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0/");
    out.extend_from_slice(listener.transport.via_token().as_bytes());
    out.push(b' ');
    out.extend_from_slice(listener.advertised.as_bytes());
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(branch.as_bytes());
}

/// RFC 3261 §16.6 step 4: whether and as what we stay on the path of the dialog.
#[derive(Clone)]
pub(super) struct RouteRecord {
    token: Option<Token>,
    ways: Ways,
    begun_at: Instant,
}

impl RouteRecord {
    pub(super) fn new(
        turn: &Turn<'_>,
        request: &Request,
        plan: &Plan,
        inbound: &Flow,
        begun_at: Instant,
    ) -> Self {
        let mut route = Self { token: None, ways: Ways::default(), begun_at };
        if matches!(plan.kind, Kind::Call | Kind::Dialog) {
            // RFC 5626 §5.2: a caller behind a NAT is reached the way it came.
            route.ways.caller = detect::sender(request, inbound).map(|_| *inbound);
            route.seal(turn, request);
        }
        route
    }

    fn seal(&mut self, turn: &Turn<'_>, request: &Request) {
        let call_id = request.call_id().unwrap_or_default();
        let from = request.from().ok();
        let tag = from.as_ref().and_then(|from| from.tag()).unwrap_or_default();
        self.token = Some(Token::new(&turn.shared.seal, call_id, tag, self.begun_at, &self.ways));
    }

    /// For one fork: its target may be behind a NAT as well.
    fn to(
        &self,
        turn: &Turn<'_>,
        request: &Request,
        uri: &TargetUri,
        outbound: &Flow,
    ) -> Cow<'_, Self> {
        match uri {
            TargetUri::Contact(uri) if uri.is_natted() && self.token.is_some() => {
                let mut route = self.clone();
                route.ways.callee = Some(*outbound);
                route.seal(turn, request);
                Cow::Owned(route)
            }
            _ => Cow::Borrowed(self),
        }
    }

    fn push(&self, listener: &Listener, out: &mut Vec<u8>) {
        if let Some(token) = &self.token {
            record_route::write(listener, token, out);
        }
    }
}

/// RFC 5393 §5.3: how many copies of this request may exist at once, divided among the forks.
struct Breadth {
    each: usize,
    /// The first so many forks get one more.
    more: usize,
}

impl Breadth {
    fn new(breadth: usize, forks: usize) -> Self {
        let forks = forks.max(1);
        Self { each: breadth / forks, more: breadth % forks }
    }

    /// `None`: nothing is left for this fork.
    fn of(&self, fork: usize) -> Option<u8> {
        let breadth = self.each + usize::from(fork < self.more);
        u8::try_from(breadth).ok().filter(|breadth| *breadth > 0)
    }
}

impl ResponseContext {
    /// The part of the breadth that the forks of step `at` get: in proportion, when others come later or may come.
    ///
    /// RFC 5393 §5.3.3.1 allows to use again what forks had that have ended. We do not: a loop through entries that
    /// try one after the other would then be as many requests as one through entries that try all at once without any
    /// bound, only slower. So one request never becomes more than its Max-Breadth, one after the other or at once.
    fn breadth_for(&self, request: &Request, plan: &Plan, at: usize) -> usize {
        let forks = self.forks.iter().map(|fork| fork.breadth);
        let hops = self.forks.iter().filter_map(|fork| fork.hop.as_ref());
        let hops = hops.chain(self.seeking.iter().map(|seeking| &seeking.hop));
        let used: usize = forks.chain(hops.map(|hop| hop.breadth)).map(usize::from).sum();
        let left = max_breadth(request).saturating_sub(used);
        let mut counts = plan.steps.iter().skip(at).map(|step| step.targets.len());
        let (now, later) = (counts.next().unwrap_or(0), counts.sum::<usize>());
        let unknown = if plan.search.is_some() { now } else { 0 };
        match later + unknown {
            0 => left,
            others => left.min(now.max(left * now / (now + others))),
        }
    }
}

fn max_breadth(request: &Request) -> usize {
    if request.header(Name::MaxBreadth).is_none() {
        return limits::BREADTH.max;
    }
    // The room "screen" has read it before.
    let offered = request.max_breadth().ok().flatten();
    offered.map_or(limits::BREADTH.max, |breadth| limits::BREADTH.max.min(breadth as usize))
}

fn push_number(out: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        // A remainder of 10 is a digit.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
