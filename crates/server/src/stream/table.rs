//! All connections, by name and by peer, and who may have how many. It opens and closes nothing: tasks do.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use sip_core::config::Network;
use sip_core::flow::{ConnectionId, Flow, ListenerId};

use super::{Connection, Refusal};
use crate::shard::Shell;
use crate::shard::turn::Tag;

/// Connections one address may have that have proven nothing, and altogether (many phones behind one NAT).
const UNPROVEN_PER_IP_MAX: u32 = 64;
const PER_IP_MAX: u32 = 4_096;

pub struct Streams {
    table: Mutex<Table>,
    /// Never reused while the process lives; 0 is no connection.
    next: AtomicU64,
    connections_max: AtomicUsize,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<ConnectionId, Arc<Connection>>,
    by_remote: HashMap<SocketAddr, ConnectionId>,
    /// The first is the first to go when room is needed: those that never sent a whole message, then the oldest.
    unproven: BTreeSet<(Heard, ConnectionId)>,
    per_ip: HashMap<IpAddr, Counts>,
}

/// Whether a whole message has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Not,
    Once,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    all: u32,
    unproven: u32,
}

impl Streams {
    pub fn new(connections_max: usize) -> Self {
        let connections_max = AtomicUsize::new(connections_max);
        Self { table: Mutex::default(), next: AtomicU64::new(1), connections_max }
    }

    /// From the next connection on. Those above it stay until they end or make room.
    pub fn limit(&self, connections_max: usize) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    pub fn len(&self) -> usize {
        self.table.lock().by_id.len()
    }

    /// A place for a connection. `exempt`: of a trusted network, or opened by us.
    pub fn admit(
        &self,
        remote: SocketAddr,
        listener: ListenerId,
        exempt: bool,
    ) -> Result<Arc<Connection>, Refusal> {
        let mut table = self.table.lock();
        let counts = table.per_ip.get(&remote.ip()).copied().unwrap_or_default();
        if !exempt && (counts.unproven >= UNPROVEN_PER_IP_MAX || counts.all >= PER_IP_MAX) {
            return Err(Refusal);
        }
        if table.by_id.len() >= self.connections_max.load(Ordering::Relaxed) {
            let (_, oldest) = table.unproven.first().copied().ok_or(Refusal)?;
            if let Some(evicted) = table.remove(oldest) {
                evicted.close();
            }
        }
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let connection = Arc::new(Connection::new(id, remote, listener, exempt));
        table.insert(Arc::clone(&connection), exempt);
        Ok(connection)
    }

    /// It ended. Nothing finds it any more.
    pub fn remove(&self, id: ConnectionId) {
        self.table.lock().remove(id);
    }

    /// Requests to `address` go by this connection from now on (RFC 5923 §5), unless another one leads there.
    pub fn alias(&self, connection: &Connection, address: SocketAddr) {
        let mut table = self.table.lock();
        if table.by_id.contains_key(&connection.id)
            && !table.by_remote.contains_key(&address)
            && connection.alias.set(address).is_ok()
        {
            table.by_remote.insert(address, connection.id);
        }
    }

    /// Nobody of this network is heard any more.
    pub fn close_all_of(&self, network: &Network) {
        let table = self.table.lock();
        let theirs = table.by_id.values().filter(|c| network.contains(c.remote.ip()));
        theirs.for_each(|connection| connection.close());
    }

    /// A whole message has come: silent ones make room before it.
    pub fn heard(&self, connection: &Connection) {
        let mut table = self.table.lock();
        if table.unproven.remove(&(Heard::Not, connection.id)) {
            table.unproven.insert((Heard::Once, connection.id));
        }
    }

    /// Its peer has proven itself: it no longer makes room for others.
    pub fn prove(&self, connection: &Connection) {
        connection.set_proven();
        let mut table = self.table.lock();
        if table.forget_unproven(connection.id)
            && let Some(counts) = table.per_ip.get_mut(&connection.remote.ip())
        {
            counts.unproven = counts.unproven.saturating_sub(1);
        }
    }

    /// Queues a message on the connection `flow` names; without a name, on the one to its peer, opening it if there is
    /// none (RFC 3261 §18.1.1).
    pub fn send(
        &self,
        shell: &Shell,
        flow: &Flow,
        bytes: Bytes,
        tag: Tag,
    ) -> Result<Arc<Connection>, Refusal> {
        let found = {
            let table = self.table.lock();
            let id = match flow.connection {
                ConnectionId::NONE | ConnectionId::OPEN => {
                    table.by_remote.get(&flow.remote).copied()
                }
                id => Some(id),
            };
            id.and_then(|id| table.by_id.get(&id).cloned())
        };
        let (connection, fresh) = match found {
            Some(connection) => (connection, false),
            None if flow.connection == ConnectionId::NONE => {
                (self.admit(flow.remote, flow.listener, true)?, true)
            }
            None => return Err(Refusal),
        };
        let pushed = connection.push(bytes, Some(tag)).map_err(|_| Refusal);
        if fresh {
            let link = usize::try_from(connection.id.0).unwrap_or(0) % shell.links.len().max(1);
            let asked = shell.links.get(link).map(|link| link.opens.send(Arc::clone(&connection)));
            if !matches!(asked, Some(Ok(()))) {
                self.remove(connection.id);
                return Err(Refusal);
            }
        }
        pushed.map(|()| connection)
    }
}

