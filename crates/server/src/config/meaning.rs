//! What the operator meant: typed, checked against each other, no `Option` left to guess. Values that are wrong, or
//! contradict each other, or are dangerous, become findings with their place. It binds nothing and reads no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sip_core::config::{Algorithm, Auth, Dns, Forking, Nat, Network, Registrar, SourceRate};
use sip_core::flow::Transport;
use store::Home;

use super::dispatch::{self, Around, Balance, Dispatch};
use super::file::{At, Written};
use super::limit;
use super::mistake::{Mistake, nearest};
use super::table::{self, Table};
use super::{dns, duration};
use crate::resolver::Rules;

/// SIP's port (RFC 3261 §19.1.2).
pub(super) const PORT: u16 = 5060;

/// One entry of `sip.listen`; the address may be a wildcard, the port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub transport: Transport,
    pub address: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainChoice {
    /// The machine's own addresses and name.
    Auto,
    Named(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

/// The whole configuration in force.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Vec<Listen>,
    pub domains: DomainChoice,
    pub allow_inbound: bool,
    pub allow_outbound: bool,
    /// Domains whose callers are told where to try.
    pub redirect_domains: Vec<String>,
    pub forking: Forking,
    pub workers: usize,
    /// The longest nap of a worker that waits for more datagrams; zero is none.
    pub nap: Duration,
    /// How long SIGTERM waits for calls being set up.
    pub drain_timeout: Duration,
    pub registrar: Registrar,
    pub auth: Auth,
    pub nat: Nat,
    pub trusted: Vec<Network>,
    pub per_source: SourceRate,
    /// Which datagrams of one sender go to which worker.
    pub spread: Spread,
    /// None: the usual server, with transactions.
    pub balance: Option<Balance>,
    /// Gateways, sets and routes.
    pub dispatch: Dispatch,
    /// What is written as tables, to tell two files from one another.
    pub tables: Vec<Table>,
    /// Stream connections at the same time.
    pub connections_max: usize,
    pub dns: Dns,
    /// The same section, as far as the resolver acts on it.
    pub resolver: Rules,
    pub store: Home,
    /// None: `memory:` has no directory to put a socket into.
    pub admin: Option<PathBuf>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
}

/// How the kernel gives the datagrams of an address to the workers that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// By the sender's address, until one worker is busy and others are not.
    Auto,
    /// By the sender's address.
    Source,
    Random,
}

/// What flags say instead of the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub listen: Vec<String>,
    pub domains: Vec<String>,
    pub store: Option<String>,
    pub admin: Option<PathBuf>,
    pub log: Option<String>,
}

impl Flags {
    /// The settings they stand for, `section.key`.
    pub fn named(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("sip.listen", !self.listen.is_empty()),
            ("sip.domains", !self.domains.is_empty()),
            ("store.url", self.store.is_some()),
            ("admin.socket", self.admin.is_some()),
            ("log.level", self.log.is_some()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(path, _)| path)
    }
}

