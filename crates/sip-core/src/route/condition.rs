//! Whether a route is for a request, and if not, for want of what. Asked in the order in which a person would: who, whom,
//! where from, and the rest. It decides nothing else.

use core::fmt;
use core::net::IpAddr;
use std::borrow::Cow;
use std::sync::Arc;

use sip_message::{Method, Request};

use crate::config::AorBuf;
use crate::dispatcher::gateway::Gateway;
use crate::dispatcher::number::Matched;
use crate::dispatcher::route::{Action, Route, Source, When, Who, Whom};
use crate::flow::Flow;
use crate::route::authenticate::{Caller, PORT_DEFAULT};
use crate::route::own;
use crate::route::screen::Screened;
use crate::turn::Turn;

/// What routes ask about a request.
pub struct Facts<'a> {
    pub request: &'a Request,
    pub screened: &'a Screened<'a>,
    pub caller: Caller,
    pub ip: IpAddr,
    /// The gateway it comes from.
    pub gateway: Option<&'a Arc<Gateway>>,
    /// The user part of the Request-URI, escapes undone, without its parameters.
    pub number: Cow<'a, str>,
    /// Whom it is for, if that is one of our users; and whether under another name.
    pub user: Option<AorBuf>,
    pub by_alias: bool,
}

/// Why a route is not for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss<'r> {
    /// It asks for no proof, but calls by gateways are not for strangers.
    Stranger,
    From,
    To(&'r Whom),
    Number,
    Source,
    Method,
    Header(&'r str),
    Hours,
    Domain,
}

impl<'a> Facts<'a> {
    pub fn of(
        turn: &Turn<'a>,
        flow: &Flow,
        request: &'a Request,
        screened: &'a Screened<'a>,
        caller: Caller,
    ) -> Self {
        let accounts = &turn.shared.accounts;
        let known = |aor: &&AorBuf| {
            accounts.contains(aor) || turn.shared.location.lookup(turn.now, aor).is_some()
        };
        let named = screened.aor.as_ref().filter(known).cloned();
        let alias = || turn.shared.aliases.find(screened.aor.as_deref()?);
        let alias = if named.is_none() { alias() } else { None };
        let by_alias = alias.is_some();
        let user = named.or_else(|| alias.map(|user| AorBuf::from(&*user)));
        let ip = flow.remote.ip();
        let gateway = match caller {
            Caller::Gateway => {
                let port = screened.head.via.port.unwrap_or(PORT_DEFAULT);
                turn.config.dispatcher.speaks_from(flow.remote, port)
            }
            _ => None,
        };
        let number = number(screened.uri.user.unwrap_or_default());
        Self { request, screened, caller, ip, gateway, number, user, by_alias }
    }

    /// The proven user who calls.
    pub fn from(&self, turn: &Turn<'_>) -> Option<AorBuf> {
        let is_user = matches!(self.caller, Caller::User);
        is_user.then(|| own::aor(turn.config, &self.screened.head.from_uri)).flatten()
    }
}

/// `+49301%32` -> `+493012`: without parameters, escapes undone; as it is if that is no text.
fn number(user: &[u8]) -> Cow<'_, str> {
    let user = user.split(|b| *b == b';').next().unwrap_or_default();
    if !user.contains(&b'%') {
        return String::from_utf8_lossy(user);
    }
    let mut text = Vec::with_capacity(user.len());
    let mut rest = user;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail
            .get(..2)
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok());
        (rest, _) = match escaped {
            Some(escaped) => (tail.get(2..).unwrap_or_default(), text.push(escaped)),
            None => (tail, text.push(byte)),
        };
    }
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

