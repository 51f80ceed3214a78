//! Whole files: what is understood, and that every mistake is found in one run with its place.

use std::time::Duration;

use sip_core::locate::Place;

use super::*;

pub(super) fn of(source: &str) -> Loaded {
    read("ringway.toml", source, &Flags::default(), None)
}

pub(super) fn codes(source: &str) -> Vec<&'static str> {
    of(source).findings.mistakes.iter().map(|m| m.code).collect()
}

#[test]
fn nothing_written_is_a_whole_configuration() {
    let loaded = of("");
    assert!(loaded.findings.mistakes.is_empty());
    let settings = loaded.settings;
    assert_eq!(settings.listen.len(), 4);
    assert_eq!(settings.domains, DomainChoice::Auto);
    assert!(settings.auth.enabled && !settings.allow_inbound);
    assert!(!settings.forking.recurse && settings.redirect_domains.is_empty());
    assert_eq!(settings.admin.as_deref(), Some(Path::new("ringway-data/admin.sock")));
    assert_eq!(settings.trusted.len(), 2);
}

#[test]
fn everything_written_is_understood() {
    let loaded = of(r#"
[sip]
listen = ["udp://192.0.2.10:5060", "tcp://[2001:db8::1]"]
domains = ["Example.COM", "example.net"]
allow_inbound = true
allow_outbound = true
redirect_domains = ["EXAMPLE.net"]
workers = 3
nap = "500us"
drain_timeout = "5s"
[proxy]
fork_timeout = "12s"
recurse = true
[registrar]
expires = { min = "10s", max = "10m", default = "5m" }
contacts_per_user = 3
[auth]
algorithms = ["MD5", "SHA-256"]
nonce_lifetime = "1m"
[limits]
trusted = ["10.0.0.0/8", "192.0.2.7"]
connections = 500
[dns]
servers = ["192.0.2.53", "[2001:db8::53]:5353"]
hosts = ""
query_timeout = "1s"
timeout = "2s"
allow_local = false
[store]
url = "memory:"
[admin]
socket = "/run/ringway.sock"
[log]
level = "debug"
format = "json"
"#);
    assert_eq!(loaded.findings.human(false), "");
    let s = loaded.settings;
    assert_eq!(s.listen[1].address, "[2001:db8::1]:5060".parse().unwrap());
    assert_eq!(s.domains, DomainChoice::Named(vec!["example.com".into(), "example.net".into()]));
    assert_eq!(s.redirect_domains, ["example.net"]);
    assert_eq!((s.forking.timeout, s.forking.recurse), (Duration::from_secs(12), true));
    assert_eq!((s.workers, s.connections_max), (3, 500));
    assert_eq!((s.nap, s.drain_timeout), (Duration::from_micros(500), Duration::from_secs(5)));
    assert_eq!(s.registrar.expires_default, Duration::from_secs(300));
    assert_eq!(s.auth.algorithms[0], sip_core::config::Algorithm::Sha256);
    assert_eq!(s.trusted[1].prefix, 32);
    assert_eq!(s.resolver.servers[0], "192.0.2.53:53".parse().unwrap());
    assert_eq!(s.resolver.servers[1], "[2001:db8::53]:5353".parse().unwrap());
    assert_eq!((s.resolver.hosts, s.dns.allow_local), (None, false));
    assert_eq!(s.resolver.query_timeout, Duration::from_secs(1));
    assert_eq!(s.dns.patience, Duration::from_secs(2));
    assert_eq!(s.store, store::Home::Memory);
    assert_eq!((s.log_level, s.log_format), (LogLevel::Debug, LogFormat::Json));
}

#[test]
fn only_a_domain_that_is_served_can_redirect() {
    let file = "[sip]\ndomains = [\"example.com\"]\nredirect_domains = [\"exmaple.com\"]\n";
    let text = of(file).findings.human(false);
    assert!(text.contains("did you mean `example.com`?"), "{text}");
    assert_eq!(codes("[sip]\nredirect_domains = [\"example.com\"]\n"), ["unknown-domain"]);
}

#[test]
fn all_mistakes_at_once() {
    let found = codes(
        r#"
[sip]
listn = ["udp://0.0.0.0:5060"]
listen = ["udp://0.0.0.0:5060", "udp://0.0.0.0:5060", "tls://0.0.0.0:5061", "udb://1.2.3.4", "udp://nowhere:5060", 7]
domains = ["sip:example.com", "a b", "x.example:5060"]
workers = "many"
nap = "1s"
[registrar]
expires = { min = "2h", max = "1h", defualt = "1h" }
contacts_per_user = 0
[auth]
enabled = "yes"
algorithms = ["SHA-512", "MD5", "MD5"]
[limits]
trusted = ["10.0.0.0/99", "0.0.0.0/0"]
[store]
url = "postgres://db/ringway"
[log]
level = "verbose"
[gatway]
name = "x"
"#,
    );
    let wanted = [
        "unknown-key",
        "twice",
        "unsupported-transport",
        "unknown-transport",
        "bad-address",
        "wrong-type",
        "bad-domain",
        "bad-domain",
        "bad-domain",
        "bad-number",
        "out-of-range",
        "contradiction",
        "unknown-key",
        "out-of-range",
        "wrong-type",
        "md5-only",
        "unknown-algorithm",
        "twice",
        "bad-network",
        "trust-all",
        "bad-store",
        "unknown-word",
        "unknown-section",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn shown_with_its_line_and_a_suggestion() {
    let findings =
        of("[sip]\ndomains = [\"example.com\"]\nlistn = [\"udp://0.0.0.0:5060\"]\n").findings;
    let text = findings.human(false);
    assert!(text.contains("error[unknown-key]: `listn` is not a setting of [sip]"), "{text}");
    assert!(text.contains("--> ringway.toml:3:1"), "{text}");
    assert!(text.contains("^^^^^ did you mean `listen`?"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&findings.json()).expect("one object");
    assert_eq!((json["line"].as_u64(), json["column"].as_u64()), (Some(3), Some(1)));
    assert_eq!(findings.summary(), "1 error");
}

#[test]
fn broken_syntax_is_placed_and_does_not_hide_the_rest() {
    let findings = of("[sip\nlisten = [\"udp://0.0.0.0\"\n[auth]\nenabled = maybe\n").findings;
    assert!(findings.errors() >= 2, "{}", findings.human(false));
    assert!(findings.mistakes.iter().all(|m| m.span.is_some()));
}

#[test]
fn no_input_breaks_the_reader() {
    let whole =
        "[sip]\nlisten = [\"udp://0.0.0.0:5060\"] # é\n[registrar]\nexpires = { min = \"60s\" }\n";
    for end in 0..=whole.len() {
        if let Some(part) = whole.get(..end) {
            let _ = of(part).findings.human(false);
        }
    }
}

#[test]
fn flags_win() {
    let flags = Flags {
        listen: vec!["udp://127.0.0.1:0".into()],
        domains: vec!["flag.example".into()],
        store: Some("memory:".into()),
        ..Flags::default()
    };
    let loaded = read("x", "[sip]\ndomains = [\"file.example\"]\n", &flags, None);
    assert_eq!(loaded.settings.domains, DomainChoice::Named(vec!["flag.example".into()]));
    assert_eq!(loaded.settings.listen.len(), 1);
    assert_eq!(loaded.settings.admin, None);
}

#[test]
fn the_manual_names_every_setting_and_its_example_is_the_default() {
    let manual = include_str!("../../../../docs/config.md");
    for (section, keys) in file::SETTINGS {
        for key in *keys {
            assert!(manual.contains(&format!("| `{section}.{key}` |")), "{section}.{key}");
        }
    }
    let example = manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let (written, default) = (of(example.expect("an example")), of(""));
    assert_eq!(written.findings.human(false), "");
    let debug = |loaded: &Loaded| {
        let text = format!("{:?}", loaded.settings);
        text.replace("./ringway-data", "ringway-data")
    };
    let sorted = |mut loaded: Loaded| {
        loaded.settings.listen.sort_by_key(|l| (l.address, l.transport));
        loaded
    };
    assert_eq!(debug(&sorted(written)), debug(&sorted(default)));
}

#[test]
fn a_stateless_balancer_is_understood() {
    let loaded = of(r#"
[sip]
mode = "stateless"
record_route = true
spread = "random"
listen = ["udp://192.0.2.10:5060", "tcp://192.0.2.10:5060"]
[limits]
per_source = { requests = "200/s", burst = 400 }
[[gateway]]
name = "core-a"
set = "core"
uri = "sip:10.0.1.1:5060"
weight = 50
[[gateway]]
name = "core-b"
set = "core"
uri = "sip:10.0.1.2;transport=tcp"
[[gateway]]
name = "other"
set = "elsewhere"
uri = "sip:10.0.1.3"
[set.core]
algorithm = "hash:call-id"
[[route]]
name = "all"
do = { set = "core" }
"#);
    assert_eq!(loaded.findings.human(false), "");
    let settings = loaded.settings;
    assert_eq!(settings.spread, Spread::Random);
    assert_eq!((settings.per_source.per_second, settings.per_source.burst), (200, 400));
    let balance = settings.balance.as_ref().expect("stateless");
    assert!(balance.record_route && balance.set == "core");
    let members: Vec<String> = settings
        .dispatch
        .members("core")
        .map(|g| match &g.place {
            Place::Address(to) => format!("{} {to} {}", g.name, g.weight),
            Place::Name(sought) => panic!("{sought:?}"),
        })
        .collect();
    assert_eq!(members, ["core-a udp:10.0.1.1:5060 50", "core-b tcp:10.0.1.2:5060 1"]);
}

#[test]
fn what_a_balancer_cannot_do_is_said() {
    let gateway = "[[gateway]]\nname = \"a\"\nset = \"core\"\nuri = \"sip:10.0.1.1\"\n";
    let sip = "[sip]\nmode = \"stateless\"\nlisten = [\"udp://192.0.2.10\"]\n";
    let with = |text: &str| codes(&format!("{sip}{gateway}{text}"));
    assert_eq!(codes(sip), ["no-route"]);
    assert_eq!(with(""), [""; 0], "the only set needs no route");
    assert_eq!(with("[[route]]\ndo = { set = \"coer\" }\n"), ["unknown-set"]);
    assert_eq!(
        with("[[route]]\ndo = { set = \"core\" }\n[[route]]\ndo = { set = \"core\" }\n"),
        ["unreachable"]
    );
    assert_eq!(with("[set.core]\nalgorithm = \"hash:from\"\n"), ["needs-state"]);
    assert_eq!(with("[set.core]\nprobe = 1\n"), ["wrong-type"]);
    assert_eq!(with(gateway), ["twice"]);
    let second =
        |uri: &str| with(&format!("[[gateway]]\nname = \"b\"\nset = \"core\"\nuri = \"{uri}\"\n"));
    assert_eq!(second("sip:core.example"), ["no-source", "needs-state"]);
    assert_eq!(second("sips:10.0.1.1"), ["bad-uri"]);
    assert_eq!(second("sip:10.0.1.2;transport=tcp"), ["no-listener"]);
    assert_eq!(second("sip:[2001:db8::1]"), ["no-listener"]);
    assert_eq!(with("[[gateway]]\nname = \"b\"\n"), ["missing", "missing"]);
    assert_eq!(
        with("[[gateway]]\nname = 7\nset = \"core\"\nuri = \"sip:10.0.1.9\"\n"),
        ["wrong-type"]
    );
    assert_eq!(codes("[sip]\nmode = \"stateles\"\n"), ["unknown-word"]);
    assert_eq!(codes("[sip]\nrecord_route = true\n"), ["needs-stateless"]);
    assert_eq!(codes("gateway = 1\n"), ["wrong-type"]);
    assert_eq!(codes("set = 1\n"), ["wrong-type"]);
}

#[test]
fn limits_and_bans_are_understood() {
    let loaded = of(r#"
[auth]
ban = { after = 5, within = "2m", for = "1d", never = ["192.168.0.0/16", "10.0.0.1"] }
[limits]
per_source = { requests = "5/s" }
"#);
    assert_eq!(loaded.findings.human(false), "");
    let ban = loaded.settings.auth.ban;
    assert_eq!((ban.after, ban.within.as_secs(), ban.lasts.as_secs()), (5, 120, 86_400));
    assert_eq!(ban.never.len(), 2);
    let rate = loaded.settings.per_source;
    assert_eq!((rate.per_second, rate.burst), (5, 15));
    for (text, code) in [
        ("[auth]\nban = { after = 99999 }\n", "out-of-range"),
        ("[auth]\nban = { within = \"0s\" }\n", "out-of-range"),
        ("[auth]\nban = { for = 60 }\n", "wrong-type"),
        ("[auth]\nban = { never = [\"x\"] }\n", "bad-network"),
        ("[auth]\nban = { never = [7] }\n", "wrong-type"),
        ("[auth]\nban = { afetr = 7 }\n", "unknown-key"),
        ("[auth]\nban = 7\n", "wrong-type"),
        ("[limits]\nper_source = { requests = \"20\" }\n", "bad-rate"),
        ("[limits]\nper_source = { requests = \"0/s\" }\n", "bad-rate"),
        ("[limits]\nper_source = { burst = 0 }\n", "out-of-range"),
    ] {
        assert_eq!(codes(text), [code], "{text}");
    }
}
