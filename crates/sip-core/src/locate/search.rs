//! `Search`: the way from a name to addresses (RFC 3263 §4.1, §4.2), one step at a time. It holds a list of what may still
//! be asked, best first; an answer replaces its question by what follows from it. So the second server is not looked up
//! before the first has failed, and a name server that is slow about one of them holds up nobody else.
//!
//! ```text
//!             answer              nothing there               silence
//! NAPTR       its SRV names       _sip._udp, _sip._tcp        the same
//! SRV         its hosts, A AAAA   the next; at last the       the same
//!                                 addresses of the name
//! A, AAAA     destinations        the next                    the next
//! ```
//!
//! It never asks more than [`limits::QUERIES`] questions, and offers no more than [`limits::TRIES`] destinations.

use core::net::SocketAddr;
use std::collections::VecDeque;

use super::choice::{self, Host};
use super::record::Service;
use super::sought::PORT_DEFAULT;
use super::{Destination, Found, Name, Query, Record, RecordKind, Sought, is_local};
use crate::config::Config;
use crate::flow::Transport;
use crate::limits;
use crate::time::Instant;

/// In which order we like them (RFC 3263 §4.1 leaves it to the client): UDP is what everybody speaks.
const TRANSPORTS: [(Transport, &str); 2] =
    [(Transport::Udp, "_sip._udp"), (Transport::Tcp, "_sip._tcp")];

/// What is known already, by all.
pub trait Memory {
    /// `None`: it must be asked for.
    fn find(&self, now: Instant, query: &Query) -> Option<Found>;
    /// What was known before its time was over (RFC 8767): for whoever has just waited for a name server in vain.
    fn find_old(&self, now: Instant, query: &Query) -> Option<Found>;
    fn has_failed(&self, now: Instant, destination: &Destination) -> bool;
}

/// What a search needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: this is where to send.
    Try(Destination),
    /// The answer to this, before that moment.
    Query(Query, Instant),
    /// Nobody is left.
    End(Why),
}

/// Why there is nobody (left). Later ones outweigh earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The name or its records do not exist.
    NotFound,
    /// It wants a transport or an address family that we do not have.
    NoTransport,
    /// It leads to this machine or its own link, and may not.
    Local,
    /// The name server did not answer.
    NotAnswered,
    /// It leads back to us.
    Ourselves,
}

/// One question that may be asked, and what its answer will be used for.
#[derive(Clone, Debug)]
struct Lookup {
    query: Query,
    transport: Transport,
    port: u16,
}

#[derive(Debug)]
pub struct Search {
    /// Of the Call-ID: which of several equals (RFC 3263 §4.4).
    key: u64,
    todo: VecDeque<Lookup>,
    asked: Option<Lookup>,
    ready: VecDeque<Destination>,
    /// Those that have just failed.
    last: VecDeque<Destination>,
    /// RFC 3263 §4.2: no SRV record at all, so the addresses of the name itself.
    fallback: Option<(Name, Transport)>,
    deadline: Instant,
    /// A question was not answered: the name server is not waited for again where something is known.
    is_silent: bool,
    queries_left: usize,
    tries_left: usize,
    why: Why,
}

impl Search {
    pub fn new(sought: &Sought, key: u64, config: &Config) -> Self {
        let mut search = Self {
            key,
            todo: VecDeque::new(),
            asked: None,
            ready: VecDeque::new(),
            last: VecDeque::new(),
            fallback: None,
            deadline: Instant::ZERO,
            is_silent: false,
            queries_left: limits::QUERIES.max,
            tries_left: limits::TRIES.max,
            why: Why::NotFound,
        };
        let Sought { host, port, transport } = sought;
        match (*port, *transport) {
            // RFC 3263 §4.2: a name with a port: its addresses, and nothing else is asked; §4.1: UDP, if the URI names no
            // transport.
            (Some(port), transport) => {
                let host = Host { name: host.clone(), port };
                search.hosts(config, transport.unwrap_or(Transport::Udp), vec![host]);
            }
            // §4.1: the transport that the URI names is used; §4.2: the SRV records for it.
            (None, Some(transport)) => search.services(config, host, Some(transport)),
            // §4.1: neither port nor transport: NAPTR says which transports there are.
            (None, None) => {
                let query = Query { name: host.clone(), kind: RecordKind::Naptr };
                search.todo.push_back(Lookup {
                    query,
                    transport: Transport::Udp,
                    port: PORT_DEFAULT,
                });
            }
        }
        search
    }

    /// One more destination is wanted. From here on, all questions together may take `dns.patience`.
    pub fn next(&mut self, now: Instant, config: &Config, memory: &impl Memory) -> Needs {
        self.deadline = now + config.dns.patience;
        self.go_on(now, config, memory)
    }

    /// What came of the question that was asked; and whether that is no answer, so that `found` is what was known before.
    pub fn answer(
        &mut self,
        now: Instant,
        config: &Config,
        memory: &impl Memory,
        (found, is_silent): (&Found, bool),
    ) -> Needs {
        self.is_silent |= is_silent;
        if let Some(lookup) = self.asked.take() {
            self.on_found(config, &lookup, found);
        }
        self.go_on(now, config, memory)
    }

    /// Whether there may be somebody else to turn to.
    pub fn has_more(&self) -> bool {
        let somebody = !self.ready.is_empty() || !self.todo.is_empty() || !self.last.is_empty();
        somebody && self.tries_left > 0
    }

