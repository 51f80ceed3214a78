//! What a reload may change: one line for each setting there is, with how it is shown and whether it takes effect while
//! calls run or at the next start. It compares and sorts; it applies nothing.

use std::fmt::Display;
use std::path::PathBuf;

use sip_core::config::Network;
use store::Home;

use super::duration::text as time;
use super::meaning::{DomainChoice, LogFormat, LogLevel, Settings, Spread};
use super::table::Table;

/// One setting.
pub struct Row {
    /// `section.key`.
    pub path: &'static str,
    when: When,
    shown: fn(&Settings) -> String,
}

enum When {
    /// It takes effect with the reload.
    Live,
    /// It cannot change while the server runs: the second settings get it from the first.
    Restart(fn(&Settings, &mut Settings)),
}

const fn live(path: &'static str, shown: fn(&Settings) -> String) -> Row {
    Row { path, when: When::Live, shown }
}

const fn restart(
    path: &'static str,
    shown: fn(&Settings) -> String,
    keep: fn(&Settings, &mut Settings),
) -> Row {
    Row { path, when: When::Restart(keep), shown }
}

/// Every key of `file::SETTINGS`. What is written as tables (`[[gateway]]`) is live, and compared by `table.rs`.
pub const ROWS: &[Row] = &[
    restart("sip.listen", listen, |old, new| new.listen.clone_from(&old.listen)),
    live("sip.domains", domains),
    live("sip.allow_inbound", |s| s.allow_inbound.to_string()),
    live("sip.allow_outbound", |s| s.allow_outbound.to_string()),
    live("sip.redirect_domains", |s| list(&s.redirect_domains)),
    restart("sip.workers", |s| s.workers.to_string(), |old, new| new.workers = old.workers),
    restart("sip.nap", |s| time(s.nap), |old, new| new.nap = old.nap),
    live("sip.drain_timeout", |s| time(s.drain_timeout)),
    restart("sip.mode", mode, keep_mode),
    live("sip.record_route", |s| s.balance.as_ref().is_some_and(|b| b.record_route).to_string()),
    live("sip.utc_offset", |s| utc_offset(s.dispatch.utc_offset)),
    restart("sip.spread", spread, |old, new| new.spread = old.spread),
    live("proxy.fork_timeout", |s| time(s.forking.timeout)),
    live("proxy.recurse", |s| s.forking.recurse.to_string()),
    live("registrar.expires", expires),
    live("registrar.contacts_per_user", |s| s.registrar.contacts_per_user.to_string()),
    live("auth.enabled", |s| s.auth.enabled.to_string()),
    live("auth.algorithms", |s| list(s.auth.algorithms.iter().map(|a| a.token()))),
    live("auth.nonce_lifetime", |s| time(s.auth.nonce_lifetime)),
    live("auth.ban", ban),
    live("nat.keepalive", |s| time(s.nat.keepalive)),
    live("nat.expires", |s| time(s.nat.expires_max)),
    live("nat.contact_alias", |s| s.nat.contact_alias.to_string()),
    live("limits.trusted", |s| networks(&s.trusted)),
    live("limits.connections", |s| s.connections_max.to_string()),
    live("limits.per_source", per_source),
    live("dns.servers", |s| list(&s.resolver.servers)),
    live("dns.hosts", |s| path(s.resolver.hosts.as_ref())),
    live("dns.query_timeout", |s| time(s.resolver.query_timeout)),
    live("dns.timeout", |s| time(s.dns.patience)),
    live("dns.allow_local", |s| s.dns.allow_local.to_string()),
    restart("store.url", store, |old, new| new.store.clone_from(&old.store)),
    restart(
        "admin.socket",
        |s| path(s.admin.as_ref()),
        |old, new| new.admin.clone_from(&old.admin),
    ),
    live("log.level", |s| level(s.log_level).to_owned()),
    restart("log.format", format, |old, new| new.log_format = old.log_format),
];

/// One setting, or one table, that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `sip.domains`, `gateway carrier-a`.
    pub setting: String,
    /// None: there was no such table.
    pub before: Option<String>,
    /// None: there is no such table any more.
    pub after: Option<String>,
}

/// What became of each setting of a file that was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub changed: Vec<Change>,
    /// As written in the file now, and not in force.
    pub restart: Vec<Change>,
    /// Those that are as they were.
    pub kept: Vec<&'static str>,
}

