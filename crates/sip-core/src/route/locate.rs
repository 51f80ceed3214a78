//! Room "locate" (RFC 3261 §16.5): from an address of record to the places where its user can be reached, and from a
//! URI to the next hop: an address, one of our users, the flow of a binding, or a name, whose addresses are found out when
//! the request is sent (RFC 3263).

use core::net::SocketAddr;

use sip_message::{NameAddr, Request, Uri, uri};
use smallvec::{SmallVec, smallvec};

use crate::config::{AorBuf, Config};
use crate::flow::{ConnectionId, Flow, Transport};
use crate::limits;
use crate::locate::{Destination, Place};
use crate::nat::detect;
use crate::proxy::{Next, Target, TargetUri, Targets};
use crate::registrar::binding::{Binding, Q_DEFAULT};
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::own;
use crate::route::screen::Screened;
use crate::turn::Turn;

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
        // It used to answer pings: perhaps it is gone, so others are tried first.
        let q = if binding.is_silent() { 0 } else { q.min(binding.q()) };
        match reach(turn, binding, &contact) {
            Some(Reach::Flow(flow, length)) => {
                let (uri, next) = (TargetUri::Contact(binding.uri(length)), Next::Flow(flow));
                targets.push(Target { uri, next, q });
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
        Some((transport, to)) if to.ip() == registered.remote.ip() && !binding.is_natted() => {
            turn.config.flow_to(transport, to)?
        }
        _ => registered,
    };
    let flow = turn.config.usable(Flow { listener: registered.listener, ..flow })?;
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
    config.flow_to(transport, to).filter(|flow| same && flow.listener == gone.listener)
}

/// RFC 3261 §16.6 step 7 for a URI that is not ours: an address, a name, or 478.
pub fn next_hop(turn: &Turn<'_>, uri: &Uri<'_>) -> Result<Next, Rejection> {
    if own::names_us(turn.config, uri) {
        // We would be sending it to ourselves.
        return Err(Rejection::loop_detected());
    }
    let next = match Place::of(uri) {
        Some(Place::Name(sought)) => Some(Next::Name(Box::new(sought))),
        Some(Place::Address(to)) => turn.config.flow_to(to.transport, to.address).map(Next::Flow),
        None => None,
    };
    next.ok_or_else(Rejection::unresolvable)
}

/// The address that a URI names, if it names one.
fn address(uri: &Uri<'_>) -> Option<(Transport, SocketAddr)> {
    match Place::of(uri)? {
        Place::Address(Destination { transport, address }) => Some((transport, address)),
        Place::Name(_) => None,
    }
}

/// RFC 3261 §16.5: a domain we are not responsible for: the Request-URI is the only target.
pub fn elsewhere(turn: &Turn<'_>, target: &Uri<'_>) -> Result<Targets, Rejection> {
    let next = next_hop(turn, target)?;
    Ok(smallvec![Target { uri: TargetUri::Unchanged, next, q: Q_DEFAULT }])
}

/// RFC 3261 §16.5, inside a dialog: the Request-URI is the peer's Contact. When the peer is one of our users and
/// registered with that Contact, what leads to the binding leads to the dialog, wherever it has moved since. Otherwise a
/// peer behind a NAT is reached by the flow that was sealed into its Contact (`alias`) or into our Route (`sealed`,
/// RFC 5626 §5.3).
pub fn remote_target(
    turn: &Turn<'_>,
    screened: &Screened<'_>,
    alias: Option<Flow>,
    sealed: Option<Flow>,
) -> Result<Targets, Rejection> {
    if screened.is_ours {
        let aor = screened.aor.as_ref().ok_or_else(Rejection::does_not_exist)?;
        let targets = reachable(turn, aor);
        return if targets.is_empty() {
            Err(Rejection::temporarily_unavailable())
        } else {
            Ok(targets)
        };
    }
    let sealed = sealed
        .filter(|flow| detect::leads_to(flow, &screened.uri))
        .and_then(|flow| turn.config.usable(flow));
    let next = match registered_flow(turn, screened).or(alias).or(sealed) {
        Some(flow) => Next::Flow(flow),
        None => next_hop(turn, &screened.uri)?,
    };
    Ok(smallvec![Target { uri: TargetUri::Unchanged, next, q: Q_DEFAULT }])
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
