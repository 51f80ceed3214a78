//! Request-URI and Route of a request inside a dialog (RFC 3261 §12.2.1.1), and of one outside with a preloaded Route
//! (§8.1.1.1): loose routers, and the strict routers of RFC 2543. It decides nothing about transports.

use sip_message::{NameAddr, Uri};

/// How a request is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressing {
    pub uri: Box<[u8]>,
    /// Route values, the next hop first.
    pub routes: Vec<Box<[u8]>>,
    /// The URI that says where it is sent (RFC 3261 §8.1.2): the first loose Route, or else the Request-URI.
    pub next: Box<[u8]>,
}

impl Addressing {
    pub fn new(remote_target: &[u8], route_set: &[Box<[u8]>]) -> Self {
        let Some((first, rest)) = route_set.split_first() else {
            // "If the route set is empty, the UAC MUST place the remote target URI into the Request-URI."
            return Self {
                uri: remote_target.into(),
                routes: Vec::new(),
                next: remote_target.into(),
            };
        };
        let next = NameAddr::parse(first).map_or(&**first, |route| route.uri_bytes());
        if Uri::parse(next).is_ok_and(|uri| uri.is_loose()) {
            return Self {
                uri: remote_target.into(),
                routes: route_set.to_vec(),
                next: next.into(),
            };
        }
        // "If the route set is not empty, and its first URI does not contain the lr parameter, the UAC MUST place the
        // first URI from the route set into the Request-URI, stripping any parameters that are not allowed in a
        // Request-URI", the rest into Route, and "the remote target URI into the Route header field as the last value."
        let uri = request_uri(next);
        let mut routes = rest.to_vec();
        routes.push([b"<", remote_target, b">"].concat().into());
        Self { next: uri.clone(), uri, routes }
    }
}

/// RFC 3261 §19.1.1 Table 1: a Request-URI has neither headers nor a `method`.
pub(crate) fn request_uri(uri: &[u8]) -> Box<[u8]> {
    let Ok(parsed) = Uri::parse(uri) else { return uri.into() };
    let bare = uri.split(|byte| *byte == b'?').next().unwrap_or(uri);
    if parsed.headers.is_none() && parsed.param("method").is_none() {
        return uri.into();
    }
    let end = bare.len().saturating_sub(parsed.params.as_bytes().len());
    let mut out = bare.get(..end).unwrap_or(bare).to_vec();
    for (name, value) in parsed.params.iter() {
        if name.eq_ignore_ascii_case(b"method") {
            continue;
        }
        out.push(b';');
        out.extend_from_slice(name);
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out.into()
}
