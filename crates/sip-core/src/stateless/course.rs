//! Where a request goes (RFC 3261 §16.5, §16.6 step 6 and 7). From outside: to a member of the set, and nowhere else;
//! which one its Call-ID says, or the dialog it belongs to. From a member: where its Route or Request-URI says. It
//! changes no message.

use core::net::SocketAddr;

use sip_message::{Request, Uri, Via};

use super::{Hop, PORT_DEFAULT, Settings, record_route};
use crate::dispatcher::hash::Member;
use crate::dispatcher::route::Source;
use crate::dispatcher::set::AllDown;
use crate::flow::Flow;
use crate::proxy::Next;
use crate::proxy::record_route::PARAM;
use crate::rejection::Rejection;
use crate::route::{condition, locate, own, screen};
use crate::seal::Seal;
use crate::turn::Turn;

#[derive(Debug)]
pub struct Course {
    pub flow: Flow,
    /// The key of the member the dialog is with.
    pub member: Option<u64>,
    /// How many of the first Route values named us.
    pub own_routes: usize,
    /// The next hop is a strict router: its URI.
    pub strict_route: Option<Box<[u8]>>,
    pub is_outside: bool,
    /// It stays with its transport however large it is.
    pub is_fixed: bool,
}

/// The member a request comes from: by its address, and by the port it was sent from or says it listens on. An address
/// on a datagram can be forged: members belong where nobody else can send from.
pub fn member_of<'s>(
    settings: &'s Settings,
    flow: &Flow,
    via: &Via<'_>,
) -> Option<&'s Member<Hop>> {
    let port = via.port.unwrap_or(PORT_DEFAULT);
    let is_it = |remote: SocketAddr| {
        remote.ip() == flow.remote.ip()
            && (remote.port() == flow.remote.port() || remote.port() == port)
    };
    settings.set.members().iter().find(|member| is_it(member.hop.flow.remote))
}

pub fn of(
    turn: &mut Turn<'_>,
    settings: &Settings,
    seal: &Seal,
    flow: &Flow,
    from: Option<&Member<Hop>>,
    request: &Request,
) -> Result<Course, Rejection> {
    let routes = Routes::read(turn, request)?;
    if let Some(from) = from {
        return outwards(turn, request, from, &routes);
    }
    let call_id = request.call_id().map_err(screen::syntax)?;
    let sealed = routes.token.and_then(|token| record_route::open(seal, token, call_id));
    if sealed.is_some() {
        // It knows what we wrote for this call: it receives what we send.
        turn.shared.sources.verify(turn.now, flow);
    }
    let members = settings.set.members();
    let dialog_with = sealed
        .and_then(|key| members.iter().find(|member| member.key() == key))
        .or_else(|| named(settings, request, &routes));
    let port = request.via().map_err(screen::syntax)?.port.unwrap_or(PORT_DEFAULT);
    let from = turn.config.dispatcher.speaks_from(flow.remote, port);
    let is_welcome = |source: &Source| condition::comes_from(turn, flow.remote.ip(), from, source);
    if dialog_with.is_none()
        && !settings.sources.is_empty()
        && !settings.sources.iter().any(is_welcome)
    {
        return Err(Rejection::forbidden("Relaying Denied"));
    }
    let AllDown { status, retry_after } = settings.all_down;
    let member = dialog_with
        .or_else(|| settings.set.pick(call_id, |member| member.hop.live.is_available()))
        .ok_or_else(|| Rejection::gateways_unavailable(status, retry_after))?;
    Ok(Course {
        flow: member.hop.flow,
        is_fixed: member.hop.is_fixed,
        member: Some(member.key()),
        own_routes: routes.own,
        strict_route: None,
        is_outside: true,
    })
}

/// From a member to the world.
fn outwards(
    turn: &Turn<'_>,
    request: &Request,
    from: &Member<Hop>,
    routes: &Routes<'_>,
) -> Result<Course, Rejection> {
    let uri = match &routes.next {
        Some(uri) => *uri,
        None => request.uri().map_err(screen::syntax)?,
    };
    let is_strict = routes.next.is_some() && !uri.is_loose();
    Ok(Course {
        flow: match locate::next_hop(turn, &uri)? {
            Next::Flow(flow) => flow,
            // Finding out an address is waiting, and waiting is state.
            Next::Name(_) => return Err(Rejection::unresolvable()),
        },
        member: Some(from.key()),
        own_routes: routes.own + usize::from(is_strict),
        strict_route: is_strict.then(|| uri.raw.into()),
        is_outside: false,
        is_fixed: uri.param("transport").is_some(),
    })
}

/// Inside a dialog: the member whose address the next Route or the Request-URI has. Such a dialog stays where it is
/// even when the set changes.
fn named<'s>(
    settings: &'s Settings,
    request: &Request,
    routes: &Routes<'_>,
) -> Option<&'s Member<Hop>> {
    request.to().ok()?.tag()?;
    let uri = match routes.next {
        Some(uri) => uri,
        None => request.uri().ok()?,
    };
    let remote = SocketAddr::new(uri.host.ip()?, uri.port.unwrap_or(PORT_DEFAULT));
    settings.set.members().iter().find(|member| member.hop.flow.remote == remote)
}

/// The Route values of a request, as they concern us.
struct Routes<'a> {
    own: usize,
    next: Option<Uri<'a>>,
    /// What one of ours carries.
    token: Option<&'a [u8]>,
}

impl<'a> Routes<'a> {
    fn read(turn: &Turn<'_>, request: &'a Request) -> Result<Self, Rejection> {
        let mut routes = Self { own: 0, next: None, token: None };
        for route in request.routes() {
            let uri = route.and_then(|route| route.uri()).map_err(screen::syntax)?;
            if !own::names_us(turn.config, &uri) {
                routes.next = Some(uri);
                break;
            }
            routes.own += 1;
            routes.token = routes.token.or_else(|| uri.param(PARAM));
        }
        Ok(routes)
    }
}
