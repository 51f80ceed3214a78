//! Room "authenticate" (RFC 3261 §22): whoever says he is one of our users proves it, and may then speak only as
//! himself. What others say about their identity is taken out of the request. It never decides where anything goes.

use sip_message::{Credentials, Method, Name, Request};
use smallvec::SmallVec;

use crate::auth::{self, Role};
use crate::config::{Config, Domains};
use crate::flow::Flow;
use crate::rejection::Rejection;
use crate::route::screen::Screened;
use crate::turn::Turn;

/// RFC 3261 §18.1.1: the port of a Via that names none.
pub const PORT_DEFAULT: u16 = 5060;

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// One of our users, proved.
    User,
    /// A gateway, by the address it sends from: it may call our users and needs no proof.
    Gateway,
    /// Not one of ours, or somebody whose request needs no proof.
    Foreign,
}

impl Caller {
    /// What is said about a user who is not there. Strangers must not learn which names exist: to them, unknown and
    /// offline are the same.
    pub fn unknown_user(&self) -> Rejection {
        match self {
            Caller::User | Caller::Gateway => Rejection::not_found(),
            Caller::Foreign => Rejection::temporarily_unavailable(),
        }
    }
}

/// RFC 3261 §22.2 at the registrar (401), §22.3 before we forward for somebody (407).
pub fn caller(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &Request,
    screened: &Screened<'_>,
) -> Result<Caller, Rejection> {
    let uri = &screened.uri;
    let registers = request.method() == Method::Register;
    if screened.is_ours && uri.user.is_none() && !registers {
        // Answered here and now, and about nobody (RFC 3261 §11): nothing to protect.
        return Ok(Caller::Foreign);
    }
    let config = turn.config;
    let domains = &config.domains;
    let port = screened.head.via.port.unwrap_or(PORT_DEFAULT);
    if !registers && config.dispatcher.speaks_from(flow.remote, port).is_some() {
        return Ok(Caller::Gateway);
    }
    let (realm, role) = if registers {
        (domain_of(domains, uri.host_bytes, screened.is_ours), Role::Registrar)
    } else {
        // Whatever port it names: a user of ours is one at any of our names.
        (domains.canonical(screened.head.from_uri.host_bytes), Role::Proxy)
    };
    let Some(realm) = realm else { return Ok(Caller::Foreign) };
    let proven = auth::check(turn.now, request, flow, realm, role, config, turn.shared)?;
    if registers {
        proven.must_own_to(&screened.head.to_uri, domains)?;
        return Ok(Caller::User);
    }
    proven.must_own_from(&screened.head.from_uri, domains)?;
    Ok(Caller::User)
}

/// The realm is the canonical domain; any spelling of our own address means the first one.
fn domain_of<'a>(domains: &'a Domains, host: &[u8], ours: bool) -> Option<&'a str> {
    let first = || domains.served.first().map(|name| &**name);
    if ours { domains.canonical(host).or_else(first) } else { None }
}

/// RFC 3261 §22.3: credentials for our realms end here, also those of an ACK or of a request in a dialog, which are asked
/// for none (§22.1 has the phone repeat them): the next hop could try them elsewhere. Those for other realms are none of
/// our business.
pub fn consume_credentials(config: &Config, request: &mut Request) {
    if !config.auth.enabled || request.header(Name::ProxyAuthorization).is_none() {
        return;
    }
    let is_ours = |value: &[u8]| {
        let credentials = Credentials::parse(value).ok();
        let realm = credentials.as_ref().and_then(|c| c.param("realm"));
        realm.is_some_and(|realm| config.domains.served.iter().any(|d| d.as_bytes() == &*realm))
    };
    let values = request.headers(Name::ProxyAuthorization);
    let others: SmallVec<[Vec<u8>; 1]> =
        values.filter(|value| !is_ours(value)).map(<[u8]>::to_vec).collect();
    request.remove(Name::ProxyAuthorization);
    for other in &others {
        request.append(Name::ProxyAuthorization, other);
    }
}

/// RFC 3325 §5: an identity asserted by somebody outside our trust is removed before anybody inside believes it.
pub fn strip_identity(request: &mut Request) {
    request.remove(Name::PAssertedIdentity);
    request.remove(Name::PPreferredIdentity);
    request.remove_named(b"Remote-Party-ID");
}
