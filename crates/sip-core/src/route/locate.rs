//! Room "locate" (RFC 3261 §16.5): from an address of record to the places where its user can be reached, and from a
//! URI to the flow that leads there. Names are not resolved (RFC 3263): a next hop is an address, one of our users, or
//! the flow of a binding.

use core::net::{IpAddr, SocketAddr};

use sip_message::{Host, NameAddr, Request, Uri, uri};
use smallvec::{SmallVec, smallvec};

use crate::config::{AorBuf, Config};
use crate::flow::{ConnectionId, Flow, Transport};
use crate::limits;
use crate::proxy::{Target, TargetUri, Targets};
use crate::registrar::binding::{Binding, Q_DEFAULT};
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::own;
use crate::route::screen::Screened;
use crate::turn::Turn;

/// RFC 3261 §19.1.2: the port of a SIP URI that names none, for UDP and TCP.
const PORT_DEFAULT: u16 = 5060;

/// RFC 3261 §16.5: all bindings of a user, in no order: each says how much it is preferred.
pub fn targets(turn: &Turn<'_>, aor: &str, caller: &Caller) -> Result<Targets, Rejection> {
    let targets = reachable(turn, aor);
    if !targets.is_empty() {
        return Ok(targets);
    }
    if turn.shared.accounts.contains(aor) {
        return Err(Rejection::temporarily_unavailable());
    }
    Err(caller.unknown_user())
}

/// A Contact may be another of our users (a forwarded extension). It is followed here and not over the wire: who has
/// been asked is not asked again, so that two users who point at each other cost nothing (RFC 5393 §3).
pub fn reachable(turn: &Turn<'_>, aor: &str) -> Targets {
    let mut targets = Targets::new();
    let mut users = Users::new();
    gather(turn, (aor, Q_DEFAULT), aor, &mut targets, &mut users);
    let mut at = 0;
    while let Some((user, q)) = users.get(at).cloned() {
        gather(turn, (&user, q), aor, &mut targets, &mut users);
        at += 1;
    }
    targets
}

/// Users that were met on the way to others, and how much they were preferred there.
type Users = SmallVec<[(Box<str>, u16); 2]>;

/// `q`: a way is as much preferred as the least preferred Contact on it.
fn gather(
    turn: &Turn<'_>,
    (aor, q): (&str, u16),
    first: &str,
    targets: &mut Targets,
    users: &mut Users,
) {
    let Some(bindings) = turn.shared.location.lookup(turn.now, aor) else { return };
    for binding in bindings.iter() {
        if targets.len() >= limits::FORKS.max {
            return;
        }
        let Ok(contact) = Uri::parse(binding.contact().as_bytes()) else { continue };
        let q = q.min(binding.q());
        match reach(turn, binding, &contact) {
            Some(Reach::Flow(flow, length)) => {
                targets.push(Target { uri: TargetUri::Contact(binding.uri(length)), flow, q });
            }
            Some(Reach::User(user)) => {
                let asked = *user == *first || users.iter().any(|(known, _)| **known == *user);
                if !asked && users.len() < limits::FORKS.max {
                    users.push(((*user).into(), q));
                }
            }
            None => {}
        }
    }
}

enum Reach {
    /// And how much of the Contact comes before its headers.
    Flow(Flow, usize),
    User(AorBuf),
}

/// How to reach a binding. A Contact whose address is not where the REGISTER came from is behind a NAT, or a name: the
/// flow of the REGISTER leads there. A Contact at that very address counts with its port, whatever port the REGISTER
/// was sent from.
fn reach(turn: &Turn<'_>, binding: &Binding, contact: &Uri<'_>) -> Option<Reach> {
    let registered = binding.flow();
    if own::names_us(turn.config, contact) {
        return own::aor(turn.config, contact).map(Reach::User);
    }
    let length = contact.raw.len() - contact.headers.map_or(0, |headers| headers.len() + 1);
    // RFC 3327 §5.3: with a Path its first proxy is the next hop, and no Contact says where that is.
    let path = binding.path();
    let first = if path.is_empty() { None } else { NameAddr::parse_first(path.as_bytes()) };
    let first = first.and_then(|path| path.uri().ok());
    let contact = first.as_ref().unwrap_or(contact);
    if registered.connection != ConnectionId::NONE {
        return Some(Reach::Flow(registered, length));
    }
    let flow = match address(contact) {
        Some((transport, to)) if to.ip() == registered.remote.ip() => {
            flow_to(turn.config, transport, to)?
        }
        _ => registered,
    };
    // The listener it registered at: there a NAT lets us through. After a restart there may be others.
    let listener = turn.config.listener(registered.listener).filter(|listener| {
        listener.transport == flow.transport && listener.address.is_ipv4() == flow.remote.is_ipv4()
    });
    let flow = match listener {
        Some(_) => Flow { listener: registered.listener, ..flow },
        None => flow_to(turn.config, flow.transport, flow.remote)?,
    };
    Some(Reach::Flow(flow, length))
}