/// Compares what is in force with what is wanted, and makes of the latter what can be in force now.
pub fn settle(running: &Settings, wanted: &mut Settings) -> Comparison {
    let mut all = Comparison::default();
    for row in ROWS {
        if let When::Restart(keep) = row.when {
            all.restart.extend(row.change(running, wanted));
            keep(running, wanted);
        }
    }
    for row in ROWS {
        all.changed.extend(row.change(running, wanted));
    }
    tables(running, wanted, &mut all.changed);
    secrets(running, wanted, &mut all.changed);
    let moved =
        |path: &str| all.changed.iter().chain(&all.restart).any(|change| change.setting == path);
    all.kept = ROWS.iter().map(|row| row.path).filter(|path| !moved(path)).collect();
    all
}

impl Row {
    fn change(&self, before: &Settings, after: &Settings) -> Option<Change> {
        let (before, after) = ((self.shown)(before), (self.shown)(after));
        let is_other = before != after;
        let setting = self.path.to_owned();
        is_other.then_some(Change { setting, before: Some(before), after: Some(after) })
    }
}

/// By their names: which are gone, new, or different.
fn tables(before: &Settings, after: &Settings, changed: &mut Vec<Change>) {
    for table in &before.tables {
        let now = after.tables.iter().find(|other| other.name == table.name);
        if now.is_none_or(|now| now.lines != table.lines) {
            let before = Some(only_in(table, now));
            let after = now.map(|now| only_in(now, Some(table)));
            changed.push(Change { setting: table.name.clone(), before, after });
        }
    }
    for table in &after.tables {
        if !before.tables.iter().any(|other| other.name == table.name) {
            let after = Some(only_in(table, None));
            changed.push(Change { setting: table.name.clone(), before: None, after });
        }
    }
}

/// A password that the file only names (`{ file = ... }`) changes without the file.
fn secrets(before: &Settings, after: &Settings, changed: &mut Vec<Change>) {
    for gateway in &before.dispatch.gateways {
        let mut others = after.dispatch.gateways.iter();
        let now = others.find(|other| other.name == gateway.name);
        let setting = format!("gateway {}", gateway.name);
        let is_told = changed.iter().any(|change| change.setting == setting);
        if !is_told && now.is_some_and(|now| now.account != gateway.account) {
            let side = |which: &str| Some(format!("{which} password"));
            changed.push(Change { setting, before: side("the old"), after: side("a new") });
        }
    }
}