impl Settings {
    /// Reads every setting, noting what is wrong in `written`. Meaningless unless no error was noted.
    pub fn read(written: &mut Written<'_>, flags: &Flags) -> Self {
        let store = store(written, flags);
        let (log_level, log_format) = log(written, flags);
        let domains = domains(written, flags);
        let (dns, resolver) = dns::read(written);
        let mut settings = Self {
            listen: listen(written, flags),
            redirect_domains: redirect_domains(written, &domains),
            domains,
            forking: forking(written),
            allow_inbound: written.boolean("sip", "allow_inbound").is_some_and(|at| at.value),
            allow_outbound: written.boolean("sip", "allow_outbound").is_some_and(|at| at.value),
            workers: workers(written),
            nap: period(written, "sip", "nap", Duration::ZERO..=Duration::from_millis(10))
                .unwrap_or(udp::NapRule::DEFAULT.cap),
            drain_timeout: period(written, "sip", "drain_timeout", Duration::ZERO..=HOUR)
                .unwrap_or(Duration::from_secs(30)),
            registrar: registrar(written),
            auth: auth(written),
            nat: nat(written),
            trusted: trusted(written),
            per_source: limit::per_source(written),
            spread: spread(written),
            balance: None,
            dispatch: Dispatch::default(),
            tables: table::read(written),
            connections_max: count(written, "limits", "connections", 1..=1_000_000)
                .unwrap_or(20_000),
            dns,
            resolver,
            admin: admin(written, flags, &store),
            store,
            log_level,
            log_format,
        };
        let around = Around {
            listen: &settings.listen,
            domains: &settings.domains,
            auth_enabled: settings.auth.enabled,
        };
        let (dispatch, balance) = dispatch::read(written, &around);
        settings.dispatch = dispatch;
        settings.balance = balance;
        if settings.allow_inbound && !settings.auth.enabled {
            // Both doors open: the warning of `auth.enabled` says it already; this one says what follows.
            let text =
                "anybody may call anybody here: auth.enabled = false and sip.allow_inbound = true";
            written.mistakes.push(Mistake::warning("open-server", text));
        }
        settings
    }
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn wrong(
    written: &mut Written<'_>,
    code: &'static str,
    message: String,
    at: &At<String>,
    label: &str,
) {
    written.mistakes.push(Mistake::error(code, message).at(at.span.clone()).label(label));
}

/// The flags' list if there is one, else the file's.
fn list(written: &mut Written<'_>, flags: &[String], key: &str) -> Option<Vec<At<String>>> {
    let from_file = written.texts("sip", key);
    if !flags.is_empty() {
        return Some(flags.iter().cloned().map(At::flag).collect());
    }
    let list = from_file?;
    if list.value.is_empty() {
        let message = format!("`sip.{key}` is empty");
        let mistake = Mistake::error("empty", message).at(list.span).label("name at least one");
        written.mistakes.push(mistake);
    }
    Some(list.value)
}

fn listen(written: &mut Written<'_>, flags: &Flags) -> Vec<Listen> {
    let Some(entries) = list(written, &flags.listen, "listen") else {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let both = |ip| {
            [Transport::Udp, Transport::Tcp]
                .map(|transport| Listen { transport, address: SocketAddr::new(ip, PORT) })
        };
        return any.into_iter().flat_map(both).collect();
    };
    let mut listen: Vec<Listen> = Vec::new();
    for entry in entries {
        match parse_listen(&entry.value) {
            Ok(one) if listen.contains(&one) && one.address.port() != 0 => {
                wrong(
                    written,
                    "twice",
                    format!("`{}` is listed twice", entry.value),
                    &entry,
                    "remove one",
                );
            }
            Ok(one) => listen.push(one),
            Err((code, label)) => {
                let message = format!("cannot listen on `{}`", entry.value);
                wrong(written, code, message, &entry, &label);
            }
        }
    }
    listen
}

fn parse_listen(text: &str) -> Result<Listen, (&'static str, String)> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        ("bad-listen", "write transport://address:port, as in udp://0.0.0.0:5060".to_owned())
    })?;
    let transport = match scheme.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" | "ws" | "wss" => {
            return Err((
                "unsupported-transport",
                format!("{scheme} is not built yet; udp and tcp are"),
            ));
        }
        other => {
            let hint = nearest(other, &["udp", "tcp"]).map(|n| format!("did you mean `{n}`?"));
            return Err(("unknown-transport", hint.unwrap_or_else(|| "udp or tcp".to_owned())));
        }
    };
    let address = rest.parse::<SocketAddr>().ok().or_else(|| {
        let host = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')).unwrap_or(rest);
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT))
    });
    let address = address.ok_or_else(|| {
        (
            "bad-address",
            "an IP address and a port, as in 192.0.2.10:5060 or [2001:db8::1]:5060".to_owned(),
        )
    })?;
    if address.ip().is_multicast() {
        return Err(("bad-address", "this is a multicast address".to_owned()));
    }
    Ok(Listen { transport, address })
}

fn domains(written: &mut Written<'_>, flags: &Flags) -> DomainChoice {
    let Some(entries) = list(written, &flags.domains, "domains") else { return DomainChoice::Auto };
    if let [only] = entries.as_slice()
        && only.value == "auto"
    {
        return DomainChoice::Auto;
    }
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let name = entry.value.trim_end_matches('.').to_ascii_lowercase();
        if name == "auto" {
            let message = "`auto` stands alone in `sip.domains`".to_owned();
            wrong(
                written,
                "bad-domain",
                message,
                &entry,
                "name the domains, or write only \"auto\"",
            );
        } else if let Err(label) = check_domain(&name) {
            wrong(
                written,
                "bad-domain",
                format!("`{}` is not a domain", entry.value),
                &entry,
                label,
            );
        } else if names.contains(&name) {
            wrong(written, "twice", format!("`{name}` is listed twice"), &entry, "remove one");
        } else {
            names.push(name);
        }
    }
    DomainChoice::Named(names)
}