/// A connection by which we wanted to send is gone. A phone that is not behind a NAT takes another, at its Contact: the
/// Request-URI, if it names the very host that the connection led to.
pub fn second_way(config: &Config, request: &Request, gone: &Flow) -> Option<Flow> {
    if gone.connection == ConnectionId::NONE {
        return None;
    }
    let (transport, to) = address(&request.uri().ok()?)?;
    let same = transport == gone.transport && to.ip() == gone.remote.ip() && to != gone.remote;
    flow_to(config, transport, to).filter(|flow| same && flow.listener == gone.listener)
}

/// RFC 3261 §16.6 step 7 for a URI that is not ours: an address, or 478.
pub fn next_hop(turn: &Turn<'_>, uri: &Uri<'_>) -> Result<Flow, Rejection> {
    if own::names_us(turn.config, uri) {
        // We would be sending it to ourselves.
        return Err(Rejection::loop_detected());
    }
    address(uri)
        .and_then(|(transport, to)| flow_to(turn.config, transport, to))
        .ok_or_else(Rejection::unresolvable)
}

/// RFC 3261 §16.5: a domain we are not responsible for: the Request-URI is the only target.
pub fn elsewhere(turn: &Turn<'_>, target: &Uri<'_>) -> Result<Targets, Rejection> {
    let flow = next_hop(turn, target)?;
    Ok(smallvec![Target { uri: TargetUri::Unchanged, flow, q: Q_DEFAULT }])
}

/// RFC 3261 §16.5, inside a dialog: the Request-URI is the peer's Contact. When the peer is one of our users and
/// registered with that Contact, what leads to the binding leads to the dialog.
pub fn remote_target(turn: &Turn<'_>, screened: &Screened<'_>) -> Result<Targets, Rejection> {
    if screened.is_ours {
        let aor = screened.aor.as_ref().ok_or_else(Rejection::does_not_exist)?;
        let targets = reachable(turn, aor);
        return if targets.is_empty() {
            Err(Rejection::temporarily_unavailable())
        } else {
            Ok(targets)
        };
    }
    let flow = match registered_flow(turn, screened) {
        Some(flow) => flow,
        None => next_hop(turn, &screened.uri)?,
    };
    Ok(smallvec![Target { uri: TargetUri::Unchanged, flow, q: Q_DEFAULT }])
}

/// The flow of the binding that the To user made with this very Contact.
fn registered_flow(turn: &Turn<'_>, screened: &Screened<'_>) -> Option<Flow> {
    let target = &screened.uri;
    let aor = own::aor(turn.config, &screened.head.to_uri)?;
    let bindings = turn.shared.location.lookup(turn.now, &aor)?;
    let (binding, contact) = bindings.iter().find_map(|binding| {
        let contact = Uri::parse(binding.contact().as_bytes()).ok()?;
        // The Path is the Route of what begins a dialog; inside it the Record-Route is.
        let is_it = contact.raw == target.raw || uri::equivalent(&contact, target);
        let is_it = is_it && binding.path().is_empty();
        is_it.then_some((binding, contact))
    })?;
    match reach(turn, binding, &contact)? {
        Reach::Flow(flow, _) => Some(flow),
        Reach::User(_) => None,
    }
}

/// RFC 3261 §18.1.1, §19.1.1: transport, address and port a URI names, if it names an address. `maddr` goes before the
/// host.
fn address(uri: &Uri<'_>) -> Option<(Transport, SocketAddr)> {
    let transport = match uri.param("transport") {
        None => Transport::Udp,
        Some(token) if token.eq_ignore_ascii_case(b"udp") => Transport::Udp,
        Some(token) if token.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
        Some(_) => return None,
    };
    let ip = match uri.param("maddr") {
        Some(maddr) => Host::parse(maddr).ok()?.ip()?,
        None => uri.host.ip()?,
    };
    let port = uri.port.unwrap_or(PORT_DEFAULT);
    is_one_place(ip).then_some((transport, SocketAddr::new(ip, port))).filter(|_| port != 0)
}

/// Somewhere a request can be sent to and be one request: not everywhere, not nowhere, not a group.
pub fn is_one_place(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

fn flow_to(config: &Config, transport: Transport, remote: SocketAddr) -> Option<Flow> {
    let listener = config.listener_for(transport, remote)?;
    Some(Flow { transport, listener, connection: ConnectionId::NONE, remote })
}
