//! RFC 3263 §4.1 and §4.2 as a table: for a URI and what the DNS says, which questions are asked in which order, and where
//! the request would be sent. The DNS is a list of lines; silence is a word in it.

use core::fmt::Write as _;
use std::collections::{HashMap, HashSet};

use sip_message::Uri;

use super::record::Service;
use super::search::Memory;
use super::*;
use crate::config::Config;
use crate::config::tests::config;
use crate::flow::Transport;
use crate::time::{Duration, Instant};

const NOW: Instant = Instant::from_secs(1_000);

/// What the DNS has: `NAME KIND RECORD`, or `NAME KIND silent`.
#[derive(Default)]
pub(crate) struct Zone {
    records: HashMap<Query, Vec<Record>>,
    silent: HashSet<Query>,
    known: HashMap<Query, Found>,
    old: HashMap<Query, Found>,
    failed: Vec<Destination>,
}

impl Memory for Zone {
    fn find(&self, _: Instant, query: &Query) -> Option<Found> {
        self.known.get(query).cloned()
    }

    fn find_old(&self, _: Instant, query: &Query) -> Option<Found> {
        self.old.get(query).cloned()
    }

    fn has_failed(&self, _: Instant, destination: &Destination) -> bool {
        self.failed.contains(destination)
    }
}

impl Zone {
    pub(crate) fn new(lines: &str) -> Self {
        let mut zone = Self::default();
        for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let kind = match words[1] {
                "NAPTR" => RecordKind::Naptr,
                "SRV" => RecordKind::Srv,
                "A" => RecordKind::A,
                _ => RecordKind::Aaaa,
            };
            let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
            let query = Query { name: name(words[0]), kind };
            let number = |n: usize| words[n].parse().unwrap();
            let record = match kind {
                _ if words[2] == "silent" => {
                    zone.silent.insert(query);
                    continue;
                }
                RecordKind::Naptr => Record::Naptr {
                    order: number(2),
                    preference: number(3),
                    service: Service::parse(words[4].as_bytes()),
                    replacement: name(words[5]),
                },
                RecordKind::Srv => Record::Srv {
                    priority: number(2),
                    weight: number(3),
                    port: number(4),
                    target: (words[5] != ".").then(|| name(words[5])),
                },
                RecordKind::A | RecordKind::Aaaa => Record::Address(words[2].parse().unwrap()),
            };
            zone.records.entry(query).or_default().push(record);
        }
        zone
    }

    pub(crate) fn resolution(&self, query: &Query) -> Resolution {
        match (self.silent.contains(query), self.records.get(query)) {
            (true, _) => Resolution::Failed,
            (false, None) => Resolution::Nothing { ttl: Duration::from_secs(30) },
            (false, Some(records)) => {
                Resolution::Records { records: records.clone(), ttl: Duration::from_secs(60) }
            }
        }
    }

    fn answer(&self, query: &Query) -> Found {
        if self.silent.contains(query) {
            return Found::Failed;
        }
        Found::of(query.kind, self.records.get(query).cloned().unwrap_or_default())
    }
}

fn sought(uri: &str) -> Sought {
    match Place::of(&Uri::parse(uri.as_bytes()).unwrap()) {
        Some(Place::Name(sought)) => sought,
        other => panic!("{uri} is no name: {other:?}"),
    }
}

/// Everything that is asked and tried until nobody is left, a line each.
fn story(uri: &str, zone: &Zone, config: &Config) -> Vec<String> {
    let mut search = Search::new(&sought(uri), 5, config);
    let mut lines = Vec::new();
    let mut needs = search.next(NOW, config, zone);
    loop {
        needs = match needs {
            Needs::Query(query, _) => {
                let found = zone.answer(&query);
                let word = match &found {
                    Found::Records(records) => records.len().to_string(),
                    Found::Nothing => "nothing".into(),
                    Found::Failed => "silence".into(),
                };
                lines.push(format!("ask {query}: {word}"));
                search.answer(NOW, config, zone, (&found, found == Found::Failed))
            }
            Needs::Try(destination) => {
                let more = if search.has_more() { ", then perhaps others" } else { "" };
                lines.push(format!("try {destination}{more}"));
                search.next(NOW, config, zone)
            }
            Needs::End(why) => {
                lines.push(format!("end {why:?}"));
                return lines;
            }
        };
        assert!(lines.len() < 100, "{lines:?}");
    }
}

