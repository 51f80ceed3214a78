//! The stateless proxy (RFC 3261 §16.11): a second, much smaller server on the same words. It remembers nothing between
//! two messages, so there is nothing to lose, to lock or to fill: a request goes to a member of the set, chosen by its
//! Call-ID; a response goes back to where our own Via says that its request came from.
//!
//! ```text
//! course         where a request goes
//! branch         §16.11    our Via: the same for all that must take the same way, and sealed
//! record_route   §16.6     staying on the path, if wanted
//! ```
//!
//! It never answers for anybody but itself, never forks, never repeats, and never sends what came from outside
//! anywhere but to a member.

pub mod branch;
mod course;
pub mod record_route;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use sip_message::{Malformed, Message, Method, Name, Request, Response, write};

use crate::config::{Config, Listener};
use crate::dispatcher::hash::HashedSet;
use crate::dispatcher::live::Live;
use crate::dispatcher::route::Source;
use crate::dispatcher::set::AllDown;
use crate::flow::{Flow, Transport};
use crate::limits;
use crate::rejection::Rejection;
use crate::route::{authenticate, limit, nat, own, screen, within};
use crate::seal::Seal;
use crate::transaction::large;
use crate::turn::Turn;
use crate::ua::{options, refusal, reply};
use branch::Branch;
use course::Course;
use record_route::Token;

/// RFC 3261 §16.6 step 3: what a request without Max-Forwards gets, and the most any may have.
const MAX_FORWARDS: u8 = limits::HOPS.max as u8;

/// RFC 3325 §5: what somebody outside says about identities ends here.
const IDENTITIES: &[Name] = &[Name::PAssertedIdentity, Name::PPreferredIdentity];

/// One member of the set.
#[derive(Clone, Debug)]
pub struct Hop {
    pub flow: Flow,
    /// The operator named the transport: large requests are datagrams too.
    pub is_fixed: bool,
    /// What its probes and the operator say of it.
    pub live: Arc<Live>,
}

impl Hop {
    /// One of which nothing is known.
    pub fn new(flow: Flow, is_fixed: bool) -> Self {
        Self { flow, is_fixed, live: Arc::default() }
    }
}

/// Whom a stateless proxy forwards to.
#[derive(Clone, Debug)]
pub struct Settings {
    pub set: HashedSet<Hop>,
    /// Later requests of a dialog come through here too.
    pub record_route: bool,
    /// Where what begins something may come from; everywhere, if empty.
    pub sources: Vec<Source>,
    /// What is answered when no member is in service.
    pub all_down: AllDown,
}

impl Settings {
    /// From everywhere to these.
    pub fn new(set: HashedSet<Hop>, record_route: bool) -> Self {
        Self { set, record_route, sources: Vec::new(), all_down: AllDown::default() }
    }

    pub fn has_member(&self, ip: core::net::IpAddr) -> bool {
        self.set.members().iter().any(|member| member.hop.flow.remote.ip() == ip)
    }
}

/// One thread's stateless proxy. What it keeps is memory for the next message to use again.
#[derive(Debug)]
pub struct Forwarder {
    settings: Arc<Settings>,
    seal: Seal,
    /// The outgoing bytes, and the lines that are new in them.
    wire: Vec<u8>,
    pieces: Vec<u8>,
}

impl Forwarder {
    pub const fn new(settings: Arc<Settings>, seal: Seal) -> Self {
        Self { settings, seal, wire: Vec::new(), pieces: Vec::new() }
    }

    /// Others from the next message on, if they are others.
    pub fn renew(&mut self, settings: &Arc<Settings>) {
        if !Arc::ptr_eq(&self.settings, settings) {
            self.settings = Arc::clone(settings);
        }
    }

