//! Room "dispatch": the operator's routes, the first that is for a request. It is passed by when there are none. A route
//! says who rings, which set of gateways is asked, or what is answered; which gateway it is, the set knows.

use sip_message::{Method, Name, Request};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

use crate::config::AorBuf;
use crate::dispatcher::calls::Trunk;
use crate::dispatcher::gateway::Way;
use crate::dispatcher::number::Matched;
use crate::dispatcher::route::{Action, Answer, Gateways, Ring, Route};
use crate::dispatcher::set::{Algorithm, AllDown, Key, Load, Tried};
use crate::flow::Flow;
use crate::proxy::search::{Hunt, Occasion, Onward, Search};
use crate::proxy::{Next, Plan, Step, Steps, Target, TargetUri};
use crate::redirect;
use crate::registrar::binding::Q_DEFAULT;
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::condition::{self, Facts};
use crate::route::screen::Screened;
use crate::route::{identity, onward};
use crate::turn::Turn;

/// What a route makes of a request.
#[derive(Debug)]
pub enum Course {
    /// What is done without routes, in another way perhaps.
    Usual(Usual),
    /// The plan has the first of them.
    Gateways,
    /// RFC 3261 §8.3: whole Contact lines.
    Redirect(Vec<u8>),
    Answer(Box<Answer>),
}

/// How a user is called.
#[derive(Debug, Default)]
pub struct Usual {
    /// Somebody else than the Request-URI names.
    pub user: Option<AorBuf>,
    pub ring: Option<Box<Ring>>,
    /// Header lines for the user's devices.
    pub lines: Vec<u8>,
}

impl Usual {
    /// Tells the user's devices what they may know.
    pub fn tell(&self, steps: &mut Steps) {
        if !self.lines.is_empty() {
            for step in steps {
                step.extra.lines = Some(self.lines.as_slice().into());
            }
        }
    }
}

/// The first route that is for the request, and how its number matched.
pub fn find<'c, 'f>(turn: &Turn<'c>, facts: &'f Facts<'_>) -> Option<(&'c Route, Matched<'f>)> {
    let routes = turn.config.dispatcher.routes();
    routes.iter().find_map(|route| Some((route, condition::test(turn, route, facts).ok()?)))
}

pub fn course(
    turn: &Turn<'_>,
    flow: &Flow,
    request: &Request,
    screened: &Screened<'_>,
    caller: Caller,
    plan: &mut Plan,
) -> Result<Course, Rejection> {
    let dispatcher = &turn.config.dispatcher;
    let has_nothing = dispatcher.routes().is_empty()
        && dispatcher.gateways().is_empty()
        && turn.shared.aliases.is_empty();
    if has_nothing || !condition::may_route(request, screened) {
        return Ok(Course::Usual(Usual::default()));
    }
    let facts = Facts::of(turn, flow, request, screened, caller);
    let user = facts.user.clone().filter(|_| facts.by_alias);
    let lines = identity::for_user(&facts);
    let Some((route, matched)) = find(turn, &facts) else {
        return Ok(Course::Usual(Usual { user, ring: None, lines }));
    };
    Ok(match &route.action {
        Action::Ring(ring) => match (&ring.user, ring.otherwise) {
            (Some(user), _) => {
                let user = Some(AorBuf::from(&**user));
                Course::Usual(Usual { user, ring: Some(ring.clone()), lines })
            }
            (None, Some(status)) if facts.user.is_none() => {
                Course::Answer(Box::new(Answer { status, reason: phrase(status).into() }))
            }
            _ => Course::Usual(Usual { user, ring: Some(ring.clone()), lines }),
        },
        Action::Gateways(gateways) => {
            hunt(turn, &facts, gateways, &matched, plan)?;
            Course::Gateways
        }
        Action::Redirect(Some(template)) => {
            let mut lines = Vec::new();
            redirect::contact(template.fill(&matched).as_bytes(), Q_DEFAULT, &mut lines);
            Course::Redirect(lines)
        }
        Action::Redirect(None) => match facts.user.clone() {
            Some(user) => Course::Redirect(onward::contacts(turn, request, &user, &caller)?),
            None => return Err(caller.unknown_user()),
        },
        Action::Answer(answer) => Course::Answer(answer.clone()),
    })
}

