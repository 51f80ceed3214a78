//! Room "screen" (RFC 3261 §16.3): is this a request we may handle at all? Syntax, scheme, demands we do not meet,
//! hops left, loops. It never looks at who is asking.

use sip_message::{Method, Name, ParseError, ParseErrorKind, Request, Scheme};

use crate::rejection::Rejection;
use crate::route::own;
use crate::seal::Purpose;
use crate::transaction::Branch;
use crate::turn::Turn;

/// Seconds a caller waits before trying again while we are leaving service.
const RETRY_AFTER_DRAIN: u32 = 5;

/// Returns the loop hash of the request, for the branches of its forks.
pub fn check(turn: &Turn<'_>, request: &Request, own_routes: usize) -> Result<u32, Rejection> {
    request.check().map_err(syntax)?; //                               RFC 3261 §16.3 step 1
    scheme(request)?;
    draining(turn, request)?;
    max_forwards(turn, request)?;
    proxy_require(request)?;
    let loop_hash = loop_hash(turn, request, own_routes);
    if has_come_back(turn, request, loop_hash) {
        return Err(Rejection::loop_detected());
    }
    Ok(loop_hash)
}

/// The answer a syntax error earns (RFC 3261 §16.3 step 1, §21.4.1, §21.4.11, §21.5.5, §21.5.7).
pub fn syntax(error: ParseError) -> Rejection {
    let words = error.kind.words();
    match error.kind {
        ParseErrorKind::VersionUnsupported => Rejection::version_not_supported(),
        ParseErrorKind::MessageTooLarge => Rejection::message_too_large(),
        ParseErrorKind::HeadTooLarge => Rejection::too_large(),
        ParseErrorKind::UriTooLong => Rejection::uri_too_long(),
        ParseErrorKind::ViasTooMany => Rejection::too_many_hops(),
        _ => Rejection::bad_request(words),
    }
}

/// RFC 3261 §16.3 step 2. `sips` asks for TLS on every hop: we have none, so we do not pretend to understand it.
fn scheme(request: &Request) -> Result<(), Rejection> {
    match request.uri() {
        Ok(uri) if uri.scheme == Scheme::Sip => Ok(()),
        Ok(_) => Err(Rejection::unsupported_uri_scheme()),
        Err(error) => Err(syntax(error)),
    }
}

/// RFC 3261 §21.5.4: leaving service. Calls under way go on, and phones may still register: after a restart they
/// would otherwise be gone for as long as they were told to wait.
fn draining(turn: &Turn<'_>, request: &Request) -> Result<(), Rejection> {
    let begins = request.to().is_ok_and(|to| to.tag().is_none());
    if turn.draining && begins && !matches!(request.method(), Method::Register | Method::Ack) {
        return Err(Rejection::service_unavailable(RETRY_AFTER_DRAIN));
    }
    Ok(())
}

/// RFC 3261 §16.3 step 3: a used-up Max-Forwards forbids forwarding. What ends here is not forwarded.
fn max_forwards(turn: &Turn<'_>, request: &Request) -> Result<(), Rejection> {
    if request.max_forwards() != Ok(Some(0)) {
        return Ok(());
    }
    let ends_here = request.uri().is_ok_and(|uri| {
        own::names_us(turn.config, &uri)
            && (uri.user.is_none() || request.method() == Method::Register)
    });
    if ends_here { Ok(()) } else { Err(Rejection::too_many_hops()) }
}

/// RFC 3261 §16.3 step 5: no extension of ours needs a proxy's help, so every demand is one we do not meet.
fn proxy_require(request: &Request) -> Result<(), Rejection> {
    unsupported(request, Name::ProxyRequire)
}

/// RFC 3261 §8.2.2.3: the same for what only the final recipient must understand.
pub fn require(request: &Request) -> Result<(), Rejection> {
    unsupported(request, Name::Require)
}

fn unsupported(request: &Request, name: Name) -> Result<(), Rejection> {
    if request.header(name).is_none() {
        return Ok(());
    }
    let mut list = String::new();
    for token in request.tokens(name) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&String::from_utf8_lossy(token));
    }
    if list.is_empty() { Ok(()) } else { Err(Rejection::bad_extension(&list)) }
}

/// RFC 3261 §16.6 step 8, RFC 5393 §4.2: a hash of everything that decides where this request goes. For a local user
/// that is the address of record: `sip:a@example.com` and `sip:a@192.0.2.1;x=y` go the same way. Credentials are left
/// out, because they are consumed on the way.
fn loop_hash(turn: &Turn<'_>, request: &Request, own_routes: usize) -> u32 {
    let uri = request.uri().ok();
    let local = uri
        .filter(|uri| own::names_us(turn.config, uri))
        .and_then(|uri| own::aor(turn.config, &uri));
    let target = match &local {
        Some(aor) => aor.as_bytes(),
        None => request.uri_bytes(),
    };
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    let from = request.from().ok();
    let to = request.to().ok();
    let next_route = request.routes().nth(own_routes).and_then(Result::ok);
    let parts: [&[u8]; 6] = [
        target,
        from.as_ref().and_then(|from| from.tag()).unwrap_or_default(),
        to.as_ref().and_then(|to| to.tag()).unwrap_or_default(),
        request.call_id().unwrap_or_default(),
        &cseq.to_be_bytes(),
        next_route.as_ref().map(|route| route.raw()).unwrap_or_default(),
    ];
    // 32 bits are what the branch has room for.
    (turn.shared.seal.mac(Purpose::Loop, &parts) >> 32) as u32
}

/// RFC 3261 §16.3 step 4: one of the Vias is ours, and the request has not changed since. A request that returns with
/// another target is a spiral, and legal.
fn has_come_back(turn: &Turn<'_>, request: &Request, loop_hash: u32) -> bool {
    request.vias().map_while(Result::ok).any(|via| {
        via.branch
            .and_then(|branch| Branch::read(&turn.shared.seal, branch))
            .is_some_and(|parts| parts.loop_hash == loop_hash)
    })
}
