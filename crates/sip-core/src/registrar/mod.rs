//! The registrar (RFC 3261 §10): what a REGISTER asks for, whether it may be, and the 200 that lists the bindings.
//! Who is asking was settled before (`auth`); rows are made here and written elsewhere (`store`); a request that fails
//! changes nothing.

pub mod binding;
mod contact;
mod expiry;
pub mod location;
mod path;
pub mod record;

use sip_message::{Contacts, Name, NameAddr, ParseError, Request, Scheme, Uri, Via, uri};
use smallvec::SmallVec;

use crate::config::{AorBuf, Config};
use crate::flow::Flow;
use crate::nat::detect;
use crate::nat::keepalive::Watched;
use crate::output::{BindingWrite, Event};
use crate::rejection::Rejection;
use crate::shared::Shared;
use crate::time::{Duration, Instant};

use binding::{Binding, CALL_ID_MAX, CONTACT_MAX, PATH_MAX, Q_DEFAULT};
use record::{Refusal, Undo, Update, Wish, Wishes};

/// Option tags the registrar understands in Require.
pub const EXTENSIONS: &[&[u8]] = &[path::TAG];

/// Contacts one REGISTER may carry. More than a user may have is never useful.
const CONTACTS_MAX: usize = 16;

/// Retry-After, in seconds, when the whole location table is full.
const FULL_RETRY_AFTER: u32 = 60;

/// A REGISTER that was granted and is in the table. If `writes` is not empty the 200 must wait for the store; should
/// the store refuse, call [`undo`](Self::undo) and answer 503.
#[derive(Debug)]
pub struct Registered {
    pub aor: AorBuf,
    /// The Contact lines of the 200 (RFC 3261 §10.3 step 8), each ended by CRLF.
    pub contacts: Vec<u8>,
    /// To be told when the 200 leaves.
    pub events: Vec<Event>,
    /// Rows to make durable first; always empty without `Config::durable`.
    pub writes: Vec<BindingWrite>,
    /// To be pinged from now on: phones behind NATs.
    pub watched: SmallVec<[Watched; 1]>,
    undo: Undo,
}

impl Registered {
    /// Takes everything back, except where a newer request has changed it since.
    pub fn undo(self, now: Instant, shared: &Shared) {
        shared.location.undo(now, &self.aor, self.undo);
    }
}

/// RFC 3261 §10.3 steps 6 to 8. The caller has checked syntax and `Require`, and that whoever sent this owns `aor`, the
/// [`address_of_record`].
pub fn register(
    now: Instant,
    aor: AorBuf,
    request: &Request,
    flow: &Flow,
    config: &Config,
    shared: &Shared,
) -> Result<Registered, Rejection> {
    let call_id = text(request.call_id().map_err(bad_request)?, CALL_ID_MAX, "Call-ID Too Long")?;
    let cseq = request.cseq().map_err(bad_request)?.number;
    let mut wishes = SmallVec::<[Wish<'_>; 2]>::new();
    let wishes = match request.contacts().map_err(bad_request)? {
        // Step 6: only alone and only with an Expires of 0.
        Contacts::Star if request.expires() != Some(0) => {
            return Err(Rejection::bad_request("Contact * Needs Expires 0"));
        }
        Contacts::Star => Wishes::RemoveAll,
        Contacts::List(contacts) => {
            // With a Path somebody stands in between, even if he left no Via.
            let via = detect::only_via(request).filter(|_| request.header(Name::Path).is_none());
            for contact in contacts {
                if wishes.len() == CONTACTS_MAX {
                    return Err(Rejection::bad_request("Too Many Contacts In One Request"));
                }
                let contact = contact.map_err(bad_request)?;
                wishes.push(wish(&contact, via.as_ref(), request, flow, config)?);
            }
            Wishes::Contacts(&wishes)
        }
    };
    let path = path::of(request, flow, config)?;
    let update = Update {
        wishes,
        call_id,
        cseq,
        user_agent: printable(request.header(Name::UserAgent).unwrap_or_default()),
        path: &path,
        flow: *flow,
        contacts_max: config.registrar.contacts_per_user,
        durable: config.durable,
    };
    let list = |bindings: &[Binding]| contact_lines(now, bindings.iter());
    if matches!(wishes, Wishes::Contacts([])) {
        // A query (RFC 3261 §10.2.3).
        let found = shared.location.lookup(now, &aor);
        let contacts = found.map(|b| contact_lines(now, b.iter())).unwrap_or_default();
        let (events, writes, undo, watched) = Default::default();
        return Ok(Registered { aor, contacts, events, writes, watched, undo });
    }
    match shared.location.update(now, &aor, &update, same_contact, list) {
        Ok((changed, mut contacts)) => {
            path::echo(&path, &mut contacts);
            let (events, writes, undo) = (changed.events, changed.writes, changed.undo);
            let watched = watched(&aor, &update, shared);
            Ok(Registered { aor, contacts, events, writes, watched, undo })
        }
        Err(Refusal::OutOfOrder) => Err(Rejection::out_of_order()),
        Err(Refusal::TooMany { until_free }) => {
            Err(Rejection::too_many_contacts(seconds_up(until_free)))
        }
        Err(Refusal::Full) => Err(Rejection::service_unavailable(FULL_RETRY_AFTER)),
    }
}

/// RFC 3261 §10.3 step 7: one Contact, whether it may be registered at all, and for how long.
fn wish<'a>(
    contact: &NameAddr<'a>,
    via: Option<&Via<'_>>,
    request: &Request,
    flow: &Flow,
    config: &Config,
) -> Result<Wish<'a>, Rejection> {
    let uri = contact.uri().map_err(bad_request)?;
    contact::check(&uri, flow, config)?;
    // One that names a user of ours is looked up, not sent to.
    let natted = config.domains.canonical(uri.host_bytes).is_none()
        && detect::sign(&uri, via, flow).is_some();
    let expires = expiry::granted(contact.expires(), request.expires(), &config.registrar)?;
    let expires = expiry::behind_nat(expires, natted, flow, &config.nat);
    let q = contact.q().unwrap_or(Q_DEFAULT);
    let contact = text(contact.uri_bytes(), CONTACT_MAX, "Contact Too Long")?;
    Ok(Wish { contact, q, expires, natted })
}