const CASES: &[(&str, &str, &str)] = &[
    (
        "RFC 3263 §4.1, its example: NAPTR prefers TCP, and names the SRV records",
        "sip:user@example.org",
        "example.org NAPTR 50 50 SIPS+D2T _sips._tcp.example.org
         example.org NAPTR 90 50 SIP+D2T _sip._tcp.example.org
         example.org NAPTR 100 50 SIP+D2U _sip._udp.example.org
         _sip._tcp.example.org SRV 0 1 5060 server1.example.org
         _sip._tcp.example.org SRV 1 2 5060 server2.example.org
         server1.example.org A 192.0.2.11
         server2.example.org A 192.0.2.12",
    ),
    (
        "§4.1: two transports of one order, by preference; the replacement may lie in another domain",
        "sip:example.org",
        "example.org NAPTR 10 20 SIP+D2T _sip._tcp.example.org
         example.org NAPTR 10 10 SIP+D2U _sip._udp.provider.net
         _sip._udp.provider.net SRV 0 0 5070 a.provider.net
         _sip._tcp.example.org SRV 0 0 5080 a.provider.net
         a.provider.net A 192.0.2.21",
    ),
    (
        "§4.1: NAPTR of other applications only: as if there were none",
        "sip:example.org",
        "example.org NAPTR 10 10 E2U+sip example.net
         _sip._udp.example.org SRV 0 0 5060 a.example.org
         a.example.org A 192.0.2.31",
    ),
    (
        "§4.1: SIP, but by nothing that we have",
        "sip:example.org",
        "example.org NAPTR 10 10 SIPS+D2T _sips._tcp.example.org
         example.org A 192.0.2.32",
    ),
    (
        "§4.1: no NAPTR: SRV for every transport we have, UDP first",
        "sip:example.org",
        "_sip._udp.example.org SRV 0 0 5060 a.example.org
         _sip._tcp.example.org SRV 0 0 5061 a.example.org
         a.example.org A 192.0.2.41",
    ),
    (
        "§4.1: no NAPTR, SRV for TCP only",
        "sip:example.org",
        "_sip._tcp.example.org SRV 0 0 5060 a.example.org
         a.example.org A 192.0.2.42",
    ),
    (
        "§4.2: neither NAPTR nor SRV: its addresses, UDP, port 5060",
        "sip:example.org",
        "example.org A 192.0.2.51",
    ),
    (
        "§4.2: the same when the NAPTR's SRV name has nothing: the transport is the NAPTR's",
        "sip:example.org",
        "example.org NAPTR 10 10 SIP+D2T _sip._tcp.example.org
         example.org A 192.0.2.52",
    ),
    (
        "§4.1: a port: no NAPTR, no SRV, UDP",
        "sip:example.org:5080",
        "_sip._udp.example.org SRV 0 0 5060 a.example.org
         example.org A 192.0.2.61",
    ),
    ("§4.1: port and transport", "sip:example.org:5080;transport=tcp", "example.org A 192.0.2.62"),
    (
        "§4.2: a transport: its SRV, no NAPTR",
        "sip:example.org;transport=tcp",
        "example.org NAPTR 10 10 SIP+D2U _sip._udp.example.org
         _sip._tcp.example.org SRV 0 0 5070 a.example.org
         a.example.org A 192.0.2.71",
    ),
    (
        "§4.2: a transport without SRV: the addresses",
        "sip:example.org;transport=tcp",
        "example.org A 192.0.2.72",
    ),
    (
        "RFC 2782: a target of \".\" says that there is no such service: no addresses then",
        "sip:example.org;transport=udp",
        "_sip._udp.example.org SRV 0 0 0 .
         example.org A 192.0.2.81",
    ),
    (
        "several addresses, both families: IPv4 first, and IPv6 only if that fails",
        "sip:example.org:5060",
        "example.org A 192.0.2.91
         example.org A 192.0.2.92
         example.org AAAA 2001:db8::91",
    ),
    (
        "one host has no address: the next one",
        "sip:example.org;transport=udp",
        "_sip._udp.example.org SRV 1 0 5060 gone.example.org
         _sip._udp.example.org SRV 2 0 5060 here.example.org
         here.example.org A 192.0.2.101",
    ),
    (
        "the name server is silent about one host: the next one",
        "sip:example.org;transport=udp",
        "_sip._udp.example.org SRV 1 0 5060 slow.example.org
         _sip._udp.example.org SRV 2 0 5060 here.example.org
         slow.example.org A silent
         slow.example.org AAAA silent
         here.example.org A 192.0.2.102",
    ),
    (
        "the name server drops NAPTR, which some do",
        "sip:example.org",
        "example.org NAPTR silent
         _sip._udp.example.org SRV 0 0 5060 a.example.org
         a.example.org A 192.0.2.111",
    ),
    ("no such name", "sip:example.org", ""),
    (
        "the name server is dead",
        "sip:example.org:5060",
        "example.org A silent
         example.org AAAA silent",
    ),
    (
        "it leads to this machine",
        "sip:example.org:5060",
        "example.org A 127.0.0.1\nexample.org AAAA ::1",
    ),
    (
        "it leads to the link",
        "sip:example.org:5060",
        "example.org A 169.254.1.1\nexample.org AAAA fe80::1",
    ),
    ("it leads to us, by an address of ours", "sip:example.org", "example.org A 192.0.2.1"),
    (
        "it leads to another port of this machine's address",
        "sip:example.org:5999",
        "example.org A 192.0.2.1",
    ),
    (
        "one of its hosts is us: the other one",
        "sip:example.org;transport=udp",
        "_sip._udp.example.org SRV 1 0 5060 us.example.org
         _sip._udp.example.org SRV 2 0 5060 other.example.org
         us.example.org A 192.0.2.1
         other.example.org A 192.0.2.121",
    ),
];

