//! Gateways, the sets they form, and the route that leads to a set: just enough of them for a stateless balancer. It
//! resolves no name and knows no health.

use std::net::SocketAddr;

use sip_core::dispatcher::hash::MEMBERS_MAX;
use sip_core::flow::Transport;
use sip_message::{Scheme, Uri};

use super::file::{At, Written};
use super::meaning::{Listen, PORT};
use super::mistake::{Mistake, nearest};
use super::part::Part;

/// One `[[gateway]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub name: String,
    pub set: String,
    pub transport: Transport,
    pub remote: SocketAddr,
    pub weight: u32,
    /// Its URI names the transport.
    pub is_fixed: bool,
}

/// What a stateless proxy forwards to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    pub set: String,
    pub gateways: Vec<Gateway>,
    pub record_route: bool,
}

const WEIGHT_MAX: u64 = 10_000;

/// `None` in the usual mode. `listen`: what we can send from.
pub fn balance(written: &mut Written<'_>, listen: &[Listen]) -> Option<Balance> {
    let mode = written.text("sip", "mode", "\"stateful\" or \"stateless\"");
    let record_route = written.boolean("sip", "record_route");
    let is_stateless = mode.as_ref().is_some_and(|at| at.value == "stateless");
    if let Some(at) = mode.as_ref().filter(|at| !is_stateless && at.value != "stateful") {
        let label = nearest(&at.value, &["stateful", "stateless"]);
        let label =
            label.map_or("stateful or stateless".to_owned(), |n| format!("did you mean `{n}`?"));
        let message = format!("`sip.mode` cannot be `{}`", at.value);
        written
            .mistakes
            .push(Mistake::error("unknown-word", message).at(at.span.clone()).label(label));
    }
    let gateways = gateways(written);
    let sets = sets(written);
    let routed = route(written);
    for gateway in &gateways {
        can_be_reached(written, &gateway.value, gateway.span.clone(), listen, is_stateless);
    }
    if !is_stateless {
        if let Some(at) = record_route {
            let mistake =
                Mistake::warning("needs-stateless", "`sip.record_route` changes nothing here")
                    .at(at.span)
                    .label("a stateful proxy always stays on the path of a call");
            written.mistakes.push(mistake);
        }
        return None;
    }
    let set = the_set(written, &mode, &gateways, &sets, routed)?;
    let mut gateways: Vec<Gateway> = gateways.into_iter().map(|at| at.value).collect();
    gateways.retain(|gateway| gateway.set == set);
    Some(Balance { set, gateways, record_route: record_route.is_some_and(|at| at.value) })
}

/// The set that everything goes to: the route's, or the only one there is.
fn the_set(
    written: &mut Written<'_>,
    mode: &Option<At<String>>,
    gateways: &[At<Gateway>],
    sets: &[At<String>],
    routed: Option<At<String>>,
) -> Option<String> {
    let mut names: Vec<&str> = gateways.iter().map(|at| &*at.value.set).collect();
    names.sort_unstable();
    names.dedup();
    for set in sets.iter().chain(&routed).filter(|at| !names.contains(&&*at.value)) {
        let label = match nearest(&set.value, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("sets that have gateways: {}", names.join(", ")),
        };
        let message = format!("the set `{}` has no gateway", set.value);
        written
            .mistakes
            .push(Mistake::error("unknown-set", message).at(set.span.clone()).label(label));
    }
    if gateways.len() > MEMBERS_MAX {
        let message = format!("{} gateways, and {MEMBERS_MAX} are possible", gateways.len());
        written.mistakes.push(Mistake::error("too-many", message));
    }
    match (routed, names.as_slice()) {
        (Some(route), _) => Some(route.value),
        (None, [only]) => Some((*only).to_owned()),
        (None, names) => {
            let message = "a stateless proxy must know where to".to_owned();
            let label = match names {
                [] => "write a `[[gateway]]` with name, set and uri".to_owned(),
                _ => "write a `[[route]]` with do = { set = \"NAME\" }".to_owned(),
            };
            let span = mode.as_ref().and_then(|at| at.span.clone());
            written.mistakes.push(Mistake::error("no-route", message).at(span).label(label));
            None
        }
    }
}

fn gateways(written: &mut Written<'_>) -> Vec<At<Gateway>> {
    let mut gateways: Vec<At<Gateway>> = Vec::new();
    for part in written.parts("gateway", &["name", "set", "uri", "weight"]) {
        let Some(gateway) = gateway(written, &part) else { continue };
        if let Some(twin) = gateways.iter().find(|other| other.value.name == gateway.name) {
            let message = format!("two gateways are called `{}`", twin.value.name);
            let mistake = Mistake::error("twice", message).at(Some(part.span)).label("rename one");
            written.mistakes.push(mistake);
            continue;
        }
        gateways.push(At { value: gateway, span: Some(part.span) });
    }
    gateways
}