/// The first gateway of the set, and what is needed to try others.
fn hunt(
    turn: &Turn<'_>,
    facts: &Facts<'_>,
    gateways: &Gateways,
    matched: &Matched<'_>,
    plan: &mut Plan,
) -> Result<(), Rejection> {
    let number = number(gateways, matched);
    let mut hunt = Hunt {
        gateways: gateways.clone(),
        number: number.into_bytes().into(),
        gateway: Box::default(),
        tried: Tried::new(),
        identity: identity::for_gateway(turn, facts, &gateways.caller_id).into(),
        key: key(gateways.set.algorithm, facts).into(),
    };
    let AllDown { status, retry_after } = gateways.set.all_down;
    let step = next(turn, facts.request, &mut hunt)
        .ok_or_else(|| Rejection::gateways_unavailable(status, retry_after))?;
    plan.steps.push(step);
    let failover = gateways.failover();
    let has_account = gateways.set.members().any(|gateway| gateway.account.is_some());
    if failover.on.is_empty() && failover.silence.is_none() && !has_account {
        return Ok(());
    }
    plan.search = Some(Box::new(Search {
        asked: SmallVec::new(),
        called: [].into(),
        forwards: None,
        ring_until: None,
        passed: SmallVec::new(),
        recurse: false,
        hunt: Some(Box::new(hunt)),
    }));
    Ok(())
}

/// What the gateways are asked for.
pub fn number(gateways: &Gateways, matched: &Matched<'_>) -> String {
    match &gateways.number {
        Some(template) => template.fill(matched),
        None => matched.number().to_owned(),
    }
}

/// What a hash is made of: the same for every request of a call, or of a caller, or for a callee.
pub fn key(algorithm: Algorithm, facts: &Facts<'_>) -> Vec<u8> {
    let head = &facts.screened.head;
    let address = |uri: &sip_message::Uri<'_>| {
        [uri.user.unwrap_or_default(), b"@", &uri.host_bytes.to_ascii_lowercase()].concat()
    };
    match algorithm {
        Algorithm::Hash(Key::CallId) => head.call_id.to_vec(),
        Algorithm::Hash(Key::From) => address(&head.from_uri),
        Algorithm::Hash(Key::To) => address(&head.to_uri),
        Algorithm::Hash(Key::Uri) => address(&facts.screened.uri),
        _ => Vec::new(),
    }
}

/// The next gateway that is there and has room.
fn next(turn: &Turn<'_>, request: &Request, hunt: &mut Hunt) -> Option<Step> {
    let Hunt { gateways, number, gateway: asked, tried, identity, key } = hunt;
    let load = match (request.method(), gateways.urgent) {
        (Method::Invite, false) => Load::Call,
        (Method::Invite, true) => Load::Urgent,
        _ => Load::Message,
    };
    let (gateway, seat) = gateways.set.pick(turn.now, key, tried, load)?;
    *asked = gateway.name.clone();
    let mut lines = Vec::new();
    if gateway.trusted {
        lines.extend_from_slice(identity);
    }
    if gateways.urgent && request.header(Name::Priority).is_none() {
        lines.extend_from_slice(b"Priority: emergency\r\n");
    }
    let uri: Box<[u8]> = gateway.uri(number).into();
    let next = match &gateway.way {
        Way::Flow(flow) => Next::Flow(*flow),
        Way::Name(sought) => Next::Name(sought.clone()),
    };
    let mut step =
        Step::new(smallvec![Target { uri: TargetUri::Other(uri.clone()), next, q: Q_DEFAULT }]);
    step.timeout = gateways.failover().silence;
    let lines = Some(lines.into()).filter(|lines: &Arc<[u8]>| !lines.is_empty());
    step.extra.lines = lines.clone();
    step.extra.trunk = Some(Arc::new(Trunk { gateway, seat, uri, lines }));
    Some(step)
}

/// A gateway has failed, or has said nothing: another one, if the operator wants it and there is one.
pub fn go_on(
    turn: &Turn<'_>,
    request: &Request,
    hunt: &mut Hunt,
    occasion: Occasion<'_>,
) -> Onward {
    let failover = hunt.gateways.failover();
    let wanted = match occasion {
        Occasion::Unanswered => failover.silence.is_some(),
        // Who has let a phone ring is no dead gateway.
        Occasion::Failed { status, rang } => !rang && failover.on.contains(status),
        Occasion::Redirected(_) => false,
    };
    let before = hunt.gateway.clone();
    let step = if wanted { next(turn, request, hunt) } else { None };
    let instead_of = step.is_some().then_some(before);
    Onward { steps: step.into_iter().collect(), is_whole: false, instead_of }
}

/// RFC 3261 §21: what is said with a status of the operator's choice.
pub const fn phrase(status: u16) -> &'static str {
    match status {
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        480 => "Temporarily Unavailable",
        484 => "Address Incomplete",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        503 => "Service Unavailable",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        _ => "Refused",
    }
}
