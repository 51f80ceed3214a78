//! Gateways, sets and routes in whole files: the examples of the manual are understood, and what is wrong with others is
//! found with its place.

use std::time::Duration;

use sip_core::dispatcher::route::{CallerId, Source, Who, Whom};
use sip_core::dispatcher::set::Algorithm;

use super::route::Action;
use super::tests::{codes, of};

const OFFICE: &str = r#"
[sip]
domains = ["office.example.com"]
utc_offset = "+01:00"
listen = ["udp://192.0.2.10:5060", "tcp://192.0.2.10:5060"]

[[gateway]]
name = "carrier-a"
set = "pstn"
uri = "sip:203.0.113.99;transport=tcp"
weight = 70
max_calls = 30
max_rate = "5/s"
call_max = "2h"
sources = ["203.0.113.0/28"]
[[gateway]]
name = "carrier-b"
set = "pstn"
uri = "sip:203.0.113.77:5080"
weight = 30
priority = 1
inbound = false
trusted = false

[set.pstn]
algorithm = "weighted"
probe = { method = "OPTIONS", every = "5s", down_after = 2, up_after = 3, ok = ["2xx", "404", "405"] }
when_down = "next"
all_down = { answer = 503, retry_after = "5s" }
failover_on = ["503", "timeout:2s"]

[[route]]
name = "internal"
when = { to = "user" }
do = { ring = "all-devices", timeout = "25s", on_no_answer = "voicemail@pbx.example.com", strategy = "serial" }

[[route]]
name = "emergency"
when = { number = ["110", "112"] }
do = { set = "pstn", priority = "emergency" }

[[route]]
name = "night"
when = { to = ["alias", "boss@office.example.com"], time = "Mon-Fri 18:00-08:00", header = { Subject = "test" }, method = "INVITE", domain = "office.example.com" }
do = { answer = 480, reason = "Nobody Is Here" }

[[route]]
name = "out"
when = { from = "user", number = "^0(.*)$" }
do = { set = "pstn", number = "+49$1", caller_id = "user", failover_on = ["5xx"] }

[[route]]
name = "moved"
when = { source = ["trusted", "198.51.100.0/24"], number = "^9(.*)$" }
do = { redirect = "sip:$1@new.example" }

[[route]]
name = "in"
when = { from_gateway = "carrier-a" }
do = { user_by_alias = true, otherwise = 404 }
"#;

#[test]
fn an_office_is_understood() {
    let loaded = of(OFFICE);
    assert_eq!(loaded.findings.human(false), "");
    let dispatch = loaded.settings.dispatch;
    assert_eq!(dispatch.utc_offset, 3600);
    let [a, b] = dispatch.gateways.as_slice() else { panic!("two gateways") };
    assert_eq!(
        (a.host.as_str(), b.host.as_str()),
        ("203.0.113.99;transport=tcp", "203.0.113.77:5080")
    );
    assert_eq!((a.weight, a.caps.calls, a.caps.per_second), (70, 30, 5));
    assert_eq!((a.call_max, a.line), (Duration::from_secs(7200), 7));
    assert!(a.inbound && a.trusted && !b.inbound && !b.trusted);
    assert_eq!((b.priority, b.sources.len(), a.sources.len()), (1, 0, 1));
    let set = &dispatch.sets[0];
    assert_eq!((set.algorithm, set.all_down.retry_after), (Algorithm::Weighted, 5));
    assert_eq!(set.failover.silence, Some(Duration::from_secs(2)));
    let probe = set.probe.as_ref().expect("a probe");
    assert_eq!((probe.every, probe.timeout), (Duration::from_secs(5), Duration::from_secs(4)));
    assert_eq!((probe.thresholds.up_after, probe.ok.to_string().as_str()), (3, "2xx, 404, 405"));
    let names: Vec<(&str, u32)> =
        dispatch.routes.iter().map(|r| (r.name.as_str(), r.line)).collect();
    assert_eq!(names[..3], [("internal", 32), ("emergency", 37), ("night", 42)]);
    let night = &dispatch.routes[2].when;
    assert_eq!(night.to, [Whom::Alias, Whom::ThisUser("boss@office.example.com".into())]);
    let out = &dispatch.routes[3];
    assert_eq!(out.when.from, [Who::User]);
    let Action::Gateways { number, caller_id, failover, urgent, .. } = &out.action else {
        panic!("{:?}", out.action)
    };
    assert_eq!(number.as_ref().map(|n| n.as_str()), Some("+49$1"));
    assert_eq!((caller_id, *urgent), (&CallerId::User, false));
    assert_eq!(failover.as_ref().map(|f| f.on.to_string()).as_deref(), Some("5xx"));
    assert_eq!(dispatch.routes[4].when.sources[0], Source::Trusted);
    assert_eq!(dispatch.routes[5].when.from, [Who::ThisGateway("carrier-a".into())]);
}

