//! One question to a name server, and its answer reduced to what `locate` knows. Aliases (CNAME) were followed by the
//! resolver, messages it could not read are its failure; what is absurd in a readable one is left out here.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as DnsName, RData, Record as DnsRecord, RecordType};
use sip_core::locate::record::{RECORDS_MAX, Service};
use sip_core::locate::{Name, Query, Record, RecordKind, Resolution};

/// For an answer that says that there is nothing, and not for how long.
const NOTHING_TTL: Duration = Duration::from_secs(30);

pub async fn look_up(resolver: &TokioResolver, query: &Query) -> Resolution {
    let kind = match query.kind {
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
    };
    // With a dot at the end: complete, so nothing is appended to it.
    let Ok(name) = DnsName::from_ascii(format!("{}.", query.name)) else {
        return Resolution::Nothing { ttl: NOTHING_TTL };
    };
    match resolver.lookup(name, kind).await {
        Ok(lookup) => read(lookup.answers()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            let ttl = none.negative_ttl.map_or(NOTHING_TTL, |s| Duration::from_secs(s.into()));
            Resolution::Nothing { ttl }
        }
        Err(_) => Resolution::Failed,
    }
}

fn read(answers: &[DnsRecord]) -> Resolution {
    let readable = answers.iter().filter_map(|answer| Some((answer.ttl, record(&answer.data)?)));
    let mut ttl = u32::MAX;
    let mut records = Vec::new();
    for (seconds, record) in readable.take(RECORDS_MAX) {
        ttl = ttl.min(seconds);
        records.push(record);
    }
    if records.is_empty() {
        return Resolution::Nothing { ttl: NOTHING_TTL };
    }
    Resolution::Records { records, ttl: Duration::from_secs(ttl.into()) }
}

fn record(data: &RData) -> Option<Record> {
    let name = |name: &DnsName| Name::parse(name.to_ascii().as_bytes());
    match data {
        RData::A(a) => Some(Record::Address(a.0.into())),
        RData::AAAA(aaaa) => Some(Record::Address(aaaa.0.into())),
        RData::SRV(srv) => {
            let target = if srv.target.is_root() { None } else { Some(name(&srv.target)?) };
            let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
            Some(Record::Srv { priority, weight, port, target })
        }
        // RFC 3263 §4.1: SIP uses the flag "s" and no regular expression; a rule with another is of another application.
        RData::NAPTR(naptr) => {
            let plain = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
            let service = if plain { Service::parse(&naptr.services) } else { Service::Foreign };
            let replacement = name(&naptr.replacement)?;
            let (order, preference) = (naptr.order, naptr.preference);
            Some(Record::Naptr { order, preference, service, replacement })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::proto::rr::rdata::{A, CNAME, NAPTR, SRV};

    use super::*;

    fn answer(ttl: u32, data: RData) -> DnsRecord {
        DnsRecord::from_rdata(DnsName::from_ascii("example.org.").unwrap(), ttl, data)
    }

    fn host(text: &str) -> DnsName {
        DnsName::from_ascii(text).unwrap()
    }

    fn naptr(flags: &str, services: &str, regexp: &str) -> RData {
        let boxed = |text: &str| text.as_bytes().into();
        let replacement = host("_sip._udp.example.org.");
        RData::NAPTR(NAPTR::new(10, 20, boxed(flags), boxed(services), boxed(regexp), replacement))
    }

    #[test]
    fn the_alias_on_the_way_is_left_out_and_its_time_counts_not() {
        let cname = answer(1, RData::CNAME(CNAME(host("a.example.org."))));
        let a = answer(60, RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
        let b = answer(50, RData::A(A(Ipv4Addr::new(192, 0, 2, 2))));
        let records =
            vec![Record::Address([192, 0, 2, 1].into()), Record::Address([192, 0, 2, 2].into())];
        let ttl = Duration::from_secs(50);
        assert_eq!(read(&[cname, a, b]), Resolution::Records { records, ttl });
    }

    /// RFC 2782: a target of "." is no service; RFC 3263 §4.1: only plain "s" rules are about SIP.
    #[test]
    fn services() {
        let none = RData::SRV(SRV::new(1, 2, 0, DnsName::root()));
        assert_eq!(
            record(&none),
            Some(Record::Srv { priority: 1, weight: 2, port: 0, target: None })
        );
        let service = |data: &RData| match record(data) {
            Some(Record::Naptr { service, .. }) => service,
            other => panic!("{other:?}"),
        };
        assert_ne!(service(&naptr("S", "SIP+D2U", "")), Service::Foreign);
        assert_eq!(service(&naptr("u", "SIP+D2U", "")), Service::Foreign);
        assert_eq!(service(&naptr("s", "SIP+D2U", "!^.*$!sip:x@y!")), Service::Foreign);
    }

    #[test]
    fn thousands_of_records_are_a_few() {
        let many: Vec<DnsRecord> = (0..4_000u32)
            .map(|n| answer(60, RData::A(A(Ipv4Addr::from(n + (10 << 24))))))
            .collect();
        let Resolution::Records { records, .. } = read(&many) else { panic!("nothing") };
        assert_eq!(records.len(), RECORDS_MAX);
        assert_eq!(read(&[]), Resolution::Nothing { ttl: NOTHING_TTL });
    }
}