    fn go_on(&mut self, now: Instant, config: &Config, memory: &impl Memory) -> Needs {
        while self.tries_left > 0 {
            if let Some(destination) = self.ready.pop_front() {
                if memory.has_failed(now, &destination) {
                    self.last.push_back(destination);
                    continue;
                }
                return self.offer(destination);
            }
            if let Some(lookup) = self.todo.pop_front() {
                let known = memory.find(now, &lookup.query);
                let known = known.or_else(|| {
                    self.is_silent.then(|| memory.find_old(now, &lookup.query)).flatten()
                });
                if let Some(found) = known {
                    self.on_found(config, &lookup, &found);
                } else if now >= self.deadline {
                    self.why = self.why.max(Why::NotAnswered);
                } else if self.queries_left > 0 {
                    self.queries_left -= 1;
                    let query = lookup.query.clone();
                    self.asked = Some(lookup);
                    return Needs::Query(query, self.deadline);
                }
                continue;
            }
            // RFC 3263 §4.2: no SRV records at all: the addresses of the name itself, with the default port.
            if let Some((name, transport)) = self.fallback.take() {
                self.hosts(config, transport, vec![Host { name, port: PORT_DEFAULT }]);
                continue;
            }
            return match self.last.pop_front() {
                Some(destination) => self.offer(destination),
                None => Needs::End(self.why),
            };
        }
        Needs::End(self.why)
    }

    fn offer(&mut self, destination: Destination) -> Needs {
        self.tries_left -= 1;
        Needs::Try(destination)
    }

    fn on_found(&mut self, config: &Config, lookup: &Lookup, found: &Found) {
        let Lookup { query, transport, port } = lookup;
        if *found == Found::Failed {
            self.why = self.why.max(Why::NotAnswered);
        }
        match (query.kind, found) {
            (RecordKind::Naptr, Found::Records(records)) => {
                self.on_naptr(config, &query.name, records);
            }
            // RFC 3263 §4.1: no NAPTR records: SRV for each transport that we have.
            (RecordKind::Naptr, Found::Nothing | Found::Failed) => {
                self.services(config, &query.name, None);
            }
            (RecordKind::Srv, Found::Records(records)) => {
                // Even if the only one says "not here" (RFC 2782, a target of "."): there is a service record.
                self.fallback = None;
                let hosts = choice::order(records, self.key);
                self.hosts(config, *transport, hosts);
            }
            (RecordKind::A | RecordKind::Aaaa, Found::Records(records)) => {
                for ip in choice::turn(records, self.key) {
                    let address = SocketAddr::new(ip, *port);
                    if config.is_own(address) {
                        self.why = self.why.max(Why::Ourselves);
                    } else if is_local(ip) && !config.dns.allow_local {
                        self.why = self.why.max(Why::Local);
                    } else {
                        self.ready.push_back(Destination { transport: *transport, address });
                    }
                }
            }
            // Whoever is silent about one family would be so about the other, and time is short.
            (RecordKind::A, Found::Failed) => {
                self.todo.pop_front_if(|next| next.query.name == query.name);
            }
            (_, Found::Nothing | Found::Failed) => {}
        }
    }

    /// RFC 3263 §4.1: services that we do not support are left out; RFC 3403 §4.1: of the others only the lowest order
    /// counts, by preference.
    fn on_naptr(&mut self, config: &Config, host: &Name, records: &[Record]) {
        let mut usable: Vec<(u16, u16, Transport, &Name)> = Vec::new();
        let mut is_sip = false;
        for record in records {
            let Record::Naptr { order, preference, service, replacement } = record else {
                continue;
            };
            is_sip |= *service != Service::Foreign;
            if let Service::Sip(transport) = service
                && config.has_transport(*transport)
            {
                usable.push((*order, *preference, *transport, replacement));
            }
        }
        if !is_sip {
            return self.services(config, host, None);
        }
        usable.sort_by_key(|(order, preference, _, name)| (*order, *preference, (*name).clone()));
        let Some(&(lowest, _, transport, _)) = usable.first() else {
            self.why = self.why.max(Why::NoTransport);
            return;
        };
        self.fallback = Some((host.clone(), transport));
        for (_, _, transport, name) in
            usable.into_iter().rev().filter(|(order, ..)| *order == lowest)
        {
            let query = Query { name: name.clone(), kind: RecordKind::Srv };
            self.todo.push_front(Lookup { query, transport, port: PORT_DEFAULT });
        }
    }

    /// The SRV names of a host: of the one transport that is asked for, or of all we have.
    fn services(&mut self, config: &Config, host: &Name, only: Option<Transport>) {
        let wanted = |transport: Transport| {
            only.is_none_or(|only| only == transport) && config.has_transport(transport)
        };
        let Some((first, _)) = TRANSPORTS.iter().find(|(transport, _)| wanted(*transport)) else {
            self.why = self.why.max(Why::NoTransport);
            return;
        };
        // RFC 3263 §4.1: without SRV records, UDP for a SIP URI, if we have it.
        self.fallback = Some((host.clone(), *first));
        for (transport, prefix) in TRANSPORTS.into_iter().rev().filter(|(t, _)| wanted(*t)) {
            if let Some(name) = host.service(prefix) {
                let query = Query { name, kind: RecordKind::Srv };
                self.todo.push_front(Lookup { query, transport, port: PORT_DEFAULT });
            }
        }
    }

    /// Looks up the addresses of these, in their order and before anything else; IPv4 first, which works more often.
    fn hosts(&mut self, config: &Config, transport: Transport, hosts: Vec<Host>) {
        let families = [(RecordKind::Aaaa, false), (RecordKind::A, true)];
        let mut reached = hosts.is_empty();
        for host in hosts.into_iter().rev() {
            for (kind, is_ipv4) in families {
                if config.has_family(transport, is_ipv4) {
                    reached = true;
                    let query = Query { name: host.name.clone(), kind };
                    self.todo.push_front(Lookup { query, transport, port: host.port });
                }
            }
        }
        if !reached {
            self.why = self.why.max(Why::NoTransport);
        }
    }
}
