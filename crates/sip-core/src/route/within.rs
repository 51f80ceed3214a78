//! Room "within" (RFC 3261 §16.4, §16.12): a request inside a dialog goes where its Route says, if we wrote that Route
//! for this very dialog. It asks for no credentials and looks up no policy; so it never believes a To tag, a Route
//! without our seal, or a Route that somebody preloaded.

use sip_message::{CheckedHead, Method, NameAddr, Request, Uri};
use smallvec::{SmallVec, smallvec};

use crate::flow::Flow;
use crate::proxy::record_route::{self, Opened};
use crate::proxy::{Kind, Plan, Step, Target, TargetUri};
use crate::registrar::binding::Q_DEFAULT;
use crate::rejection::Rejection;
use crate::route::screen::{Screened, syntax};
use crate::route::{locate, own};
use crate::turn::Turn;

#[expect(clippy::large_enum_variant, reason = "one at a time, and never kept")]
#[derive(Debug)]
pub enum Course {
    /// Not inside a dialog: policy decides.
    New,
    Dialog {
        plan: Plan,
        /// The next hop is a strict router: its URI.
        strict_route: Option<Box<[u8]>>,
    },
    Drop,
}

/// The Route values of a request, as they concern us.
#[derive(Debug)]
pub struct Routes<'a> {
    /// How many of the first ones name us: they are ours to remove (RFC 3261 §16.4).
    pub own: usize,
    /// The first that does not.
    pub next: Option<NameAddr<'a>>,
    /// One of ours belongs to the dialog that the request claims.
    sealed: Option<Opened>,
}

pub fn routes<'a>(turn: &Turn<'_>, request: &'a Request, head: &CheckedHead<'a>) -> Routes<'a> {
    let mut routes = Routes { own: 0, next: None, sealed: None };
    let Some(first) = &head.route else { return routes };
    let mut goes_on = routes.take(turn, head, &first.address, &first.uri);
    let mut others = request.routes().skip(1).map_while(Result::ok);
    while goes_on && !first.is_only {
        let Some(route) = others.next() else { break };
        let Ok(uri) = route.uri() else { break };
        goes_on = routes.take(turn, head, &route, &uri);
    }
    routes
}

impl<'a> Routes<'a> {
    /// Counts one more if it is ours; whether it was.
    fn take(
        &mut self,
        turn: &Turn<'_>,
        head: &CheckedHead<'_>,
        route: &NameAddr<'a>,
        uri: &Uri<'_>,
    ) -> bool {
        if !own::names_us(turn.config, uri) {
            self.next = Some(*route);
            return false;
        }
        self.own += 1;
        if self.sealed.is_none()
            && let Some(token) = uri.param(record_route::PARAM)
        {
            let tags = [head.from.tag(), head.to.tag()].map(Option::unwrap_or_default);
            let seal = &turn.shared.seal;
            self.sealed = record_route::open(seal, token, head.call_id, tags[0], tags[1]);
        }
        true
    }
}

/// RFC 3261 §16.4: the Request-URI becomes the first Route again, the last Route the Request-URI.
///
/// That repairs what a strict router did before: our own Record-Route in the Request-URI means that the real target is
/// the last Route.
pub fn undo_strict_route(turn: &Turn<'_>, request: &mut Request) -> Result<(), Rejection> {
    use sip_message::Name::Route;
    let may_be_ours = request.header(Route).is_some()
        && memchr::memmem::find(request.uri_bytes(), record_route::PARAM.as_bytes()).is_some();
    let is_rewritten = may_be_ours
        && request.uri().is_ok_and(|uri| {
            uri.param(record_route::PARAM).is_some() && own::names_us(turn.config, &uri)
        });
    if !is_rewritten {
        return Ok(());
    }
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

/// RFC 3261 §16.6 step 6: a strict router wants itself in the Request-URI and the target last.
pub fn route_strictly(request: &mut Request, router: &[u8]) {
    let target = [b"<", request.uri_bytes(), b">"].concat();
    request.append(sip_message::Name::Route, &target);
    request.set_uri(router);
}

pub fn follow(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &Request,
    screened: &Screened<'_>,
    alias: Option<Flow>,
) -> Result<Course, Rejection> {
    let Screened { head, routes, .. } = screened;
    let is_ack = request.method() == Method::Ack;
    if head.to.tag().is_none() || request.method() == Method::Register {
        if is_ack {
            return Ok(Course::Drop);
        }
        // A preloaded Route beyond us is somebody else's idea of where we should send things.
        return match routes.next {
            Some(_) => Err(Rejection::forbidden("Route Not Allowed")),
            None => Ok(Course::New),
        };
    }
    let Some(sealed) = routes.sealed else {
        if is_ack {
            // The ACK of a refusal we sent statelessly, or a forgery: nothing is owed to either.
            return Ok(Course::Drop);
        }
        return Err(if screened.is_ours && routes.own == 0 {
            Rejection::does_not_exist()
        } else {
            Rejection::forbidden("Route Not Ours")
        });
    };
    turn.shared.sources.verify(turn.now, flow);
    match along(turn, screened, sealed, alias) {
        Err(_) if is_ack => Ok(Course::Drop),
        course => course,
    }
}

/// RFC 3261 §16.5: the target set of such a request is its Request-URI alone; §16.6 step 6 and 7: the way there.
fn along(
    turn: &Turn<'_>,
    screened: &Screened<'_>,
    opened: Opened,
    alias: Option<Flow>,
) -> Result<Course, Rejection> {
    let Opened { sealed, peer } = opened;
    let mut routes_popped = screened.routes.own;
    let mut strict_route = None;
    let targets = match &screened.routes.next {
        Some(route) => {
            let uri = route.uri().map_err(syntax)?;
            if !uri.is_loose() {
                strict_route = Some(uri.raw.into());
                routes_popped += 1;
            }
            let next = locate::next_hop(turn, &uri)?;
            smallvec![Target { uri: TargetUri::Unchanged, next, q: Q_DEFAULT }]
        }
        None => locate::remote_target(turn, screened, alias, peer)?,
    };
    let steps = smallvec![Step::new(targets)];
    let plan = Plan::new(steps, routes_popped, Kind::Within(sealed), screened.loop_hash);
    Ok(Course::Dialog { plan, strict_route })
}