    /// One message; what follows from it is in the turn's outbox. False: it answers no request that was forwarded here,
    /// but perhaps a probe.
    pub fn handle(&mut self, turn: &mut Turn<'_>, flow: &Flow, bytes: Bytes) -> bool {
        if !limit::hears(turn, flow) {
            return true;
        }
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => self.request(turn, flow, request),
            Ok(Message::Response(response)) => return self.response(turn, response),
            Err(malformed) => refusal::malformed(turn, flow, malformed, &mut self.wire),
        }
        true
    }

    fn request(&mut self, turn: &mut Turn<'_>, flow: &Flow, mut request: Request) {
        // RFC 3261 §18.3: on a stream a request without Content-Length has no end.
        if flow.transport.is_reliable()
            && let Err(error) = request.check_stream()
        {
            let request = Some(Box::new(request));
            return refusal::malformed(turn, flow, Malformed { error, request }, &mut self.wire);
        }
        nat::stamp(&mut request, flow);
        match self.route(turn, flow, &mut request) {
            Ok(()) => {}
            Err(why) => refusal::reject(turn, flow, &request, &why, &mut self.wire),
        }
    }

    /// RFC 3261 §16.3-§16.6, §16.11. What is used must be well-formed; the rest is not looked at.
    fn route(
        &mut self,
        turn: &mut Turn<'_>,
        flow: &Flow,
        request: &mut Request,
    ) -> Result<(), Rejection> {
        let settings = Arc::clone(&self.settings);
        let from = course::member_of(&settings, flow, &request.via().map_err(screen::syntax)?);
        let is_inside = from.is_some();
        if !is_inside && !limit::admits(turn, flow) {
            return Ok(());
        }
        if !is_inside {
            limit::has_time(turn, flow, request)?;
        }
        if request.header(Name::Route).is_some() {
            within::undo_strict_route(turn, request)?;
        }
        if !is_inside && !turn.config.limits.trusts(flow.remote.ip()) {
            authenticate::strip_identity(request);
        }
        if self.is_ours_to_answer(turn, flow, request)? {
            return Ok(());
        }
        let course = course::of(turn, &settings, &self.seal, flow, from, request)?;
        if let Some(router) = &course.strict_route {
            within::route_strictly(request, router);
        }
        self.send(turn, flow, request, &course)
    }

    /// What ends here: a question about ourselves, the ACK of a refusal of ours, a request that may go no further.
    fn is_ours_to_answer(
        &mut self,
        turn: &mut Turn<'_>,
        flow: &Flow,
        request: &Request,
    ) -> Result<bool, Rejection> {
        let hops = request.max_forwards().map_err(screen::syntax)?;
        let to = request.to().map_err(screen::syntax)?;
        match request.method() {
            // RFC 3261 §8.2.7: nobody else waits for it.
            Method::Ack if hops == Some(0) || to.tag() == Some(&reply::tag(turn, request)) => {
                return Ok(true);
            }
            Method::Options => {
                let uri = request.uri().map_err(screen::syntax)?;
                if uri.user.is_none() && own::names_us(turn.config, &uri) {
                    let wire = reply::ok(turn, request, options::LINES, &mut self.wire);
                    turn.out.send(*flow, wire);
                    return Ok(true);
                }
            }
            _ => {}
        }
        if hops == Some(0) {
            return Err(Rejection::too_many_hops());
        }
        screen::draining(turn, request.method(), to.tag().is_none())?;
        screen::proxy_require(request)?;
        Ok(false)
    }

    /// RFC 3261 §16.6: one copy, patched.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        flow: &Flow,
        request: &Request,
        course: &Course,
    ) -> Result<(), Rejection> {
        let listener = |id| turn.config.listener(id).ok_or_else(Rejection::internal_error);
        let outbound = listener(course.flow.listener)?;
        let via = request.via().map_err(screen::syntax)?;
        let branch = Branch::new(&self.seal, request, &via, flow);
        let Self { wire, pieces, seal, settings } = self;
        pieces.clear();
        push_via(outbound, &branch, pieces);
        let via = pieces.len();
        let begins = settings.record_route && begins_dialog(request);
        let mut second = via;
        if begins && let Some(member) = course.member {
            let call_id = request.call_id().map_err(screen::syntax)?;
            let token = Token::new(seal, call_id, member);
            record_route::write(outbound, &token, pieces);
            second = pieces.len();
            // Two when the request leaves by another of our addresses than it came by.
            if course.flow.listener != flow.listener {
                record_route::write(listener(flow.listener)?, &token, pieces);
            }
        }
        let records = pieces.len();
        push_length(request, course.flow.transport, pieces);
        let piece = |from: usize, to: usize| pieces.get(from..to).unwrap_or_default();
        let both = [piece(via, second), piece(second, records)];
        let written = both.iter().filter(|value| !value.is_empty()).count();
        let patch = write::Patch {
            via: piece(0, via),
            record_routes: both.get(..written).unwrap_or_default(),
            routes_popped: course.own_routes,
            max_forwards: hops_left(request),
            removed: if course.is_outside { IDENTITIES } else { &[] },
            header_lines: piece(records, pieces.len()),
            ..write::Patch::default()
        };
        wire.clear();
        write::forward(request, &patch, wire);
        let bytes = Bytes::copy_from_slice(wire);
        // RFC 3261 §18.1.1. Whoever refuses the connection gets the repetition as a datagram.
        let is_large = !course.is_fixed
            && bytes.len() > large::DATAGRAM_MAX
            && !turn.shared.refusals.is_known(turn.now, course.flow.remote);
        let stream =
            if is_large { large::by_stream(turn.config, &course.flow, &bytes) } else { None };
        let (flow, bytes) = stream.unwrap_or((course.flow, bytes));
        turn.out.send(flow, bytes);
        Ok(())
    }

    /// RFC 3261 §16.11, §18.1.2: by the Via we put there, and by no other. A response that nobody asked for has none.
    fn response(&mut self, turn: &mut Turn<'_>, mut response: Response) -> bool {
        let Ok(via) = response.via() else { return true };
        let Some(flow) = via.branch.and_then(|branch| branch::read(&self.seal, branch)) else {
            return false;
        };
        let is_only = via.raw().len() == response.header(Name::Via).map_or(0, <[u8]>::len)
            && response.headers(Name::Via).nth(1).is_none();
        let Some(flow) = present(turn.config, flow).filter(|_| !is_only) else { return true };
        if flow.transport.is_reliable() && response.header(Name::ContentLength).is_none() {
            let length = response.body().len().to_string();
            response.append(Name::ContentLength, length.as_bytes());
        }
        // Somebody inside has answered it with more than a refusal: a connection worth keeping.
        if flow.transport.is_reliable() && (200..300).contains(&response.status()) {
            turn.shared.sources.verify(turn.now, &flow);
        }
        self.wire.clear();
        write::response_upstream(&response, &mut self.wire);
        let bytes = Bytes::copy_from_slice(&self.wire);
        turn.out.send(flow, bytes);
        true
    }
}

