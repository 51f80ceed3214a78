//! Room "within" (RFC 3261 §16.4, §16.12): a request inside a dialog goes where its Route says, if we wrote that Route
//! for this very dialog. It asks for no credentials and looks up no policy; so it never believes a To tag, a Route
//! without our seal, or a Route that somebody preloaded.

use sip_message::{Method, NameAddr, Request};
use smallvec::{SmallVec, smallvec};

use crate::flow::Flow;
use crate::proxy::record_route::{self, Sealed};
use crate::proxy::{Kind, Plan, Target, TargetUri};
use crate::rejection::Rejection;
use crate::route::screen::syntax;
use crate::route::{authenticate, locate, own};
use crate::turn::Turn;

#[derive(Debug)]
pub enum Course {
    /// Not inside a dialog: policy decides.
    New,
    Dialog(Plan),
    Drop,
}

/// How many of the first Route values name us: they are ours to remove (RFC 3261 §16.4).
///
/// Repairs what a strict router did before (same section): our own Record-Route in the Request-URI means that the
/// real target is the last Route.
pub fn own_routes(turn: &Turn<'_>, request: &mut Request) -> Result<usize, Rejection> {
    if request.header(sip_message::Name::Route).is_none() {
        return Ok(0);
    }
    let rewritten = request.uri().is_ok_and(|uri| {
        uri.param(record_route::PARAM).is_some() && own::names_us(turn.config, &uri)
    });
    if rewritten {
        undo_strict_route(request)?;
    }
    let ours = |route: &NameAddr<'_>| route.uri().is_ok_and(|uri| own::names_us(turn.config, &uri));
    Ok(request.routes().map_while(Result::ok).take_while(ours).count())
}

/// RFC 3261 §16.4: the Request-URI becomes the first Route again, the last Route the Request-URI.
fn undo_strict_route(request: &mut Request) -> Result<(), Rejection> {
    use sip_message::Name::Route;
    let mut routes: SmallVec<[Vec<u8>; 4]> = SmallVec::new();
    routes.push([b"<", request.uri_bytes(), b">"].concat());
    for route in request.routes() {
        routes.push(route.map_err(syntax)?.raw().to_vec());
    }
    let Some(last) = routes.pop() else { return Ok(()) };
    let target = NameAddr::parse(&last).and_then(|route| Ok(route.uri()?.raw.to_vec()));
    request.set_uri(&target.map_err(syntax)?);
    request.remove(Route);
    for route in &routes {
        request.append(Route, route);
    }
    Ok(())
}

pub fn follow(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &mut Request,
    own_routes: usize,
) -> Result<Course, Rejection> {
    let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
    let is_ack = request.method() == Method::Ack;
    if !in_dialog || request.method() == Method::Register {
        if is_ack {
            return Ok(Course::Drop);
        }
        // A preloaded Route beyond us is somebody else's idea of where we should send things.
        return match request.routes().nth(own_routes) {
            Some(_) => Err(Rejection::forbidden("Route Not Allowed")),
            None => Ok(Course::New),
        };
    }
    let Some(sealed) = open(turn, request, own_routes) else {
        if is_ack {
            // The ACK of a refusal we sent statelessly, or a forgery: nothing is owed to either.
            return Ok(Course::Drop);
        }
        let ours = request.uri().is_ok_and(|uri| own::names_us(turn.config, &uri));
        return Err(if ours && own_routes == 0 {
            Rejection::does_not_exist()
        } else {
            Rejection::forbidden("Route Not Ours")
        });
    };
    turn.shared.sources.verify(turn.now, flow);
    authenticate::strip_identity(request);
    match along(turn, request, own_routes, sealed) {
        Err(_) if is_ack => Ok(Course::Drop),
        Err(rejection) => Err(rejection),
        Ok(plan) => Ok(Course::Dialog(plan)),
    }
}

/// What the sealed Route of this request says; `None` when none of our Routes belongs to this dialog.
fn open(turn: &Turn<'_>, request: &Request, own_routes: usize) -> Option<Sealed> {
    let call_id = request.call_id().ok()?;
    let from = request.from().ok()?;
    let to = request.to().ok()?;
    request.routes().take(own_routes).map_while(Result::ok).find_map(|route| {
        let uri = route.uri().ok()?;
        let token = uri.param(record_route::PARAM)?;
        let (from, to) = (from.tag().unwrap_or_default(), to.tag().unwrap_or_default());
        record_route::open(&turn.shared.seal, token, call_id, from, to)
    })
}

/// RFC 3261 §16.5: the target set of such a request is its Request-URI alone; §16.6 step 6 and 7: the way there.
fn along(
    turn: &Turn<'_>,
    request: &mut Request,
    own_routes: usize,
    sealed: Sealed,
) -> Result<Plan, Rejection> {
    let mut routes_popped = own_routes;
    let mut strict = None;
    let next = request.routes().nth(own_routes).transpose().map_err(syntax)?;
    let targets = match next {
        Some(route) => {
            let uri = route.uri().map_err(syntax)?;
            if !uri.is_loose() {
                strict = Some(uri.raw.to_vec());
            }
            let flow = locate::next_hop(turn, &uri)?;
            smallvec![Target { uri: TargetUri::Unchanged, flow }]
        }
        None => locate::remote_target(turn, request)?,
    };
    if let Some(uri) = strict {
        // RFC 3261 §16.6 step 6: a strict router wants itself in the Request-URI and the target last.
        let target = [b"<", request.uri_bytes(), b">"].concat();
        request.append(sip_message::Name::Route, &target);
        request.set_uri(&uri);
        routes_popped += 1;
    }
    let kind = Kind::Within(sealed);
    Ok(Plan { targets, own_routes: routes_popped, kind, loop_hash: 0 })
}
