//! A request as a proxy sends it on (RFC 3261 §16.6): one pass over the header table, the untouched middle copied
//! whole. Forks share the parsed request; each is one `Patch`.

use super::{copy, end, line, number_line, request_line, without_first};
use crate::message::Request;
use crate::name::Name;

/// What one fork changes. Values are single lines without their header name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patch<'a> {
    /// Instead of the received Request-URI (§16.6 step 2).
    pub request_uri: Option<&'a [u8]>,
    /// Our Via value (§16.6 step 8).
    pub via: &'a [u8],
    /// Record-Route values, the topmost first (§16.6 step 4).
    pub record_routes: &'a [&'a [u8]],
    /// How many Route values, from the top, were ours and are used up (§16.4).
    pub routes_popped: usize,
    /// A Route value to put on top (§16.6 step 6), after popping.
    pub route_prepended: Option<&'a [u8]>,
    /// The new Max-Forwards (§16.6 step 3); added when the request had none.
    pub max_forwards: u8,
    /// Headers that do not travel on, such as the Proxy-Authorization that was for us (§22.3).
    pub removed: &'a [Name],
    /// Whole header lines, each ended by CRLF, put behind all others.
    pub header_lines: &'a [u8],
}

/// Writes the request with the patch applied.
pub fn forward(request: &Request, patch: &Patch<'_>, out: &mut Vec<u8>) {
    out.reserve(request.buf.len() + request.edits.len() + 384 + patch.header_lines.len());
    request_line(request, patch.request_uri.unwrap_or(request.uri_bytes()), out);
    line(Name::Via, patch.via, out);
    for value in patch.record_routes {
        line(Name::RecordRoute, value, out);
    }
    if let Some(value) = patch.route_prepended {
        line(Name::Route, value, out);
    }
    let mut popped = patch.routes_popped;
    let mut touched = Name::MaxForwards.bit();
    if popped > 0 {
        touched |= Name::Route.bit();
    }
    for name in patch.removed {
        touched |= name.bit();
    }
    touched &= !Name::Other.bit();
    let fields = &request.fields[..];
    let mut from = 0;
    let mut hops_written = false;
    for (at, field) in fields.iter().enumerate() {
        if touched & field.name.bit() == 0 {
            continue;
        }
        copy(request, fields.get(from..at).unwrap_or_default(), out);
        from = at + 1;
        match field.name {
            Name::MaxForwards if !hops_written => {
                hops_written = true;
                number_line(Name::MaxForwards, u32::from(patch.max_forwards), out);
            }
            Name::Route if !patch.removed.contains(&Name::Route) => {
                let value = request.value_of(field).0;
                if let Some(rest) = without_first(Name::Route, value, &mut popped) {
                    line(Name::Route, rest, out);
                }
            }
            _ => {}
        }
    }
    copy(request, fields.get(from..).unwrap_or_default(), out);
    if !hops_written {
        number_line(Name::MaxForwards, u32::from(patch.max_forwards), out);
    }
    out.extend_from_slice(patch.header_lines);
    end(request, out);
}
