//! A scripted DNS: lines of a zone, and a name server that answers at once, late, or never. It keeps a list of what it was
//! asked (RFC 3263 §4), for a scenario to look at.

use std::collections::{BTreeMap, BTreeSet};

use sip_core::locate::record::Service;
use sip_core::locate::{Name, Query, Record, RecordKind, Resolution};
use sip_core::time::{Duration, Instant};

/// The shell's patience with one question.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// `None` for what is no line of a zone.
fn parse(line: &str) -> Option<(Query, Record)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = |at: usize| Name::parse(words.get(at)?.as_bytes());
    let number = |at: usize| words.get(at)?.parse().ok();
    let (kind, record) = match *words.get(1)? {
        "NAPTR" => {
            let service = Service::parse(words.get(4)?.as_bytes());
            let (order, preference, replacement) = (number(2)?, number(3)?, name(5)?);
            (RecordKind::Naptr, Record::Naptr { order, preference, service, replacement })
        }
        "SRV" => {
            let target = if *words.get(5)? == "." { None } else { Some(name(5)?) };
            let (priority, weight, port) = (number(2)?, number(3)?, number(4)?);
            (RecordKind::Srv, Record::Srv { priority, weight, port, target })
        }
        "A" => (RecordKind::A, Record::Address(words.get(2)?.parse().ok()?)),
        "AAAA" => (RecordKind::Aaaa, Record::Address(words.get(2)?.parse().ok()?)),
        _ => return None,
    };
    Some((Query { name: name(0)?, kind }, record))
}

#[derive(Default)]
pub struct Dns {
    records: BTreeMap<Query, Vec<Record>>,
    /// Names it never answers for, whatever else it does.
    silent: BTreeSet<String>,
    pub ttl: Duration,
    pub delay: Duration,
    pub dead: bool,
    /// In order: `0.000 example.org NAPTR`.
    pub asked: Vec<String>,
}

impl Dns {
    pub fn new() -> Self {
        Self { ttl: Duration::from_secs(60), ..Self::default() }
    }

    /// Adds records, a line each.
    ///
    /// # Panics
    /// When a line is none of a zone.
    pub fn add(&mut self, zone: &str) {
        for line in zone.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((query, record)) = parse(line) else { panic!("no line of a zone: {line}") };
            self.records.entry(query).or_default().push(record);
        }
    }

    pub fn remove_all(&mut self) {
        self.records.clear();
    }

    pub fn silent_about(&mut self, name: &str) {
        self.silent.insert(name.to_owned());
    }

    /// What it says, and when; the shell has a clock of its own.
    pub fn answer(&mut self, now: Instant, query: &Query, until: Instant) -> (Instant, Resolution) {
        let since = now.since(crate::world::START);
        self.asked.push(format!("{}.{:03} {query}", since.as_secs(), since.subsec_millis()));
        let latest = until.min(now + QUERY_TIMEOUT);
        let silent = self.dead || self.silent.contains(query.name.as_str());
        if silent || now + self.delay >= latest {
            return (latest, Resolution::Failed);
        }
        let resolution = match self.records.get(query) {
            Some(records) => Resolution::Records { records: records.clone(), ttl: self.ttl },
            None => Resolution::Nothing { ttl: self.ttl },
        };
        (now + self.delay, resolution)
    }
}
