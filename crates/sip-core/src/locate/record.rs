//! Questions to the DNS and what comes back, reduced to what RFC 3263 uses (RFC 1035, RFC 2782, RFC 3403). It never sees
//! a DNS message: whoever answers has read one.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use super::{Name, is_one_place};
use crate::flow::Transport;
use crate::time::Duration;

/// Records of one answer that are looked at. Real sets have a handful; what sends thousands is no friend.
pub const RECORDS_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    Naptr,
    Srv,
    A,
    Aaaa,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    pub name: Name,
    pub kind: RecordKind,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

/// One record, of the kind that was asked for. Aliases (CNAME) were followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// RFC 3403 §4.1 with flag "s" and no regular expression, or one that SIP does not use: `service` is `None` then.
    Naptr {
        order: u16,
        preference: u16,
        service: Service,
        replacement: Name,
    },
    /// RFC 2782. No target: there is no such service at that name.
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Option<Name>,
    },
    Address(IpAddr),
}

/// The service field of a NAPTR record (RFC 3263 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `SIP+D2U`, `SIP+D2T`.
    Sip(Transport),
    /// SIP by a transport that we do not have: `SIPS+D2T`, `SIP+D2S`.
    SipOtherwise,
    /// Something else: telephone numbers, XMPP.
    Foreign,
}

impl Service {
    pub fn parse(field: &[u8]) -> Self {
        let is = |text: &str| field.eq_ignore_ascii_case(text.as_bytes());
        let begins = |text: &str| {
            field.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
        };
        match () {
            () if is("SIP+D2U") => Self::Sip(Transport::Udp),
            () if is("SIP+D2T") => Self::Sip(Transport::Tcp),
            () if begins("SIP+D2") || begins("SIPS+D2") => Self::SipOtherwise,
            () => Self::Foreign,
        }
    }
}

/// What whoever asked the DNS has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// At least one record, good for so long.
    Records { records: Vec<Record>, ttl: Duration },
    /// The name has no such records, or does not exist.
    Nothing { ttl: Duration },
    /// Nobody answered in time, or nothing that can be believed.
    Failed,
}

/// The same as it is kept: records bounded, of the kind that was asked for, and never an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Records(Arc<[Record]>),
    Nothing,
    Failed,
}

impl Found {
    /// What is left when everything that no answer to `kind` may contain is thrown away.
    pub fn of(kind: RecordKind, records: Vec<Record>) -> Self {
        let fits = |record: &Record| match (kind, record) {
            (RecordKind::Naptr, Record::Naptr { .. }) => true,
            (RecordKind::Srv, Record::Srv { port, target, .. }) => *port != 0 || target.is_none(),
            (RecordKind::A, Record::Address(ip)) => ip.is_ipv4() && is_one_place(*ip),
            (RecordKind::Aaaa, Record::Address(ip)) => ip.is_ipv6() && is_one_place(*ip),
            _ => false,
        };
        let records: Vec<Record> = records.into_iter().filter(fits).take(RECORDS_MAX).collect();
        if records.is_empty() { Self::Nothing } else { Self::Records(records.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_sip() {
        let cases = [
            ("SIP+D2U", Service::Sip(Transport::Udp)),
            ("sip+d2t", Service::Sip(Transport::Tcp)),
            ("SIPS+D2T", Service::SipOtherwise),
            ("SIP+D2S", Service::SipOtherwise),
            ("SIP+D2W", Service::SipOtherwise),
            ("E2U+sip", Service::Foreign),
            ("", Service::Foreign),
            ("SIP", Service::Foreign),
        ];
        for (field, service) in cases {
            assert_eq!(Service::parse(field.as_bytes()), service, "{field}");
        }
    }

    #[test]
    fn an_answer_is_cut_to_what_was_asked() {
        let address = |text: &str| Record::Address(text.parse().unwrap());
        let many: Vec<Record> = (0..4000u32)
            .map(|n| Record::Address(IpAddr::from((n + (10 << 24)).to_be_bytes())))
            .collect();
        let Found::Records(kept) = Found::of(RecordKind::A, many) else { panic!("nothing") };
        assert_eq!(kept.len(), RECORDS_MAX);
        let mixed = vec![address("2001:db8::1"), address("0.0.0.0"), address("224.0.0.1")];
        assert_eq!(Found::of(RecordKind::A, mixed), Found::Nothing);
        let zero = Record::Srv { priority: 0, weight: 0, port: 0, target: Name::parse(b"a.b") };
        assert_eq!(Found::of(RecordKind::Srv, vec![zero]), Found::Nothing);
        assert_eq!(Found::of(RecordKind::Srv, vec![]), Found::Nothing);
    }
}
