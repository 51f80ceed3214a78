//! The Path of a REGISTER (RFC 3327): the proxies between us and a phone that want to be on the way to it. It is kept
//! with the binding and becomes the Route of what is sent there; here it is only read and judged.

use sip_message::{Name, Request};

use super::{PATH_MAX, bad_request, contact};
use crate::config::Config;
use crate::flow::Flow;
use crate::rejection::Rejection;

/// The option tag of RFC 3327.
pub const TAG: &[u8] = b"path";

/// The values, separated by commas; empty when there are none.
pub fn of(request: &Request, flow: &Flow, config: &Config) -> Result<String, Rejection> {
    if request.header(Name::Path).is_none() {
        return Ok(String::new());
    }
    let knows = [Name::Supported, Name::Require].into_iter().flat_map(|name| request.tokens(name));
    if !knows.into_iter().any(|token| token.eq_ignore_ascii_case(TAG)) {
        // RFC 3327 §5.3: the phone would not know through whom it is called.
        return Err(Rejection::bad_extension("path"));
    }
    let mut path = String::new();
    for value in request.addresses(Name::Path) {
        let value = value.map_err(bad_request)?;
        let uri = value.uri().map_err(bad_request)?;
        contact::check(&uri, flow, config)?;
        if !uri.is_loose() {
            return Err(Rejection::bad_request("Path Without lr"));
        }
        if !path.is_empty() {
            path.push(',');
        }
        path.push_str(super::text(value.raw(), PATH_MAX, "Path Too Long")?);
    }
    if path.len() > PATH_MAX {
        return Err(Rejection::bad_request("Path Too Long"));
    }
    Ok(path)
}

/// RFC 3327 §5.3: the 200 tells the phone which Path was kept.
pub fn echo(path: &str, lines: &mut Vec<u8>) {
    if !path.is_empty() {
        lines.extend_from_slice(b"Path: ");
        lines.extend_from_slice(path.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
}
