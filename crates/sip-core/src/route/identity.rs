//! Room "identity" (RFC 3325): whom we assert as the caller, to whom. Only a gateway in our trust domain is believed, and
//! only such a one is told; users are told what a trusted gateway says unless the caller wants it kept (`Privacy: id`).

use sip_message::{Name, Request};

use crate::dispatcher::gateway::push_user;
use crate::dispatcher::route::CallerId;
use crate::route::condition::Facts;
use crate::turn::Turn;

/// The lines for a trusted gateway: empty if nothing is asserted. RFC 3325 §9.3: a Privacy header stays in the request,
/// for the trusted have agreed to honour it.
pub fn for_gateway(turn: &Turn<'_>, facts: &Facts<'_>, caller_id: &CallerId) -> Vec<u8> {
    let Some(user) = facts.from(turn) else {
        return match caller_id {
            CallerId::Number(number) => asserted(&at_home(turn, number)),
            CallerId::Nobody => Vec::new(),
            CallerId::Keep | CallerId::User | CallerId::Alias => received(facts),
        };
    };
    let identity = match caller_id {
        CallerId::Keep | CallerId::Nobody => return Vec::new(),
        CallerId::User => uri(&user),
        CallerId::Alias => match turn.shared.aliases.of(&user) {
            Some(alias) => uri(&alias),
            None => uri(&user),
        },
        CallerId::Number(number) => at_home(turn, number),
    };
    asserted(&identity)
}

/// The lines for one of our users. RFC 3325 §7: "If a proxy ... is about to forward to an entity that is not trusted, and
/// the user has asked for privacy, the identities are removed".
pub fn for_user(facts: &Facts<'_>) -> Vec<u8> {
    if wants_privacy(facts.request) { Vec::new() } else { received(facts) }
}

/// What a trusted gateway has said.
fn received(facts: &Facts<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    if facts.gateway.is_some_and(|gateway| gateway.trusted) {
        for value in facts.request.headers(Name::PAssertedIdentity) {
            push_line(value, &mut lines);
        }
    }
    lines
}

fn asserted(identity: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    push_line(&[b"<", identity, b">"].concat(), &mut lines);
    lines
}

fn push_line(value: &[u8], lines: &mut Vec<u8>) {
    lines.extend_from_slice(b"P-Asserted-Identity: ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

/// RFC 3325 §9.3: `id` among the values of RFC 3323 §4.2.
fn wants_privacy(request: &Request) -> bool {
    let mut values = request.headers(Name::Privacy).flat_map(|value| value.split(|b| *b == b';'));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"id"))
}

fn uri(aor: &str) -> Vec<u8> {
    let (user, domain) = aor.rsplit_once('@').unwrap_or((aor, ""));
    let mut uri = b"sip:".to_vec();
    push_user(user.as_bytes(), &mut uri);
    uri.push(b'@');
    uri.extend_from_slice(domain.as_bytes());
    uri
}

fn at_home(turn: &Turn<'_>, number: &str) -> Vec<u8> {
    let domain = turn.config.domains.served.first().map_or("", |domain| domain);
    uri(&format!("{number}@{domain}"))
}