/// Those of the served domains for which this is a redirect server.
fn redirect_domains(written: &mut Written<'_>, served: &DomainChoice) -> Vec<String> {
    let Some(entries) = written.texts("sip", "redirect_domains") else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries.value {
        let name = entry.value.trim_end_matches('.').to_ascii_lowercase();
        let label = match served {
            DomainChoice::Named(served) if served.contains(&name) => {
                names.push(name);
                continue;
            }
            DomainChoice::Named(served) => {
                let served: Vec<&str> = served.iter().map(String::as_str).collect();
                match nearest(&name, &served) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("sip.domains has {}", served.join(", ")),
                }
            }
            DomainChoice::Auto => "name the domains in sip.domains".to_owned(),
        };
        let message = format!("`{}` is no domain of this server", entry.value);
        wrong(written, "unknown-domain", message, &entry, &label);
    }
    names
}

fn forking(written: &mut Written<'_>) -> Forking {
    let mut forking = Forking::default();
    let range = Duration::from_secs(1)..=Duration::from_secs(180);
    if let Some(timeout) = period(written, "proxy", "fork_timeout", range) {
        forking.timeout = timeout;
    }
    if let Some(recurse) = written.boolean("proxy", "recurse") {
        forking.recurse = recurse.value;
    }
    forking
}

/// A host of RFC 3261 §25.1: a name, an IPv4 address, or an IPv6 reference. At most 64 bytes: the width of the column.
fn check_domain(name: &str) -> Result<(), &'static str> {
    if name.contains(':') && !name.starts_with('[') {
        return Err(if name.contains("//") || name.starts_with("sip:") {
            "only the host, without scheme"
        } else if name.parse::<Ipv6Addr>().is_ok() {
            "write an IPv6 address in brackets"
        } else {
            "only the host, without port"
        });
    }
    if name.len() > 64 {
        return Err("longer than 64 characters");
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(drop).map_err(|_| "not an IPv6 address");
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.len() < 64
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.split('.').all(label) { Ok(()) } else { Err("letters, digits, dots and hyphens") }
}

fn workers(written: &mut Written<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(at) = written.number_or_text("sip", "workers", "\"per-core\" or a number") else {
        return cores;
    };
    match at.value.parse() {
        Ok(n @ 1..=256) => n,
        _ if at.value == "per-core" => cores,
        _ => {
            let message = format!("`sip.workers` cannot be `{}`", at.value);
            wrong(written, "bad-number", message, &at, "\"per-core\", or 1 to 256");
            cores
        }
    }
}

fn spread(written: &mut Written<'_>) -> Spread {
    const WORDS: [&str; 3] = ["auto", "source", "random"];
    let at = written.text("sip", "spread", "\"auto\", \"source\" or \"random\"");
    match at.and_then(|at| choice(written, "sip.spread", &at, &WORDS)) {
        Some("source") => Spread::Source,
        Some("random") => Spread::Random,
        _ => Spread::Auto,
    }
}

pub(super) fn period(
    written: &mut Written<'_>,
    section: &str,
    key: &str,
    range: std::ops::RangeInclusive<Duration>,
) -> Option<Duration> {
    let at = written.text(section, key, "a duration such as \"30s\"")?;
    let path = format!("{section}.{key}");
    read_period(written, &path, &at, range)
}

pub(super) fn read_period(
    written: &mut Written<'_>,
    path: &str,
    at: &At<String>,
    range: std::ops::RangeInclusive<Duration>,
) -> Option<Duration> {
    match duration::parse(&at.value) {
        Ok(value) if range.contains(&value) => Some(value),
        Ok(_) => {
            let (low, high) = (duration::text(*range.start()), duration::text(*range.end()));
            let message = format!("`{path}` cannot be {}", at.value);
            wrong(written, "out-of-range", message, at, &format!("{low} to {high}"));
            None
        }
        Err(why) => {
            wrong(written, "bad-duration", format!("`{path}` cannot be `{}`", at.value), at, why);
            None
        }
    }
}