/// What the other one does not say.
fn only_in(table: &Table, other: Option<&Table>) -> String {
    let said = |line: &&String| other.is_some_and(|other| other.lines.contains(line));
    let lines: Vec<&str> = table.lines.iter().filter(|l| !said(l)).map(String::as_str).collect();
    lines.join(", ")
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn networks(networks: &[Network]) -> String {
    list(networks)
}

fn listen(s: &Settings) -> String {
    list(s.listen.iter().map(|l| format!("{}://{}", l.transport.uri_token(), l.address)))
}

fn domains(s: &Settings) -> String {
    match &s.domains {
        DomainChoice::Auto => "auto".to_owned(),
        DomainChoice::Named(names) => list(names),
    }
}

fn mode(s: &Settings) -> String {
    if s.balance.is_some() { "stateless" } else { "stateful" }.to_owned()
}

/// Where the mode is another one, so is what the tables mean.
fn keep_mode(old: &Settings, new: &mut Settings) {
    if old.balance.is_some() != new.balance.is_some() {
        new.balance.clone_from(&old.balance);
        new.dispatch.clone_from(&old.dispatch);
        new.tables.clone_from(&old.tables);
    }
}

/// `+01:00`.
fn utc_offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn spread(s: &Settings) -> String {
    match s.spread {
        Spread::Auto => "auto",
        Spread::Source => "source",
        Spread::Random => "random",
    }
    .to_owned()
}

fn expires(s: &Settings) -> String {
    let registrar = &s.registrar;
    let [min, max, default] =
        [registrar.expires_min, registrar.expires_max, registrar.expires_default].map(time);
    format!("min {min}, max {max}, default {default}")
}

fn ban(s: &Settings) -> String {
    let ban = &s.auth.ban;
    let (within, lasts) = (time(ban.within), time(ban.lasts));
    format!("after {} within {within}, for {lasts}, never {}", ban.after, networks(&ban.never))
}

fn per_source(s: &Settings) -> String {
    format!("{}/s, burst {}", s.per_source.per_second, s.per_source.burst)
}

fn store(s: &Settings) -> String {
    match &s.store {
        Home::Memory => "memory:".to_owned(),
        Home::Directory(path) => format!("file:{}", path.display()),
    }
}

fn path(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

fn format(s: &Settings) -> String {
    match s.log_format {
        LogFormat::Auto => "auto",
        LogFormat::Human => "human",
        LogFormat::Json => "json",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::file::SETTINGS;
    use super::super::{Flags, read};
    use super::*;

    /// For each setting something that is not its default, and what else the file needs for it.
    const OTHERS: &[(&str, &str, &str)] = &[
        ("sip.listen", "[\"udp://127.0.0.1:5070\"]", ""),
        ("sip.domains", "[\"example.org\"]", ""),
        ("sip.allow_inbound", "true", ""),
        ("sip.allow_outbound", "true", ""),
        ("sip.redirect_domains", "[\"example.com\"]", ""),
        ("sip.workers", "200", ""),
        ("sip.nap", "\"0s\"", ""),
        ("sip.drain_timeout", "\"1s\"", ""),
        ("sip.mode", "\"stateless\"", ""),
        ("sip.record_route", "true", "mode = \"stateless\""),
        ("sip.utc_offset", "\"-03:30\"", ""),
        ("sip.spread", "\"random\"", ""),
        ("proxy.fork_timeout", "\"3s\"", ""),
        ("proxy.recurse", "true", ""),
        ("registrar.expires", "{ max = \"1d\" }", ""),
        ("registrar.contacts_per_user", "3", ""),
        ("auth.enabled", "false", ""),
        ("auth.algorithms", "[\"SHA-256\"]", ""),
        ("auth.nonce_lifetime", "\"1m\"", ""),
        ("auth.ban", "{ after = 3 }", ""),
        ("nat.keepalive", "\"0s\"", ""),
        ("nat.expires", "\"5m\"", ""),
        ("nat.contact_alias", "true", ""),
        ("limits.trusted", "[]", ""),
        ("limits.connections", "10", ""),
        ("limits.per_source", "{ burst = 10 }", ""),
        ("dns.servers", "[\"192.0.2.53\"]", ""),
        ("dns.hosts", "\"\"", ""),
        ("dns.query_timeout", "\"1s\"", ""),
        ("dns.timeout", "\"1s\"", ""),
        ("dns.allow_local", "true", ""),
        ("store.url", "\"file:elsewhere\"", "[admin]\nsocket = \"a.sock\"\n"),
        ("admin.socket", "\"b.sock\"", ""),
        ("log.level", "\"debug\"", ""),
        ("log.format", "\"json\"", ""),
    ];

    const DOMAINS: &str = "domains = [\"example.com\"]\n";
    const GATEWAY: &str = "[[gateway]]\nname = \"a\"\nset = \"s\"\nuri = \"sip:127.0.0.9:5080\"\n";

    fn of(source: &str) -> Settings {
        let loaded = read("ringway.toml", source, &Flags::default(), None);
        assert_eq!(loaded.findings.errors(), 0, "{source}\n{}", loaded.findings.human(false));
        loaded.settings
    }

    /// A file with `written` set to `value`, or without it.
    fn file(written: &str, value: Option<&str>, more: &str) -> String {
        let (section, key) = written.split_once('.').expect("a path");
        let sip_only = section == "sip" && !more.starts_with('[');
        let mut text = format!("[sip]\n{}", if written == "sip.domains" { "" } else { DOMAINS });
        text.push_str(if sip_only { more } else { "" });
        let line = value.map(|value| format!("{key} = {value}\n")).unwrap_or_default();
        if section == "sip" {
            text.push_str(&format!("\n{line}"));
        } else {
            text.push_str(&format!("[{section}]\n{line}"));
        }
        text.push_str(if sip_only { "" } else { more });
        text + GATEWAY
    }

    #[test]
    fn every_setting_has_its_line() {
        let keys = SETTINGS
            .iter()
            .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")));
        let mut keys: Vec<String> = keys.collect();
        let mut rows: Vec<&str> = ROWS.iter().map(|row| row.path).collect();
        keys.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, keys);
    }

    #[test]
    fn every_line_sees_its_setting_and_no_other() {
        for row in ROWS {
            let (_, value, more) =
                OTHERS.iter().find(|(path, ..)| *path == row.path).expect("another value");
            let running = of(&file(row.path, None, more));
            let mut wanted = of(&file(row.path, Some(value), more));
            let comparison = settle(&running, &mut wanted);
            let named = |changes: &[Change]| {
                changes.iter().map(|change| change.setting.clone()).collect::<Vec<_>>()
            };
            let found = (named(&comparison.changed), named(&comparison.restart));
            match row.when {
                When::Live => assert_eq!(found, (vec![row.path.to_owned()], vec![])),
                When::Restart(_) => assert_eq!(found, (vec![], vec![row.path.to_owned()])),
            }
            assert_eq!(comparison.kept.len(), ROWS.len() - 1);
            // What needs a restart is as it was, and a second look finds it again.
            let again = settle(&wanted.clone(), &mut of(&file(row.path, Some(value), more)));
            assert_eq!(again, Comparison { changed: vec![], ..comparison_after(&comparison) });
        }
    }

    fn comparison_after(first: &Comparison) -> Comparison {
        let mut kept = first.kept.clone();
        if first.restart.is_empty() {
            kept = ROWS.iter().map(|row| row.path).collect();
        }
        Comparison { kept, ..first.clone() }
    }

    #[test]
    fn tables_are_compared_by_name() {
        let gateway = |name: &str, weight: u32| {
            format!(
                "[[gateway]]\nweight = {weight}\nname = \"{name}\"\nset = \"s\"\nuri = \"sip:127.0.0.9:5080\"\n"
            )
        };
        let running = of(&(gateway("a", 1) + &gateway("b", 2) + "[set.s]\n"));
        let again = "# a remark\n".to_owned() + &gateway("b", 2) + &gateway("a", 1) + "[set.s]\n";
        assert_eq!(settle(&running, &mut of(&again)).changed, []);
        let changes = settle(&running, &mut of(&(gateway("b", 3) + &gateway("c", 1)))).changed;
        let told = changes.iter().map(|change| {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}: {} => {}", change.setting, side(&change.before), side(&change.after))
        });
        let uri = "set = \"s\", uri = \"sip:127.0.0.9:5080\"";
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                format!("gateway a: name = \"a\", {uri}, weight = 1 => -"),
                "gateway b: weight = 2 => weight = 3".to_owned(),
                "set s:  => -".to_owned(),
                format!("gateway c: - => name = \"c\", {uri}, weight = 1"),
            ]
        );
    }

    /// What a reload has changed is told on a terminal and in the log.
    #[test]
    fn no_password_is_told() {
        let secret = std::env::temp_dir().join(format!("ringway-secret-{}", std::process::id()));
        let file = |password: &str| {
            format!(
                "{GATEWAY}register = {{ user = \"4930\", realm = \"r\", password = {password} }}\n"
            )
        };
        let told = |first: &Settings, second: &str| {
            let changes = settle(first, &mut of(second)).changed;
            let tell = |c: Change| format!("{}: {:?} => {:?}", c.setting, c.before, c.after);
            changes.into_iter().map(tell).collect::<Vec<_>>()
        };
        let open = of(&file("\"geheim\""));
        assert_eq!(told(&open, &file("\"geheim\"")), Vec::<String>::new());
        let found = told(&open, &file("\"anders\""));
        assert!(matches!(&found[..], [one] if one.starts_with("gateway a: ")), "{found:?}");
        assert!(!found[0].contains("geheim") && !found[0].contains("anders"), "{found:?}");

        let named = format!("{{ file = {:?} }}", secret.display().to_string());
        std::fs::write(&secret, "geheim\n").expect("written");
        let first = of(&file(&named));
        assert_eq!(told(&first, &file(&named)), Vec::<String>::new());
        std::fs::write(&secret, "anders\n").expect("written");
        let found = told(&first, &file(&named));
        std::fs::remove_file(&secret).expect("it is there");
        assert_eq!(found, ["gateway a: Some(\"the old password\") => Some(\"a new password\")"]);
    }

    #[test]
    fn the_order_of_routes_counts() {
        let route = |name: &str| {
            format!(
                "[[route]]\nname = \"{name}\"\nwhen = {{ number = \"^{name}\" }}\ndo = {{ answer = 404 }}\n"
            )
        };
        let running = of(&(route("in") + &route("out")));
        let changes = settle(&running, &mut of(&(route("out") + &route("in")))).changed;
        assert_eq!(
            changes,
            [Change {
                setting: "order of route".to_owned(),
                before: Some("in, out".to_owned()),
                after: Some("out, in".to_owned()),
            }]
        );
    }

    #[test]
    fn another_mode_waits_with_all_that_belongs_to_it() {
        let running = of("");
        let mut wanted =
            of(&format!("[sip]\nmode = \"stateless\"\nrecord_route = true\n{GATEWAY}"));
        let comparison = settle(&running, &mut wanted);
        assert_eq!(comparison.changed, []);
        assert_eq!(comparison.restart.len(), 1);
        assert!(wanted.balance.is_none());
    }
}