/// The flow as it can be used now: after a restart listeners may have other numbers.
fn present(config: &Config, flow: Flow) -> Option<Flow> {
    let fits = |l: &&Listener| {
        l.transport == flow.transport && l.address.is_ipv4() == flow.remote.is_ipv4()
    };
    if config.listener(flow.listener).filter(fits).is_some() {
        return Some(flow);
    }
    let listener = config.listener_for(flow.transport, flow.remote)?;
    Some(Flow { listener, ..flow })
}

/// RFC 3261 §18.2.2, §19.1.2: of a Via or a URI that names none.
const PORT_DEFAULT: u16 = 5060;

/// A later one has its route set already (RFC 3261 §12.2).
fn begins_dialog(request: &Request) -> bool {
    matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer)
        && request.to().is_ok_and(|to| to.tag().is_none())
}

/// RFC 3261 §16.6 step 3. `is_ours_to_answer` has read it before.
fn hops_left(request: &Request) -> u8 {
    let hops = request.max_forwards().ok().flatten();
    let left = hops.map_or(u32::from(MAX_FORWARDS), |hops| hops.saturating_sub(1));
    u8::try_from(left).map_or(MAX_FORWARDS, |left| left.min(MAX_FORWARDS))
}

/// RFC 3261 §16.6 step 8.
fn push_via(listener: &Listener, branch: &Branch, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0/");
    out.extend_from_slice(listener.transport.via_token().as_bytes());
    out.push(b' ');
    out.extend_from_slice(listener.advertised.as_bytes());
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(branch.as_bytes());
}

/// RFC 3261 §16.6 step 9, §18.3: a stream needs it.
fn push_length(request: &Request, transport: Transport, out: &mut Vec<u8>) {
    if transport.is_reliable() && request.header(Name::ContentLength).is_none() {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(request.body().len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