impl Table {
    fn insert(&mut self, connection: Arc<Connection>, exempt: bool) {
        let (id, ip) = (connection.id, connection.remote.ip());
        let counts = self.per_ip.entry(ip).or_default();
        counts.all += 1;
        if !exempt {
            counts.unproven += 1;
            self.unproven.insert((Heard::Not, id));
        }
        self.by_remote.insert(connection.remote, id);
        self.by_id.insert(id, connection);
    }

    fn forget_unproven(&mut self, id: ConnectionId) -> bool {
        self.unproven.remove(&(Heard::Not, id)) || self.unproven.remove(&(Heard::Once, id))
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Arc<Connection>> {
        let connection = self.by_id.remove(&id)?;
        let ip = connection.remote.ip();
        for address in [Some(&connection.remote), connection.alias.get()].into_iter().flatten() {
            if self.by_remote.get(address) == Some(&id) {
                self.by_remote.remove(address);
            }
        }
        let was_unproven = self.forget_unproven(id);
        if let Some(counts) = self.per_ip.get_mut(&ip) {
            counts.all = counts.all.saturating_sub(1);
            counts.unproven = counts.unproven.saturating_sub(u32::from(was_unproven));
            if counts.all == 0 {
                self.per_ip.remove(&ip);
            }
        }
        Some(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, last], port).into()
    }

    #[test]
    fn strangers_make_room_and_the_proven_stay() {
        let streams = Streams::new(3);
        let known = streams.admit(at(1, 1), ListenerId(0), false).expect("room");
        streams.prove(&known);
        let stranger = streams.admit(at(2, 1), ListenerId(0), false).expect("room");
        let second = streams.admit(at(3, 1), ListenerId(0), false).expect("room");
        let third =
            streams.admit(at(4, 1), ListenerId(0), false).expect("the oldest stranger goes");
        assert!(stranger.is_closing() && !known.is_closing() && !second.is_closing());
        assert_eq!(streams.len(), 3);
        streams.prove(&second);
        streams.prove(&third);
        assert!(streams.admit(at(5, 1), ListenerId(0), false).is_err());
        streams.remove(known.id);
        assert!(streams.admit(at(5, 1), ListenerId(0), false).is_ok());
    }

    #[test]
    fn the_limit_can_change() {
        let streams = Streams::new(1);
        let first = streams.admit(at(1, 1), ListenerId(0), true).expect("room");
        assert!(streams.admit(at(2, 1), ListenerId(0), true).is_err());
        streams.limit(2);
        let second = streams.admit(at(2, 1), ListenerId(0), true).expect("room");
        streams.limit(1);
        assert!(!first.is_closing() && !second.is_closing(), "who is there stays");
        assert!(streams.admit(at(3, 1), ListenerId(0), true).is_err());
    }

    #[test]
    fn the_silent_make_room_before_those_who_spoke() {
        let streams = Streams::new(2);
        let spoke = streams.admit(at(1, 1), ListenerId(0), false).expect("room");
        streams.heard(&spoke);
        let silent = streams.admit(at(2, 1), ListenerId(0), false).expect("room");
        let _third = streams.admit(at(3, 1), ListenerId(0), false).expect("the silent one goes");
        assert!(silent.is_closing() && !spoke.is_closing());
        streams.remove(spoke.id);
        assert_eq!(streams.len(), 1);
    }

    #[test]
    fn an_alias_leads_to_its_connection_and_ends_with_it() {
        let streams = Streams::new(10);
        let one = streams.admit(at(1, 40_000), ListenerId(0), true).expect("room");
        let two = streams.admit(at(1, 40_001), ListenerId(0), true).expect("room");
        let leads_to =
            |streams: &Streams| streams.table.lock().by_remote.get(&at(1, 5060)).copied();
        streams.alias(&one, at(1, 5060));
        streams.alias(&two, at(1, 5060));
        assert_eq!(leads_to(&streams), Some(one.id), "the first one keeps it");
        streams.remove(two.id);
        assert_eq!(leads_to(&streams), Some(one.id));
        streams.remove(one.id);
        assert_eq!(leads_to(&streams), None);
    }

    #[test]
    fn one_address_has_few_unproven_ones() {
        let streams = Streams::new(10_000);
        let all: Vec<_> = (0..64)
            .map(|port| streams.admit(at(1, port), ListenerId(0), false).expect("room"))
            .collect();
        assert!(streams.admit(at(1, 999), ListenerId(0), false).is_err());
        assert!(streams.admit(at(1, 999), ListenerId(0), true).is_ok());
        assert!(streams.admit(at(2, 999), ListenerId(0), false).is_ok());
        streams.prove(&all[0]);
        assert!(streams.admit(at(1, 1000), ListenerId(0), false).is_ok());
        for connection in &all {
            streams.remove(connection.id);
        }
        assert_eq!(streams.len(), 3);
    }
}