/// What is pinged of what was granted. A stream is kept open by its own means.
fn watched(aor: &str, update: &Update<'_>, shared: &Shared) -> SmallVec<[Watched; 1]> {
    let Wishes::Contacts(wishes) = update.wishes else { return SmallVec::new() };
    let pinged = |wish: &&Wish<'_>| wish.natted && !wish.expires.is_zero();
    let mut pinged = wishes.iter().filter(pinged).peekable();
    if update.flow.transport.is_reliable() || pinged.peek().is_none() {
        return SmallVec::new();
    }
    let user = shared.location.hash(aor);
    pinged.map(|wish| Watched::new(user, wish.contact, update.call_id)).collect()
}

/// RFC 3261 §10.3 steps 1 and 5: the domain of the Request-URI must be ours and To must be a user in it.
pub fn address_of_record(
    uri: &Uri<'_>,
    to: &Uri<'_>,
    config: &Config,
) -> Result<AorBuf, Rejection> {
    let Some(domain) = config.domains.canonical(uri.host_bytes) else {
        return Err(Rejection::forbidden("Domain Not Served"));
    };
    if !matches!(to.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(Rejection::bad_request("To Is No SIP URI"));
    }
    let aor = config.domains.aor(to).ok_or_else(Rejection::not_found)?;
    // The domain part of an AoR is canonical.
    let in_domain = aor.strip_suffix(domain).is_some_and(|user| user.ends_with('@'));
    if in_domain { Ok(aor) } else { Err(Rejection::not_found()) }
}

fn bad_request(error: ParseError) -> Rejection {
    Rejection::bad_request(error.kind.words())
}

fn text<'a>(bytes: &'a [u8], max: usize, too_long: &'static str) -> Result<&'a str, Rejection> {
    if bytes.len() > max {
        return Err(Rejection::bad_request(too_long));
    }
    core::str::from_utf8(bytes).map_err(|_| Rejection::bad_request("Not UTF-8"))
}

/// The part of a free text header that can be kept and shown: up to the first control character or broken byte.
fn printable(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(u8::is_ascii_control).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or_default();
    match core::str::from_utf8(text) {
        Ok(text) => text,
        Err(e) => text
            .get(..e.valid_up_to())
            .and_then(|t| core::str::from_utf8(t).ok())
            .unwrap_or_default(),
    }
}

/// RFC 3261 §10.3 step 7: Contacts are compared as URIs (§19.1.4). Nearly always they are the same bytes.
fn same_contact(stored: &str, asked: &str) -> bool {
    if stored == asked {
        return true;
    }
    match (Uri::parse(stored.as_bytes()), Uri::parse(asked.as_bytes())) {
        (Ok(stored), Ok(asked)) => uri::equivalent(&stored, &asked),
        _ => false,
    }
}

fn seconds_up(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

/// RFC 3261 §10.3 step 8: every current binding, with the seconds it has left.
fn contact_lines<'a>(now: Instant, bindings: impl Iterator<Item = &'a Binding>) -> Vec<u8> {
    let mut lines = Vec::with_capacity(128);
    for binding in bindings.filter(|b| b.is_live(now)) {
        lines.extend_from_slice(b"Contact: <");
        lines.extend_from_slice(binding.contact().as_bytes());
        lines.push(b'>');
        if binding.q() != Q_DEFAULT {
            q(binding.q(), &mut lines);
        }
        lines.extend_from_slice(b";expires=");
        push_number(binding.expires_in(now), &mut lines);
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// `;q=0.500`, for a preference below 1000 thousandths.
pub fn q(q: u16, lines: &mut Vec<u8>) {
    lines.extend_from_slice(b";q=0.");
    lines.extend([q / 100, q / 10 % 10, q % 10].map(|digit| b'0' + (digit % 10) as u8));
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len() - 1;
    loop {
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || start == 0 {
            break;
        }
        start -= 1;
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests;