#[test]
fn from_a_uri_to_destinations() {
    let mut page = String::new();
    for (about, uri, lines) in CASES {
        let zone = Zone::new(lines);
        writeln!(page, "{about}\n  {uri}").unwrap();
        for line in lines.lines() {
            writeln!(page, "    {}", line.trim()).unwrap();
        }
        for line in story(uri, &zone, &config()) {
            writeln!(page, "  {line}").unwrap();
        }
        page.push('\n');
    }
    insta::assert_snapshot!(page);
}

/// RFC 3263 §4.3: who has just failed comes last, and is still tried when there is nobody else.
#[test]
fn who_has_failed_comes_last() {
    let mut zone = Zone::new(
        "_sip._udp.example.org SRV 1 0 5060 a.example.org
         _sip._udp.example.org SRV 2 0 5060 b.example.org
         a.example.org A 192.0.2.11
         b.example.org A 192.0.2.12",
    );
    let tries = |zone: &Zone| -> Vec<String> {
        let lines = story("sip:example.org;transport=udp", zone, &config());
        let tries = lines.iter().filter_map(|l| l.strip_prefix("try udp:"));
        tries.map(|l| l.split(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(tries(&zone), ["192.0.2.11:5060", "192.0.2.12:5060"]);
    let failed =
        |last| Destination { transport: Transport::Udp, address: ([192, 0, 2, last], 5060).into() };
    zone.failed = vec![failed(11)];
    assert_eq!(tries(&zone), ["192.0.2.12:5060", "192.0.2.11:5060"]);
    zone.failed = vec![failed(11), failed(12)];
    assert_eq!(tries(&zone), ["192.0.2.11:5060", "192.0.2.12:5060"], "the order is the old one");
}

/// What is known is not asked for, and costs no time.
#[test]
fn what_is_known_is_not_asked() {
    let mut zone = Zone::new("example.org A 192.0.2.11");
    for (name, kind) in [
        ("example.org", RecordKind::Naptr),
        ("_sip._udp.example.org", RecordKind::Srv),
        ("_sip._tcp.example.org", RecordKind::Srv),
        ("example.org", RecordKind::A),
        ("example.org", RecordKind::Aaaa),
    ] {
        let query = Query { name: Name::parse(name.as_bytes()).unwrap(), kind };
        zone.known.insert(query.clone(), zone.answer(&query));
    }
    assert_eq!(
        story("sip:example.org", &zone, &config()),
        ["try udp:192.0.2.11:5060, then perhaps others", "end NotFound"]
    );
}

/// RFC 8767 §5: after one silence, what was known before is good enough: the name server is not waited for again.
#[test]
fn after_a_silence_what_was_known_will_do() {
    let mut zone = Zone::new(
        "example.org NAPTR silent
         _sip._udp.example.org SRV 0 0 5060 a.example.org
         a.example.org A 192.0.2.11",
    );
    for (name, kind) in
        [("_sip._udp.example.org", RecordKind::Srv), ("a.example.org", RecordKind::A)]
    {
        let query = Query { name: Name::parse(name.as_bytes()).unwrap(), kind };
        zone.old.insert(query.clone(), zone.answer(&query));
    }
    assert_eq!(
        story("sip:example.org", &zone, &config())[..2],
        ["ask example.org NAPTR: silence", "try udp:192.0.2.11:5060, then perhaps others"]
    );
}

/// A zone that leads from name to name to name: a bounded number of questions and tries.
#[test]
fn no_zone_makes_us_ask_for_ever() {
    let mut lines = String::new();
    for n in 0..32 {
        writeln!(lines, "_sip._udp.example.org SRV {n} 0 5060 host{n}.example.org").unwrap();
    }
    let story = story("sip:example.org", &Zone::new(&lines), &config());
    assert_eq!(story.iter().filter(|l| l.starts_with("ask")).count(), crate::limits::QUERIES.max);
    for n in 0..32 {
        writeln!(lines, "host{n}.example.org A 198.51.100.{n}").unwrap();
    }
    let story = self::story("sip:example.org", &Zone::new(&lines), &config());
    assert_eq!(story.iter().filter(|l| l.starts_with("try")).count(), crate::limits::TRIES.max);
}

/// All questions between a request and its next destination together have one deadline.
#[test]
fn time_runs_out_for_all_questions_together() {
    let (config, zone) = (config(), Zone::default());
    let mut search = Search::new(&sought("sip:example.org"), 1, &config);
    let Needs::Query(_, deadline) = search.next(NOW, &config, &zone) else { panic!("no question") };
    assert_eq!(deadline, NOW + Duration::from_secs(5));
    let at = NOW + Duration::from_secs(3);
    let needs = search.answer(at, &config, &zone, (&Found::Failed, true));
    assert!(matches!(&needs, Needs::Query(_, again) if *again == deadline), "{needs:?}");
    let needs = search.answer(deadline, &config, &zone, (&Found::Failed, true));
    assert_eq!(needs, Needs::End(Why::NotAnswered));
    assert!(!search.has_more());
}

/// In a laboratory, names lead to this machine.
#[test]
fn local_addresses_are_allowed_on_demand() {
    let mut config = config();
    config.dns.allow_local = true;
    let zone = Zone::new("example.org A 127.0.0.1");
    let story = story("sip:example.org:5999", &zone, &config);
    assert_eq!(story[1], "try udp:127.0.0.1:5999, then perhaps others");
}