fn count(
    written: &mut Written<'_>,
    section: &str,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<usize> {
    let at = written.number(section, key)?;
    if range.contains(&at.value) {
        return usize::try_from(at.value).ok();
    }
    let mistake =
        Mistake::error("out-of-range", format!("`{section}.{key}` cannot be {}", at.value))
            .at(at.span)
            .label(format!("{} to {}", range.start(), range.end()));
    written.mistakes.push(mistake);
    None
}

fn registrar(written: &mut Written<'_>) -> Registrar {
    let mut registrar = Registrar::default();
    if let Some(n) = count(written, "registrar", "contacts_per_user", 1..=100) {
        registrar.contacts_per_user = n;
    }
    const WANTED: &str = "a table such as { min = \"60s\", max = \"2h\", default = \"1h\" }";
    let keys = ["min", "max", "default"];
    let Some([min, max, default]) = written.table("registrar", "expires", keys, WANTED) else {
        return registrar;
    };
    let mut read = |at: &Option<At<String>>, name: &str| {
        let range = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
        read_period(written, &format!("registrar.expires.{name}"), at.as_ref()?, range)
    };
    let mut set = |slot: &mut Duration, at: &Option<At<String>>, name| {
        if let Some(value) = read(at, name) {
            *slot = value;
        }
    };
    set(&mut registrar.expires_min, &min, "min");
    set(&mut registrar.expires_max, &max, "max");
    set(&mut registrar.expires_default, &default, "default");
    let Registrar { expires_min, expires_max, expires_default, .. } = registrar;
    if default.is_none() {
        registrar.expires_default =
            expires_default.clamp(expires_min.min(expires_max), expires_max);
    }
    if expires_min > expires_max {
        let at = min.or(max).unwrap_or_else(|| At::flag(String::new()));
        let (low, high) = (duration::text(expires_min), duration::text(expires_max));
        let label = format!("min is {low}, max is {high}");
        wrong(
            written,
            "contradiction",
            "no expiry lies between min and max".to_owned(),
            &at,
            &label,
        );
    } else if let Some(at) = default
        && !(expires_min..=expires_max).contains(&expires_default)
    {
        let label = format!(
            "min is {}, max is {}",
            duration::text(expires_min),
            duration::text(expires_max)
        );
        let message = "the default expiry is outside min and max".to_owned();
        wrong(written, "contradiction", message, &at, &label);
    }
    registrar
}

fn nat(written: &mut Written<'_>) -> Nat {
    let mut nat = Nat::default();
    if let Some(keepalive) = period(written, "nat", "keepalive", Duration::ZERO..=HOUR) {
        nat.keepalive = keepalive;
    }
    let range = Duration::from_secs(10)..=Duration::from_secs(7 * 86_400);
    if let Some(expires) = period(written, "nat", "expires", range) {
        nat.expires_max = expires;
    }
    nat.contact_alias = written.boolean("nat", "contact_alias").is_some_and(|at| at.value);
    nat
}

fn auth(written: &mut Written<'_>) -> Auth {
    let mut auth = Auth::default();
    if let Some(enabled) = written.boolean("auth", "enabled") {
        auth.enabled = enabled.value;
        if !enabled.value {
            let text = "nobody has to prove who they are: anybody may register as anybody";
            let mistake = Mistake::warning("no-auth", text)
                .at(enabled.span)
                .label("for laboratories only")
                .help("remove the line, and add accounts with `ringway user add`");
            written.mistakes.push(mistake);
        }
    }
    let range = Duration::from_secs(10)..=Duration::from_secs(86_400);
    if let Some(lifetime) = period(written, "auth", "nonce_lifetime", range) {
        auth.nonce_lifetime = lifetime;
    }
    auth.ban = limit::ban(written);
    let Some(names) = written.texts("auth", "algorithms") else { return auth };
    auth.algorithms.clear();
    for at in &names.value {
        let algorithm = match at.value.to_ascii_uppercase().as_str() {
            "SHA-256" => Algorithm::Sha256,
            "MD5" => Algorithm::Md5,
            other => {
                let near = nearest(&other.to_lowercase(), &["sha-256", "md5"]);
                let label = near.map(|n| format!("did you mean `{}`?", n.to_uppercase()));
                let message = format!("`{}` is not a digest algorithm we have", at.value);
                let label = label.unwrap_or_else(|| "SHA-256 or MD5".to_owned());
                wrong(written, "unknown-algorithm", message, at, &label);
                continue;
            }
        };
        if auth.algorithms.contains(&algorithm) {
            wrong(written, "twice", format!("`{}` is listed twice", at.value), at, "remove one");
        } else {
            auth.algorithms.push(algorithm);
        }
    }
    // RFC 8760 §2.4: strongest first, however they were written.
    auth.algorithms.sort_by_key(|a| matches!(a, Algorithm::Md5));
    if auth.algorithms == [Algorithm::Md5] {
        let mistake = Mistake::warning("md5-only", "only MD5 is offered, and MD5 is weak")
            .at(names.span)
            .label("add \"SHA-256\"; phones that know it will use it");
        written.mistakes.push(mistake);
    } else if names.value.is_empty() {
        let mistake = Mistake::error("empty", "`auth.algorithms` is empty")
            .at(names.span)
            .label("nobody could log in");
        written.mistakes.push(mistake);
    }
    auth
}

fn trusted(written: &mut Written<'_>) -> Vec<Network> {
    let Some(entries) = written.texts("limits", "trusted") else {
        return vec![
            Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), prefix: 8 },
            Network { address: Ipv6Addr::LOCALHOST.into(), prefix: 128 },
        ];
    };
    let mut networks = Vec::new();
    for at in entries.value {
        let Some(network) = read_network(written, &at) else { continue };
        if network.prefix == 0 {
            let mistake = Mistake::warning("trust-all", "every source is exempt from limits")
                .at(at.span)
                .label("anybody may flood this server");
            written.mistakes.push(mistake);
        }
        networks.push(network);
    }
    networks
}

