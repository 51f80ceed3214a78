//! Room "screen" (RFC 3261 §16.3): is this a request we may handle at all? Syntax, scheme, demands we do not meet,
//! hops left, loops. It never looks at who is asking.

use sip_message::{Checked, CheckedHead, Method, Name, ParseError, Request, Scheme};

use crate::config::AorBuf;
use crate::rejection::Rejection;
use crate::route::own;
use crate::route::within::{self, Routes};
use crate::seal::Purpose;
use crate::transaction::Branch;
use crate::turn::Turn;

/// Seconds a caller waits before trying again while we are leaving service.
const RETRY_AFTER_DRAIN: u32 = 5;

/// What was read of a request on the way through this room, for the rooms behind it.
pub struct Screened<'a> {
    pub uri: sip_message::Uri<'a>,
    pub head: CheckedHead<'a>,
    pub routes: Routes<'a>,
    /// The Request-URI names us.
    pub is_ours: bool,
    /// The user it names, if it names us.
    pub aor: Option<AorBuf>,
    /// For the branches of the forks.
    pub loop_hash: u32,
}

pub fn check<'a>(turn: &Turn<'_>, request: &'a Request) -> Result<Screened<'a>, Rejection> {
    let Checked { uri, head, max_forwards } = request.check().map_err(syntax)?; // RFC 3261 §16.3 step 1
    // RFC 3261 §16.3 step 2. `sips` asks for TLS on every hop: we have none, so we do not pretend to understand it.
    if uri.scheme != Scheme::Sip {
        return Err(Rejection::unsupported_uri_scheme());
    }
    let is_ours = own::names_us(turn.config, &uri);
    // RFC 3261 §16.3 step 3: a used-up Max-Forwards forbids forwarding. What ends here is not forwarded.
    let ends_here = is_ours && (uri.user.is_none() || request.method() == Method::Register);
    if !ends_here {
        draining(turn, request.method(), head.to.tag().is_none())?;
    }
    if max_forwards == Some(0) && !ends_here {
        return Err(Rejection::too_many_hops());
    }
    proxy_require(request)?;
    let aor = if is_ours { own::aor(turn.config, &uri) } else { None };
    let routes = within::routes(turn, request, &head);
    let mut screened = Screened { uri, head, routes, is_ours, aor, loop_hash: 0 };
    screened.loop_hash = loop_hash(turn, &screened);
    if has_come_back(turn, request, &screened) {
        return Err(Rejection::loop_detected());
    }
    Ok(screened)
}

/// The answer a syntax error earns (RFC 3261 §16.3 step 1).
pub fn syntax(error: ParseError) -> Rejection {
    Rejection::from(error)
}

/// RFC 3261 §21.5.4: leaving service. Calls under way go on; so does what ends here, for it is over at once: phones may
/// still register (after a restart they would otherwise be gone for as long as they were told to wait), and whoever
/// asks with OPTIONS notices nothing of a restart.
pub fn draining(turn: &Turn<'_>, method: Method<'_>, begins: bool) -> Result<(), Rejection> {
    let goes_on = matches!(method, Method::Register | Method::Ack | Method::Cancel);
    if turn.draining && begins && !goes_on {
        return Err(Rejection::service_unavailable(RETRY_AFTER_DRAIN));
    }
    Ok(())
}

/// RFC 3261 §16.3 step 5: no extension of ours needs a proxy's help, so every demand is one we do not meet.
pub fn proxy_require(request: &Request) -> Result<(), Rejection> {
    unsupported(request, Name::ProxyRequire, &[])
}

/// RFC 3261 §8.2.2.3: the same for what only the final recipient must understand, which knows these option tags.
pub fn require(request: &Request, known: &[&[u8]]) -> Result<(), Rejection> {
    unsupported(request, Name::Require, known)
}

fn unsupported(request: &Request, name: Name, known: &[&[u8]]) -> Result<(), Rejection> {
    if request.header(name).is_none() {
        return Ok(());
    }
    let mut list = String::new();
    let is_unknown = |token: &&[u8]| !known.iter().any(|tag| tag.eq_ignore_ascii_case(token));
    for token in request.tokens(name).filter(is_unknown) {
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
fn loop_hash(turn: &Turn<'_>, screened: &Screened<'_>) -> u32 {
    let Screened { uri, head, routes, aor, .. } = screened;
    let parts: [&[u8]; 6] = [
        aor.as_ref().map_or(uri.raw, |aor| aor.as_bytes()),
        head.from.tag().unwrap_or_default(),
        head.to.tag().unwrap_or_default(),
        head.call_id,
        &head.cseq.number.to_be_bytes(),
        routes.next.as_ref().map(|route| route.raw()).unwrap_or_default(),
    ];
    // 32 bits are what the branch has room for.
    (turn.shared.seal.mac(Purpose::Loop, &parts) >> 32) as u32
}

/// RFC 3261 §16.3 step 4: one of the Vias is ours, and the request has not changed since. A request that returns with
/// another target is a spiral, and legal.
fn has_come_back(turn: &Turn<'_>, request: &Request, screened: &Screened<'_>) -> bool {
    let is_ours = |branch: Option<&[u8]>| {
        branch
            .and_then(|branch| Branch::read(&turn.shared.branch_seal, branch))
            .is_some_and(|parts| parts.loop_hash == screened.loop_hash)
    };
    let top = &screened.head.via;
    let mut lines = request.headers(Name::Via);
    let is_alone = lines.next().is_some_and(|line| line.len() == top.raw().len());
    if is_alone && lines.next().is_none() {
        return is_ours(top.branch);
    }
    request.vias().map_while(Result::ok).any(|via| is_ours(via.branch))
}