/// Every mistake alone, in a file that is right but for it.
#[test]
fn each_mistake_is_found() {
    let with = |from: &str, to: &str| {
        assert!(OFFICE.contains(from), "{from}");
        codes(&OFFICE.replacen(from, to, 1))
    };
    for (from, to, code) in [
        ("set = \"pstn\", priority", "set = \"pstnn\", priority", "unknown-set"),
        ("[set.pstn]", "[set.psnt]", "unknown-set"),
        ("from_gateway = \"carrier-a\"", "from_gateway = \"carier-a\"", "unknown-gateway"),
        ("\"198.51.100.0/24\"", "\"carrier-c\"", "unknown-gateway"),
        ("to = \"user\"", "to = \"usr\"", "unknown-word"),
        ("from = \"user\"", "from = \"alias\"", "unknown-word"),
        ("\"boss@office.example.com\"", "\"boss@home.example\"", "unknown-domain"),
        ("domain = \"office.example.com\"", "domain = \"x.example\"", "unknown-domain"),
        ("^0(.*)$", "^0(.*$", "bad-pattern"),
        ("+49$1", "+49$2", "no-such-group"),
        ("+49$1", "+49$x", "bad-template"),
        ("Mon-Fri 18:00-08:00", "Mo-Fr 18-8", "bad-time"),
        ("utc_offset = \"+01:00\"", "utc_offset = \"CET\"", "bad-offset"),
        ("algorithm = \"weighted\"", "algorithm = \"wieghted\"", "unknown-algorithm"),
        ("\"503\", \"timeout:2s\"", "\"busy\", \"timeout:2s\"", "bad-failover"),
        ("\"503\", \"timeout:2s\"", "\"503\", \"timeout:2\"", "bad-duration"),
        ("every = \"5s\"", "every = \"5s\", timeout = \"6s\"", "contradiction"),
        ("down_after = 2", "down_after = 0", "out-of-range"),
        ("ok = [\"2xx\"", "ok = [\"ok\"", "bad-status"),
        ("when_down = \"next\"", "when_down = \"wait\"", "unknown-word"),
        ("max_rate = \"5/s\"", "max_rate = \"5\"", "bad-rate"),
        ("name = \"carrier-b\"", "name = \"carrier-a\"", "twice"),
        ("name = \"out\"", "name = \"in\"", "twice"),
        ("203.0.113.77:5080", "192.0.2.10:5060", "gateway-is-us"),
        (
            "when = { from = \"user\", number = \"^0(.*)$\" }",
            "when = { from = \"any\" }",
            "no-such-group",
        ),
        (
            "do = { answer = 480, reason",
            "do = { answer = 480, redirect = true, reason",
            "contradiction",
        ),
        ("do = { user_by_alias", "od = { user_by_alias", "unknown-key"),
        ("timeout = \"25s\", ", "", "missing"),
        ("voicemail@pbx.example.com", "sip:>", "bad-uri"),
        ("Nobody Is Here", "Nobody\\nIs Here", "bad-reason"),
        ("caller_id = \"user\"", "caller_id = \"me\"", "unknown-word"),
        ("priority = \"emergency\"", "priority = \"high\"", "unknown-word"),
    ] {
        let found = with(from, to);
        assert!(found.contains(&code), "{to}: {found:?}");
    }
}

#[test]
fn a_bad_pattern_is_shown_at_its_letter() {
    let text = of(&OFFICE.replace("^0(.*)$", "^0[9-0]$")).findings.human(false);
    assert!(text.contains("error[bad-pattern]: `^0[9-0]$` is no pattern for a number"), "{text}");
    let line = text.lines().find(|line| line.contains("number = \"^0[9-0]$\"")).expect("the line");
    let mark = text.lines().skip_while(|l| *l != line).nth(1).expect("a mark");
    assert_eq!(mark.find('^'), line.find("9-0"), "{text}");
    assert!(text.contains("invalid character class range"), "{text}");
}

#[test]
fn an_unknown_set_names_those_there_are() {
    let text = of(&OFFICE.replacen("set = \"pstn\", priority", "set = \"pstnn\", priority", 1));
    let text = text.findings.human(false);
    let wanted =
        "error[unknown-set]: route \"emergency\" sends to set `pstnn`, which does not exist";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("^^^^^^^ did you mean `pstn`? sets here: pstn (line 7)"), "{text}");
}