fn gateway<'a>(written: &mut Written<'a>, part: &Part<'a>) -> Option<Gateway> {
    let mut text = |key| {
        if !part.has(key) {
            let message = format!("this gateway has no `{key}`");
            let mistake = Mistake::error("missing", message).at(Some(part.span.clone()));
            written.mistakes.push(mistake.label(format!("add {key} = \"...\"")));
        }
        written.part_text(part, key, "a string")
    };
    let (name, set, uri) = (text("name"), text("set"), text("uri"));
    let weight = written.part_number(part, "weight").unwrap_or(At { value: 1, span: None });
    if weight.value > WEIGHT_MAX {
        let message = format!("the weight cannot be {}", weight.value);
        let mistake = Mistake::error("out-of-range", message).at(weight.span);
        written.mistakes.push(mistake.label(format!("0 to {WEIGHT_MAX}")));
    }
    let (name, set, uri) = (name?, set?, uri?);
    let (transport, remote) = place(&uri.value)
        .map_err(|label| {
            let message = format!("cannot send to `{}`", uri.value);
            written.mistakes.push(Mistake::error("bad-uri", message).at(uri.span).label(label));
        })
        .ok()?;
    let weight = u32::try_from(weight.value.min(WEIGHT_MAX)).unwrap_or(0);
    let is_fixed = uri.value.contains(";transport=");
    Some(Gateway { name: name.value, set: set.value, transport, remote, weight, is_fixed })
}

/// Transport, address and port of a gateway's URI. A name is none of these: names are not resolved here.
fn place(uri: &str) -> Result<(Transport, SocketAddr), &'static str> {
    const WANTED: &str = "a SIP URI with an address, as in sip:10.0.1.1:5060;transport=tcp";
    let uri = Uri::parse(uri.as_bytes()).map_err(|_| WANTED)?;
    if uri.scheme != Scheme::Sip {
        return Err("sip: is the only scheme; there is no TLS yet");
    }
    let transport = match uri.param("transport") {
        None => Transport::Udp,
        Some(token) if token.eq_ignore_ascii_case(b"udp") => Transport::Udp,
        Some(token) if token.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
        Some(_) => return Err("transport is udp or tcp"),
    };
    let ip = uri.host.ip().ok_or("an address, not a name: names are not resolved in this mode")?;
    Ok((transport, SocketAddr::new(ip, uri.port.unwrap_or(PORT))))
}

/// Something we listen on must be of the gateway's transport and family: that is what our Via says.
fn can_be_reached(
    written: &mut Written<'_>,
    gateway: &Gateway,
    span: Option<std::ops::Range<usize>>,
    listen: &[Listen],
    is_stateless: bool,
) {
    let fits = |l: &Listen| {
        l.transport == gateway.transport && l.address.is_ipv4() == gateway.remote.is_ipv4()
    };
    if is_stateless && !listen.iter().any(fits) {
        let family = if gateway.remote.is_ipv4() { "IPv4" } else { "IPv6" };
        let message = format!("nothing in `sip.listen` can reach gateway `{}`", gateway.name);
        let label = format!("needs a {} listener of {family}", gateway.transport);
        written.mistakes.push(Mistake::error("no-listener", message).at(span).label(label));
    }
}

fn sets(written: &mut Written<'_>) -> Vec<At<String>> {
    let mut sets = Vec::new();
    for (name, part) in written.named_parts("set", &["algorithm"]) {
        let algorithm = written.part_text(&part, "algorithm", "\"hash:call-id\"");
        if let Some(at) = algorithm.filter(|at| at.value != "hash:call-id") {
            let message = format!("`{}` is not an algorithm we have", at.value);
            let mistake = Mistake::error("unknown-algorithm", message).at(at.span);
            written.mistakes.push(mistake.label("hash:call-id is the one so far"));
        }
        sets.push(At { value: name, span: Some(part.span) });
    }
    sets
}

/// The set of the first route. Conditions are not read yet, so a second route could never be reached.
fn route(written: &mut Written<'_>) -> Option<At<String>> {
    let mut routed = None;
    for part in written.parts("route", &["name", "do"]) {
        let _ = written.part_text(&part, "name", "a string");
        let wanted = "a table such as { set = \"core\" }";
        let Some(action) = written.inner(&part, "do", &["set"], wanted) else { continue };
        let Some(set) = written.part_text(&action, "set", "the name of a set") else { continue };
        if routed.is_some() {
            let mistake = Mistake::error("unreachable", "the first route takes everything")
                .at(Some(part.span))
                .label("remove this one");
            written.mistakes.push(mistake);
            continue;
        }
        routed = Some(set);
    }
    routed
}
