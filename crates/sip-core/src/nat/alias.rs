//! The alias of a Contact: `;alias=ip~port~proto`, as other servers write it, says where the packets of a phone behind a
//! NAT came from. The other side of the dialog puts it into its Request-URI, and there it leads back (RFC 5626 §5.2's
//! problem, solved in the Contact). Off unless the operator wants it: the sealed Record-Route does the same and leaves the
//! Contact alone; this one follows a phone whose mapping changes inside a dialog.
//!
//! An alias is believed only with our seal beside it, and only in the call it was made for: anybody may write one.

use sip_message::{Contacts, Head, Name, NameAddr, Request, Response, Uri};

use super::detect;
use crate::config::Config;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::hex;
use crate::seal::{Purpose, Seal};

/// The parameter others know, and the one beside it: which of our listeners, and the seal.
const ALIAS: &[u8] = b"alias";
const SEALED: &[u8] = b"rwa";
/// Hex digits of the two.
const LISTENER_LENGTH: usize = 4;
const MAC_LENGTH: usize = 16;

/// Adds it to the Contact of a request from a phone behind a NAT.
pub fn add_to_request(seal: &Seal, request: &mut Request, source: &Flow) {
    if detect::sender(request, source).is_some() {
        add(seal, request, source);
    }
}

/// The same for a response that a phone sent straight to us: nobody in between has recorded himself above `record_route`,
/// which tells our own.
pub fn add_to_response(
    seal: &Seal,
    response: &mut Response,
    source: &Flow,
    record_route: impl Fn(&Uri<'_>) -> bool,
) {
    let Ok(Contacts::List(mut contacts)) = response.contacts() else { return };
    let Some(Ok(contact)) = contacts.next() else { return };
    let straight = match response.record_routes().next() {
        None => true,
        Some(first) => {
            first.ok().and_then(|first| first.uri().ok()).is_some_and(|uri| record_route(&uri))
        }
    };
    if straight && contact.uri().is_ok_and(|uri| detect::stored(&uri, source)) {
        add(seal, response, source);
    }
}

/// Nothing is added to a Contact that has one already, or to several.
fn add(seal: &Seal, head: &mut Head, source: &Flow) {
    let Ok(call_id) = head.call_id() else { return };
    let Ok(Contacts::List(mut contacts)) = head.contacts() else { return };
    let (Some(Ok(contact)), None) = (contacts.next(), contacts.next()) else { return };
    let Some(value) = with_alias(seal, &contact, call_id, source) else { return };
    head.set(Name::Contact, &value);
}

fn with_alias(
    seal: &Seal,
    contact: &NameAddr<'_>,
    call_id: &[u8],
    source: &Flow,
) -> Option<Vec<u8>> {
    let uri = contact.uri().ok()?;
    if uri.param(ALIAS).is_some() || uri.param(SEALED).is_some() {
        return None;
    }
    let (raw, bytes) = (contact.raw(), contact.uri_bytes());
    let start = (bytes.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)?;
    let (before, behind) = (raw.get(..start)?, raw.get(start + bytes.len()..)?);
    let (plain, headers) = bytes.split_at(bytes.len() - uri.headers.map_or(0, |h| h.len() + 1));
    let bare = !before.ends_with(b"<");
    let place = place(source);
    let sealed = sealed(seal, call_id, &place, source.listener);
    let mut value = Vec::with_capacity(raw.len() + 80);
    for piece in [
        before,
        if bare { b"<" } else { b"" },
        plain,
        b";alias=",
        place.as_bytes(),
        b";rwa=",
        &sealed,
        headers,
        if bare { b">" } else { b"" },
        behind,
    ] {
        value.extend_from_slice(piece);
    }
    Some(value)
}

/// `192.0.2.7~5060~1`: the numbers of transports are Kamailio's.
fn place(flow: &Flow) -> String {
    let proto = match flow.transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
    };
    let (ip, port) = (flow.remote.ip().to_canonical(), flow.remote.port());
    if ip.is_ipv6() { format!("[{ip}]~{port}~{proto}") } else { format!("{ip}~{port}~{proto}") }
}

fn read_place(text: &[u8], listener: ListenerId) -> Option<Flow> {
    let mut parts = core::str::from_utf8(text).ok()?.split('~');
    let (ip, port, proto) = (parts.next()?, parts.next()?, parts.next()?);
    let transport = match proto {
        "1" => Transport::Udp,
        "2" => Transport::Tcp,
        _ => return None,
    };
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    let remote = core::net::SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    Some(Flow { transport, listener, connection: ConnectionId::NONE, remote })
}

fn sealed(seal: &Seal, call_id: &[u8], place: &str, listener: ListenerId) -> Vec<u8> {
    let mut text = Vec::with_capacity(LISTENER_LENGTH + MAC_LENGTH);
    hex::push(&listener.0.to_be_bytes(), &mut text);
    let mac = seal.mac(Purpose::Alias, &[call_id, place.as_bytes(), &text]);
    hex::push(&mac.to_be_bytes(), &mut text);
    text
}

/// Takes an alias of ours out of the Request-URI; the phone gets its Contact as it wrote it. Where it leads.
pub fn take(config: &Config, seal: &Seal, request: &mut Request) -> Option<Flow> {
    // Almost no Request-URI has one, and finding that out costs less than reading it.
    memchr::memmem::find(request.uri_bytes(), b";rwa=")?;
    let uri = request.uri().ok()?;
    let flow = read(seal, request.call_id().ok()?, &uri)?;
    let plain = without_alias(&uri);
    request.set_uri(&plain);
    config.usable(flow)
}

fn read(seal: &Seal, call_id: &[u8], uri: &Uri<'_>) -> Option<Flow> {
    use subtle::ConstantTimeEq as _;
    let (place, claimed) = (uri.param(ALIAS)?, uri.param(SEALED)?);
    let listener = claimed.get(..LISTENER_LENGTH)?;
    let listener = ListenerId(u16::try_from(hex::read(listener)?).ok()?);
    let text = core::str::from_utf8(place).ok()?;
    let genuine: bool = sealed(seal, call_id, text, listener).ct_eq(claimed).into();
    if genuine { read_place(place, listener) } else { None }
}

fn without_alias(uri: &Uri<'_>) -> Vec<u8> {
    let headers = uri.headers.map_or(0, |headers| headers.len() + 1);
    let params = uri.params.as_bytes().len();
    let (start, end) = (uri.raw.len() - headers - params, uri.raw.len() - headers);
    let mut plain = uri.raw.get(..start).unwrap_or_default().to_vec();
    for (name, value) in uri.params.iter() {
        if name.eq_ignore_ascii_case(ALIAS) || name.eq_ignore_ascii_case(SEALED) {
            continue;
        }
        plain.push(b';');
        plain.extend_from_slice(name);
        if let Some(value) = value {
            plain.push(b'=');
            plain.extend_from_slice(value);
        }
    }
    plain.extend_from_slice(uri.raw.get(end..).unwrap_or_default());
    plain
}