pub(super) fn read_network(written: &mut Written<'_>, at: &At<String>) -> Option<Network> {
    parse_network(&at.value)
        .map_err(|label| {
            let message = format!("`{}` is not a network", at.value);
            wrong(written, "bad-network", message, at, label);
        })
        .ok()
}

pub fn parse_network(text: &str) -> Result<Network, &'static str> {
    const WANTED: &str = "an address with a prefix length, as in 192.0.2.0/24";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| WANTED)?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(digits) => digits.parse().map_err(|_| WANTED)?,
    };
    if prefix > width {
        return Err("the prefix is longer than the address");
    }
    Ok(Network { address, prefix })
}

fn store(written: &mut Written<'_>, flags: &Flags) -> Home {
    let fallback = || Home::Directory("ringway-data".into());
    let from_file = written.text("store", "url", "a string such as \"file:./ringway-data\"");
    let Some(at) = flags.store.clone().map(At::flag).or(from_file) else { return fallback() };
    at.value.parse().unwrap_or_else(|why: &str| {
        let why = match at.value.split(':').next() {
            Some("sqlite" | "postgres" | "postgresql" | "mysql") => {
                "databases by URL are not built yet; file:DIR keeps SQLite in a directory"
            }
            _ => why,
        };
        wrong(written, "bad-store", format!("`{}` is not a store", at.value), &at, why);
        fallback()
    })
}

fn admin(written: &mut Written<'_>, flags: &Flags, store: &Home) -> Option<PathBuf> {
    let from_file = written.text("admin", "socket", "a path");
    if let Some(at) = &from_file
        && at.value.len() > 100
    {
        let message = "`admin.socket` is too long for a socket address".to_owned();
        wrong(written, "too-long", message, at, "at most 100 bytes");
    }
    let named = flags.admin.clone().or_else(|| from_file.map(|at| PathBuf::from(at.value)));
    named.or_else(|| store.directory().map(|directory| directory.join("admin.sock")))
}

fn log(written: &mut Written<'_>, flags: &Flags) -> (LogLevel, LogFormat) {
    const LEVELS: [&str; 5] = ["off", "error", "warn", "info", "debug"];
    const FORMATS: [&str; 3] = ["auto", "human", "json"];
    let level = written.text("log", "level", "a string such as \"info\"");
    let level = flags.log.clone().map(At::flag).or(level);
    let level = level.and_then(|at| choice(written, "log.level", &at, &LEVELS));
    let format = written.text("log", "format", "a string such as \"json\"");
    let format = format.and_then(|at| choice(written, "log.format", &at, &FORMATS));
    let level = match level {
        Some("off") => LogLevel::Off,
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        _ => LogLevel::Info,
    };
    let format = match format {
        Some("human") => LogFormat::Human,
        Some("json") => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    (level, format)
}

fn choice<'c>(
    written: &mut Written<'_>,
    path: &str,
    at: &At<String>,
    choices: &[&'c str],
) -> Option<&'c str> {
    if let Some(found) = choices.iter().find(|c| **c == at.value) {
        return Some(found);
    }
    let label = match nearest(&at.value, choices) {
        Some(near) => format!("did you mean `{near}`?"),
        None => choices.join(", "),
    };
    wrong(written, "unknown-word", format!("`{path}` cannot be `{}`", at.value), at, &label);
    None
}
