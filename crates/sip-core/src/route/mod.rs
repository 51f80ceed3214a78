//! The life of a request: the server's policy, one room per file (RFC 3261 §16.3-§16.5). Each room lets the request
//! pass or turns it into a [`Rejection`]. Rooms never send anything and keep nothing; what they decided is the
//! [`Verdict`], and others serve it.
//!
//! Before the first room the source was noted in the top Via ([`nat`]) and retransmissions, ACKs and CANCELs of known
//! transactions were taken out.

pub mod authenticate;
pub mod classify;
pub mod condition;
pub mod dispatch;
pub mod disposition;
pub mod diversion;
pub mod early;
pub mod explain;
pub mod identity;
pub mod limit;
pub mod locate;
pub mod nat;
pub mod onward;
pub mod own;
pub mod screen;
pub mod step;
pub mod within;

use sip_message::{Method, Request};

use crate::config::AorBuf;
use crate::dispatcher::route::Answer;
use crate::flow::Flow;
use crate::nat::alias;
use crate::proxy::{Kind, Plan, Step, Steps};
use crate::registrar;
use crate::rejection::Rejection;
use crate::turn::Turn;
use classify::Place;
use disposition::Disposition;
use within::Course;

/// What is done with a request that passed.
#[derive(Debug)]
pub enum Verdict {
    /// RFC 3261 §10.3: for the registrar, about this user.
    Register(AorBuf),
    /// RFC 3261 §8.2: for the server itself.
    Answer,
    /// RFC 3261 §16.6: forwarded, with a transaction; an ACK without one.
    Forward(Plan),
    /// RFC 3261 §8.3: the caller is told where to try; whole Contact lines.
    Redirect(Vec<u8>),
    /// What a route of the operator says.
    Respond(Box<Answer>),
    /// Silence is the answer.
    Drop,
}

pub fn route(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &mut Request,
) -> Result<Verdict, Rejection> {
    if !limit::admits(turn, flow) {
        return Ok(Verdict::Drop); //                                  silence: more than an unproven source may ask
    }
    limit::has_time(turn, flow, request)?; //                          503: later, when there is time
    within::undo_strict_route(turn, request)?;
    let alias = alias::take(turn.config, &turn.shared.seal, request);
    let mut edits = Edits::default();
    let verdict = decide(turn, flow, request, alias, &mut edits);
    if matches!(verdict, Ok(Verdict::Forward(_))) {
        authenticate::strip_identity(request);
        if turn.config.nat.contact_alias {
            alias::add_to_request(&turn.shared.seal, request, flow);
        }
        authenticate::consume_credentials(turn.config, request);
        if let Some(next) = &edits.strict_route {
            within::route_strictly(request, next);
        }
    }
    verdict
}

/// What must change in a request before it is forwarded.
#[derive(Default)]
struct Edits {
    /// The next hop is a strict router: its URI.
    strict_route: Option<Box<[u8]>>,
}

/// What follows from a request that is read and not touched.
fn decide<'a>(
    turn: &mut Turn<'a>,
    flow: &Flow,
    request: &Request,
    alias: Option<Flow>,
    edits: &mut Edits,
) -> Result<Verdict, Rejection> {
    let screened = screen::check(turn, request)?; //                  400 416 420 482 483 503 505
    match within::follow(turn, flow, request, &screened, alias)? {
        //                                                            403 478 481: only along a Route we sealed
        Course::Dialog { plan, strict_route } => {
            edits.strict_route = strict_route;
            return Ok(Verdict::Forward(plan));
        }
        Course::Drop => return Ok(Verdict::Drop),
        Course::New => {}
    }
    let caller = authenticate::caller(turn, flow, request, &screened)?; // 401 403 407
    let mut plan = Plan::new(Steps::new(), screened.routes.own, kind(request), screened.loop_hash);
    let usual = match dispatch::course(turn, flow, request, &screened, caller, &mut plan)? {
        //                                                            503: the operator's routes
        dispatch::Course::Usual(usual) => usual,
        dispatch::Course::Gateways => {
            return Ok(Verdict::Forward(plan));
        }
        dispatch::Course::Redirect(contacts) => return Ok(Verdict::Redirect(contacts)),
        dispatch::Course::Answer(answer) => return Ok(Verdict::Respond(answer)),
    };
    match classify::place(turn, request, &screened, &caller)? {
        //                                                            403: no open relay
        Place::Registrar => {
            //                                                        403 404: To is a user of the domain asked
            let (uri, to) = (&screened.uri, &screened.head.to_uri);
            return Ok(Verdict::Register(registrar::address_of_record(uri, to, turn.config)?));
        }
        Place::Server => return Ok(Verdict::Answer),
        Place::User(aor) => {
            let aor = usual.user.as_ref().unwrap_or(aor);
            let wish = Disposition::of(request);
            if onward::redirects(turn, aor, &caller, wish) {
                let contacts = onward::contacts(turn, request, aor, &caller)?;
                return Ok(Verdict::Redirect(contacts)); //            302 404 480
            }
            let ring = usual.ring.as_deref();
            onward::begin(turn, request, aor, &caller, (wish, ring), &mut plan)?; // 404 480 482
            usual.tell(&mut plan.steps);
        }
        Place::Elsewhere => {
            plan.steps.push(Step::new(locate::elsewhere(turn, &screened.uri)?)); // 478
        }
    }
    Ok(Verdict::Forward(plan))
}

fn kind(request: &Request) -> Kind {
    match request.method() {
        Method::Invite => Kind::Call,
        Method::Subscribe | Method::Refer => Kind::Dialog,
        _ => Kind::Single,
    }
}
