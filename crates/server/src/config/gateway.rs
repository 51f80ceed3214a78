//! `[[gateway]]`: one next hop each. What the sets and routes make of them is `set.rs` and `route.rs`.

use std::ops::Range;
use std::time::Duration;

use sip_core::config::Network;
use sip_core::dispatcher::account::Account;
use sip_core::dispatcher::live::Caps;
use sip_core::locate::{Destination, Place};
use sip_message::{Scheme, Uri};

use super::account;
use super::file::{At, Written};
use super::limit::per_second;
use super::meaning::{HOUR, Listen, read_network, read_period};
use super::mistake::Mistake;
use super::part::Part;

/// One `[[gateway]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub name: String,
    pub set: String,
    /// The URI behind its `@`, or all of it.
    pub host: String,
    pub place: Place,
    /// Its URI names the transport.
    pub is_fixed: bool,
    pub weight: u32,
    pub priority: u32,
    pub caps: Caps,
    pub call_max: Duration,
    pub sources: Vec<Network>,
    pub inbound: bool,
    pub trusted: bool,
    /// What we are to it.
    pub account: Option<Account>,
    /// The line of the file, and where its `uri` is.
    pub line: u32,
    pub span: Span,
}

const KEYS: [&str; 13] = [
    "name",
    "set",
    "uri",
    "weight",
    "priority",
    "max_calls",
    "max_rate",
    "call_max",
    "sources",
    "inbound",
    "trusted",
    "register",
    "auth",
];

const NUMBER_MAX: u64 = 10_000;
const CALLS_MAX: u64 = 1_000_000;

pub fn read(written: &mut Written<'_>) -> Vec<At<Gateway>> {
    let mut gateways: Vec<At<Gateway>> = Vec::new();
    for part in written.parts("gateway", &KEYS) {
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
    let number = |written: &mut Written<'a>, key, default, max| {
        number(written, part, key, 0..=max).unwrap_or(default)
    };
    let weight = number(written, "weight", 1, NUMBER_MAX);
    let priority = number(written, "priority", 0, NUMBER_MAX);
    let calls = number(written, "max_calls", 0, CALLS_MAX);
    let per_second = rate(written, part).unwrap_or(0);
    let call_max = written
        .part_text(part, "call_max", "a duration such as \"4h\"")
        .and_then(|at| {
            let range = Duration::from_secs(60)..=7 * 24 * HOUR;
            read_period(written, "gateway.call_max", &at, range)
        })
        .unwrap_or(4 * HOUR);
    let sources: Option<Vec<Network>> = written
        .part_texts(part, "sources")
        .map(|texts| texts.iter().filter_map(|at| read_network(written, at)).collect());
    let inbound = written.part_boolean(part, "inbound").unwrap_or(true);
    let trusted = written.part_boolean(part, "trusted").unwrap_or(true);
    let login = account::read(written, part);
    let (name, set, uri) = (name?, set?, uri?);
    let line = written.line(Some(&part.span));
    let place = place(&uri.value)
        .map_err(|label| {
            let message = format!("cannot send to `{}`", uri.value);
            let span = uri.span.clone();
            written.mistakes.push(Mistake::error("bad-uri", message).at(span).label(label));
        })
        .ok()?;
    let account = login.and_then(|login| login.account(written, &place, &uri));
    Some(Gateway {
        name: name.value,
        set: set.value,
        host: host(&uri.value),
        place,
        is_fixed: uri.value.contains(";transport="),
        weight,
        priority,
        caps: Caps { calls, per_second },
        call_max,
        sources: sources.unwrap_or_default(),
        inbound,
        trusted,
        account,
        line,
        span: uri.span,
    })
}

/// A number of the part, if it is in the range.
pub fn number<'a>(
    written: &mut Written<'a>,
    part: &Part<'a>,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<u32> {
    let at = written.part_number(part, key)?;
    if range.contains(&at.value) {
        return u32::try_from(at.value).ok();
    }
    let message = format!("`{}.{key}` cannot be {}", part.path, at.value);
    let label = format!("{} to {}", range.start(), range.end());
    written.mistakes.push(Mistake::error("out-of-range", message).at(at.span).label(label));
    None
}

fn rate<'a>(written: &mut Written<'a>, part: &Part<'a>) -> Option<u32> {
    let at = written.part_text(part, "max_rate", "a rate such as \"20/s\"")?;
    let rate = per_second(&at.value);
    if rate.is_none() {
        let message = format!("`gateway.max_rate` cannot be `{}`", at.value);
        let mistake = Mistake::error("bad-rate", message).at(at.span);
        written.mistakes.push(mistake.label("a number and `/s`, as in \"20/s\""));
    }
    rate
}

fn host(uri: &str) -> String {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or(rest, |(_, host)| host).to_owned()
}

/// Where a gateway's URI leads.
fn place(uri: &str) -> Result<Place, &'static str> {
    const WANTED: &str =
        "a SIP URI, as in sip:10.0.1.1:5060;transport=tcp or sip:sip.provider.example";
    let uri = Uri::parse(uri.as_bytes()).map_err(|_| WANTED)?;
    if uri.scheme != Scheme::Sip {
        return Err("sip: is the only scheme; there is no TLS yet");
    }
    if uri.headers.is_some() {
        return Err("a ? has no place in it");
    }
    let is_ours =
        |token: &[u8]| [&b"udp"[..], b"tcp"].iter().any(|t| token.eq_ignore_ascii_case(t));
    if uri.param("transport").is_some_and(|token| !is_ours(token)) {
        return Err("transport is udp or tcp");
    }
    Place::of(&uri).ok_or("neither an address nor a name that can exist")
}

/// Something we listen on must be of the gateway's transport and family: that is what our Via says. And it must not be
/// ourselves.
pub fn check_way(written: &mut Written<'_>, gateway: &At<Gateway>, listen: &[Listen]) {
    let At { value: gateway, span } = gateway;
    let Place::Address(to) = &gateway.place else {
        if gateway.sources.is_empty() && gateway.inbound {
            let message =
                format!("where calls from gateway `{}` come from is not known", gateway.name);
            let mistake = Mistake::warning("no-source", message).at(span.clone());
            let mistake = mistake.label("its uri is a name: they are a stranger's");
            let help = "add sources = [\"203.0.113.0/28\"], or inbound = false";
            written.mistakes.push(mistake.help(help));
        }
        return;
    };
    let Destination { transport, address: remote } = *to;
    let fits = |l: &&Listen| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4();
    if !listen.iter().any(|l| fits(&l)) {
        let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
        let message = format!("nothing in `sip.listen` can reach gateway `{}`", gateway.name);
        let label = format!("needs a {transport} listener of {family}");
        let span = span.clone();
        return written.mistakes.push(Mistake::error("no-listener", message).at(span).label(label));
    }
    let is_us = |l: Listen| {
        let here = l.address.ip() == remote.ip()
            || (l.address.ip().is_unspecified() && remote.ip().is_loopback());
        here && l.address.port() == remote.port()
    };
    if listen.iter().filter(fits).any(|l| is_us(*l)) {
        let message = format!("gateway `{}` is this server itself", gateway.name);
        let label = format!("we listen on {remote}");
        written
            .mistakes
            .push(Mistake::error("gateway-is-us", message).at(span.clone()).label(label));
    }
}

/// The place of one key of a table, for a mistake about it.
pub type Span = Option<Range<usize>>;