#[test]
fn what_is_never_reached_or_open_is_said() {
    let all = "[[route]]\nname = \"all\"\ndo = { answer = 404 }\n";
    let last = format!("{OFFICE}\n{all}");
    assert_eq!(codes(&last), [""; 0], "a catch-all may stand last");
    let first = OFFICE.replacen("[[route]]", &format!("{all}[[route]]"), 1);
    assert_eq!(codes(&first), ["unreachable"; 6]);
    let open = OFFICE.replacen("number = [\"110\", \"112\"]", "from = \"any\"", 1);
    assert_eq!(codes(&open)[0], "open-relay");
    let lab = format!("{OFFICE}\n[auth]\nenabled = false\n");
    assert_eq!(codes(&lab), ["open-relay", "open-relay", "no-auth"]);
    let closed = open.replacen("from = \"any\"", "from = \"any\", source = \"trusted\"", 1);
    assert!(!codes(&closed).contains(&"open-relay"));
}

/// What example 3 of a carrier's edge may say, and what it may not.
#[test]
fn a_stateless_edge() {
    let edge = r#"
[sip]
mode = "stateless"
listen = ["udp://192.0.2.10:5060"]
[[gateway]]
name = "core-a"
set = "core"
uri = "sip:10.0.1.1:5060"
[set.core]
algorithm = "hash:call-id"
probe = { every = "5s", down_after = 2, up_after = 3, ok = ["2xx", "404", "405"] }
when_down = "next"
all_down = { answer = 503, retry_after = "5s" }
[[route]]
name = "all"
when = { source = "trusted" }
do = { set = "core" }
"#;
    let loaded = of(edge);
    assert_eq!(loaded.findings.human(false), "");
    assert_eq!(loaded.settings.balance.expect("stateless").sources, [Source::Trusted]);
    for (from, to) in [
        ("when_down", "failover_on = [\"503\"]\nwhen_down"),
        ("do = { set = \"core\" }", "do = { set = \"core\", failover_on = [\"503\"] }"),
        ("hash:call-id", "least-calls"),
        ("source = \"trusted\"", "from = \"user\""),
        ("do = { set = \"core\" }", "do = { answer = 404 }"),
    ] {
        let found = codes(&edge.replacen(from, to, 1));
        assert!(found.contains(&"needs-state"), "{to}: {found:?}");
    }
}

/// What we are to a provider: the password comes from elsewhere, and only his realm gets a proof.
#[test]
fn accounts_with_providers() {
    let folder = std::env::temp_dir().join(format!("ringway-account-{}", std::process::id()));
    std::fs::write(&folder, "s3cret\nmore\n").expect("written");
    let file = format!("{{ file = \"{}\" }}", folder.display());
    let with = |account: &str, uri: &str| {
        format!(
            "[[gateway]]\nname = \"p\"\nset = \"pstn\"\nuri = \"{uri}\"\nsources = [\"203.0.113.0/28\"]\n{account}\n"
        )
    };
    let name = "sip:sip.provider.example;transport=tcp";
    let loaded = of(&with(&format!("register = {{ user = \"4930\", password = {file} }}"), name));
    std::fs::remove_file(&folder).expect("removed");
    assert_eq!(loaded.findings.human(false), "");
    let account = loaded.settings.dispatch.gateways[0].account.clone().expect("an account");
    assert_eq!(
        (&*account.domain, &*account.realm),
        ("sip.provider.example", "sip.provider.example")
    );
    assert_eq!(
        (&*account.password.0, account.register),
        ("s3cret", Some(Duration::from_secs(3600)))
    );
    assert!(!format!("{account:?}").contains("s3cret"));
    let address = "sip:203.0.113.9";
    for (account, uri, found) in [
        (
            "auth = { user = \"a\", password = \"x\", realm = \"r\" }",
            address,
            vec!["plain-password"],
        ),
        ("auth = { user = \"a\", password = \"x\" }", address, vec!["missing", "plain-password"]),
        ("auth = { user = \"a\" }", name, vec!["missing"]),
        ("auth = { password = { env = \"RINGWAY_NO_SUCH\" } }", name, vec!["missing", "no-secret"]),
        ("auth = { user = \"a\", password = { file = \"/nowhere/x\" } }", name, vec!["no-secret"]),
        (
            "auth = { user = \"a\", password = { fiel = \"x\" } }",
            name,
            vec!["no-secret", "unknown-key"],
        ),
        ("auth = { user = \"a b\", password = { env = \"PATH\" } }", name, vec!["bad-user"]),
        (
            "register = { user = \"a\", password = { env = \"PATH\" }, expires = \"5s\" }",
            name,
            vec!["out-of-range"],
        ),
        (
            "register = { user = \"a\", password = { env = \"PATH\" } }\nauth = { user = \"a\", password = { env = \"PATH\" } }",
            name,
            vec!["twice"],
        ),
    ] {
        assert_eq!(codes(&with(account, uri)), found, "{account}");
    }
    assert_eq!(
        codes("[[gateway]]\nname = \"p\"\nset = \"s\"\nuri = \"sip:p.example\"\n"),
        ["no-source"]
    );
}
