//! The hosts file (hosts(5)): names the operator has written down are not asked about. It is read again when it has
//! changed. A name in it has its addresses and nothing else: no NAPTR, no SRV.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sip_core::locate::{Name, Query, Record, RecordKind, Resolution};

/// Short, so that a changed file is soon believed.
const TTL: Duration = Duration::from_secs(5);

/// More is no file that somebody wrote.
const BYTES_MAX: u64 = 4 << 20;

pub struct Hosts {
    path: PathBuf,
    /// When the file that was read had been changed, and its length.
    read: Option<(SystemTime, u64)>,
    addresses: HashMap<Name, Vec<IpAddr>>,
}

impl Hosts {
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: None, addresses: HashMap::new() }
    }

    /// None: the file does not know the name.
    pub fn find(&mut self, query: &Query) -> Option<Resolution> {
        self.renew();
        let addresses = self.addresses.get(base(query)?.as_ref().unwrap_or(&query.name))?;
        let fits = |ip: &&IpAddr| match query.kind {
            RecordKind::A => ip.is_ipv4(),
            RecordKind::Aaaa => ip.is_ipv6(),
            RecordKind::Naptr | RecordKind::Srv => false,
        };
        let records: Vec<Record> =
            addresses.iter().filter(fits).copied().map(Record::Address).collect();
        Some(if records.is_empty() {
            Resolution::Nothing { ttl: TTL }
        } else {
            Resolution::Records { records, ttl: TTL }
        })
    }

    fn renew(&mut self) {
        let file = std::fs::metadata(&self.path).ok().filter(|file| file.len() <= BYTES_MAX);
        let found = file.and_then(|file| Some((file.modified().ok()?, file.len())));
        if found != self.read {
            self.read = found;
            let text = found.map(|_| std::fs::read_to_string(&self.path).unwrap_or_default());
            self.addresses = read(&text.unwrap_or_default());
        }
    }
}

/// The name behind `_sip._udp.`, for SRV; `Some(None)`: the name is its own.
fn base(query: &Query) -> Option<Option<Name>> {
    if query.kind != RecordKind::Srv {
        return Some(None);
    }
    let mut name = query.name.as_str();
    while let Some((_, rest)) = name.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        name = rest;
    }
    Name::parse(name.as_bytes()).map(Some)
}

fn read(text: &str) -> HashMap<Name, Vec<IpAddr>> {
    let mut addresses: HashMap<Name, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words.filter_map(|word| Name::parse(word.as_bytes())) {
            addresses.entry(name).or_default().push(ip);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: RecordKind) -> Query {
        Query { name: Name::parse(name.as_bytes()).unwrap(), kind }
    }

    fn found(hosts: &mut Hosts, name: &str, kind: RecordKind) -> String {
        match hosts.find(&query(name, kind)) {
            None => "unknown".into(),
            Some(Resolution::Nothing { .. }) => "nothing".into(),
            Some(Resolution::Records { records, .. }) => format!("{records:?}"),
            Some(Resolution::Failed) => "failed".into(),
        }
    }

    #[test]
    fn names_that_are_written_down() {
        let path = std::env::temp_dir().join(format!("ringway-hosts-{}", std::process::id()));
        let text =
            "# ours\n192.0.2.7 Gateway.example.org gw # the old one\n2001:db8::7 gw\n\nnonsense\n";
        std::fs::write(&path, text).unwrap();
        let mut hosts = Hosts::new(path.clone());
        let a = RecordKind::A;
        assert_eq!(found(&mut hosts, "gateway.example.org", a), "[Address(192.0.2.7)]");
        assert_eq!(found(&mut hosts, "gw", RecordKind::Aaaa), "[Address(2001:db8::7)]");
        assert_eq!(found(&mut hosts, "gateway.example.org", RecordKind::Aaaa), "nothing");
        assert_eq!(found(&mut hosts, "gw", RecordKind::Naptr), "nothing");
        assert_eq!(found(&mut hosts, "_sip._udp.gw", RecordKind::Srv), "nothing");
        assert_eq!(found(&mut hosts, "_sip._udp.example.org", RecordKind::Srv), "unknown");
        assert_eq!(found(&mut hosts, "elsewhere.example.org", a), "unknown");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found(&mut hosts, "gw", a), "unknown", "the file is gone, and so are its names");
    }
}
