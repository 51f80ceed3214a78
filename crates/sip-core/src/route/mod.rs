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
use smallvec::smallvec;

use crate::config::AorBuf;
use crate::dispatcher::route::Answer;
use crate::flow::Flow;
use crate::proxy::{Kind, Plan, Step};
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
    let Decision { verdict, edits } = decide(turn, flow, request)?;
    if matches!(verdict, Verdict::Forward(_)) {
        authenticate::strip_identity(request);
        if let Some(realm) = edits.realm {
            authenticate::consume_credentials(request, realm);
        }
        if let Some(next) = &edits.strict_route {
            within::route_strictly(request, next);
        }
    }
    Ok(verdict)
}

/// What follows from a request that is read and not touched.
struct Decision<'a> {
    verdict: Verdict,
    edits: Edits<'a>,
}

/// What must change in a request before it is forwarded.
#[derive(Default)]
struct Edits<'a> {
    /// Credentials for this realm end here.
    realm: Option<&'a str>,
    /// The next hop is a strict router: its URI.
    strict_route: Option<Box<[u8]>>,
}

fn decide<'a>(
    turn: &mut Turn<'a>,
    flow: &Flow,
    request: &Request,
) -> Result<Decision<'a>, Rejection> {
    let plain = |verdict| Ok(Decision { verdict, edits: Edits::default() });
    let screened = screen::check(turn, request)?; //                  400 416 420 482 483 503 505
    let loop_hash = screened.loop_hash;
    match within::follow(turn, flow, request, &screened)? {
        //                                                            403 478 481: only along a Route we sealed
        Course::Dialog { plan, strict_route } => {
            let edits = Edits { strict_route, ..Edits::default() };
            let verdict = Verdict::Forward(Plan { loop_hash, ..plan });
            return Ok(Decision { verdict, edits });
        }
        Course::Drop => return plain(Verdict::Drop),
        Course::New => {}
    }
    let (caller, realm) = authenticate::caller(turn, flow, request, &screened)?; // 401 403 407
    let usual = match dispatch::course(turn, flow, request, &screened, caller)? {
        //                                                            503: the operator's routes
        dispatch::Course::Usual(usual) => usual,
        dispatch::Course::Gateways(steps, search) => {
            let plan =
                Plan { search, ..Plan::new(steps, screened.routes.own, kind(request), loop_hash) };
            let edits = Edits { realm, ..Edits::default() };
            return Ok(Decision { verdict: Verdict::Forward(plan), edits });
        }
        dispatch::Course::Redirect(contacts) => return plain(Verdict::Redirect(contacts)),
        dispatch::Course::RedirectToDevices(aor) => {
            return plain(Verdict::Redirect(onward::contacts(turn, request, &aor, &caller)?));
        }
        dispatch::Course::Answer(answer) => return plain(Verdict::Respond(answer)),
    };
    let (steps, search, cancels) = match classify::place(turn, request, &screened, &caller)? {
        //                                                            403: no open relay
        Place::Registrar => {
            //                                                        403 404: To is a user of the domain asked
            let (uri, to) = (&screened.uri, &screened.head.to_uri);
            return plain(Verdict::Register(registrar::address_of_record(uri, to, turn.config)?));
        }
        Place::Server => return plain(Verdict::Answer),
        Place::User(aor) => {
            let aor = usual.user.as_ref().unwrap_or(aor);
            let wish = Disposition::of(request);
            if onward::redirects(turn, aor, &caller, wish) {
                let contacts = onward::contacts(turn, request, aor, &caller)?;
                return plain(Verdict::Redirect(contacts)); //         302 404 480
            }
            let ring = usual.ring.as_deref();
            let (mut steps, search) = onward::begin(turn, request, aor, &caller, wish, ring)?;
            if !usual.lines.is_empty() {
                for step in &mut steps {
                    step.lines = Some(usual.lines.as_slice().into());
                }
            }
            (steps, search, wish.cancel) //                           404 480 482
        }
        Place::Elsewhere => {
            let targets = locate::elsewhere(turn, &screened.uri)?; // 478
            (smallvec![Step::new(targets)], None, true)
        }
    };
    let own_routes = screened.routes.own;
    let plan = Plan { search, cancels, ..Plan::new(steps, own_routes, kind(request), loop_hash) };
    let edits = Edits { realm, ..Edits::default() };
    Ok(Decision { verdict: Verdict::Forward(plan), edits })
}

fn kind(request: &Request) -> Kind {
    match request.method() {
        Method::Invite => Kind::Call,
        Method::Subscribe | Method::Refer => Kind::Dialog,
        _ => Kind::Single,
    }
}