/// Whether `route` is for the request, and how its number matched.
pub fn test<'r, 'f>(
    turn: &Turn<'_>,
    route: &'r Route,
    facts: &'f Facts<'_>,
) -> Result<Matched<'f>, Miss<'r>> {
    let When { from, to, numbers, sources, methods, headers, hours, domains } = &route.when;
    let is_any = |list: &[Who]| list.iter().any(|who| is_from(turn, facts, who));
    if from.is_empty() && sources.is_empty() {
        // To give strangers a way to gateways is the operator's explicit decision: `from = "any"`.
        let is_stranger = matches!(facts.caller, Caller::Foreign);
        if is_stranger && matches!(route.action, Action::Gateways(_)) {
            return Err(Miss::Stranger);
        }
    } else if !from.is_empty() && !is_any(from) {
        return Err(Miss::From);
    }
    if let Some(first) = to.first()
        && !to.iter().any(|whom| is_to(turn, facts, whom))
    {
        return Err(Miss::To(first));
    }
    let number = facts.number.as_ref();
    let matched = match numbers.as_slice() {
        [] => Matched::whole(number),
        patterns => patterns.iter().find_map(|p| p.find(number)).ok_or(Miss::Number)?,
    };
    if !sources.is_empty() && !sources.iter().any(|s| comes_from(turn, facts.ip, facts.gateway, s))
    {
        return Err(Miss::Source);
    }
    let method = facts.request.method();
    if !methods.is_empty() && !methods.iter().any(|m| m.as_bytes() == method.as_bytes()) {
        return Err(Miss::Method);
    }
    for (name, pattern) in headers {
        let has = |value: &[u8]| pattern.find(&String::from_utf8_lossy(value)).is_some();
        if !facts.request.headers_named(name.as_bytes()).any(has) {
            return Err(Miss::Header(name));
        }
    }
    let offset = turn.config.dispatcher.utc_offset();
    if !hours.is_empty() && !hours.iter().any(|hours| hours.contains(turn.now, offset)) {
        return Err(Miss::Hours);
    }
    if !domains.is_empty() {
        let asked = turn.config.domains.canonical(facts.screened.uri.host_bytes);
        if !domains.iter().any(|domain| asked == Some(&**domain)) {
            return Err(Miss::Domain);
        }
    }
    Ok(matched)
}

fn is_from(turn: &Turn<'_>, facts: &Facts<'_>, who: &Who) -> bool {
    match who {
        Who::Any => true,
        Who::User => matches!(facts.caller, Caller::User),
        Who::ThisUser(aor) => facts.from(turn).is_some_and(|from| *from == **aor),
        Who::Gateway => facts.gateway.is_some(),
        Who::ThisGateway(name) => facts.gateway.is_some_and(|gateway| gateway.name == *name),
    }
}

fn is_to(turn: &Turn<'_>, facts: &Facts<'_>, whom: &Whom) -> bool {
    match whom {
        Whom::Any => true,
        Whom::User => facts.user.is_some() && !facts.by_alias,
        Whom::ThisUser(aor) => facts.user.as_ref().is_some_and(|user| **user == **aor),
        Whom::Alias => facts.by_alias,
        Whom::Gateway => {
            let uri = &facts.screened.uri;
            turn.config.dispatcher.gateways().iter().any(|gateway| gateway.is_named_by(uri))
        }
    }
}

/// Whether this is where a packet from `ip` came from.
pub fn comes_from(
    turn: &Turn<'_>,
    ip: IpAddr,
    gateway: Option<&Arc<Gateway>>,
    source: &Source,
) -> bool {
    match source {
        Source::Trusted => turn.config.limits.trusted.iter().any(|n| n.contains(ip)),
        Source::Network(network) => network.contains(ip),
        Source::Gateway(name) => gateway.is_some_and(|gateway| gateway.name == *name),
    }
}

/// Routes are for what begins something, or stands alone, and is for somebody: not for the registrar, nor for the server
/// itself.
pub fn may_route(request: &Request, screened: &Screened<'_>) -> bool {
    request.method() != Method::Register && screened.uri.user.is_some()
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Stranger => f.write_str("strangers reach no gateway unless from = \"any\""),
            Miss::From => f.write_str("another caller"),
            Miss::To(Whom::User) => f.write_str("not a user"),
            Miss::To(Whom::Alias) => f.write_str("not an alias"),
            Miss::To(_) => f.write_str("another callee"),
            Miss::Number => f.write_str("another number"),
            Miss::Source => f.write_str("another source"),
            Miss::Method => f.write_str("another method"),
            Miss::Header(name) => write!(f, "another {name}, or none"),
            Miss::Hours => f.write_str("another time"),
            Miss::Domain => f.write_str("another domain"),
        }
    }
}
