//! The phone's sockets: UDP and TCP on one port, IPv4 or IPv6, and what arrives on them as one queue (RFC 3261 §18).
//! It moves bytes and says what went wrong with which address; it reads no message.

pub(crate) mod refusal;
mod tcp;
mod udp;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use sip_core::config::Listener;
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::output::{ClientToken, Transmit};
use tokio::sync::mpsc;

use udp::Udp;

/// What waits to be read by the engine; a flood beyond it waits in the kernel, or is lost there as datagrams are.
const ARRIVALS_MAX: usize = 256;
/// Connections of one phone.
const CONNECTIONS_MAX: usize = 64;
/// Requests whose destination may yet turn out to be dead.
const SENT_MAX: usize = 64;
/// Ports tried until UDP and TCP are free on the same one.
const PORT_TRIES: u32 = 32;

/// Something that happened on a socket.
#[derive(Debug)]
pub(crate) enum Arrival {
    Message {
        flow: Flow,
        bytes: Bytes,
    },
    /// The connection ended, or never came to be.
    Closed {
        connection: ConnectionId,
        remote: SocketAddr,
        error: Option<io::Error>,
    },
    /// A stream that somebody opened to us.
    Accepted {
        stream: tokio::net::TcpStream,
        remote: SocketAddr,
    },
    /// Nobody listens there (ICMP).
    Refused {
        remote: SocketAddr,
        error: io::Error,
    },
    Resolved {
        ask: sip_core::output::AskId,
        flows: Result<Vec<Flow>, sip_core::ua::ResolveFailure>,
    },
}

/// Why the sockets could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{transport} {address}: {error}")]
pub struct BindError {
    pub transport: Transport,
    pub address: SocketAddr,
    pub error: io::Error,
}

pub(crate) struct Network {
    listeners: Vec<Listener>,
    udp: Rc<Udp>,
    connections: HashMap<ConnectionId, tcp::Connection>,
    by_remote: HashMap<SocketAddr, ConnectionId>,
    connection_next: u64,
    arrivals: mpsc::Sender<Arrival>,
    /// The last requests, to know what an ICMP refusal or a broken stream was about.
    sent: VecDeque<(SocketAddr, ClientToken)>,
    tcp_listener: ListenerId,
}

impl Network {
    /// Binds UDP and TCP to one port of `local`; port 0 is any. `first` is the transport that is preferred: its listener
    /// comes first. `advertised` replaces an unspecified address in what others are told.
    pub fn open(
        local: SocketAddr,
        first: Transport,
        advertised: std::net::IpAddr,
    ) -> Result<(Self, mpsc::Receiver<Arrival>), BindError> {
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        let (datagrams, streams) = bind_both(local)?;
        let bound = datagrams.local_addr().map_err(|error| BindError {
            transport: Transport::Udp,
            address: local,
            error,
        })?;
        let listener = |transport| Listener {
            transport,
            address: bound,
            advertised: SocketAddr::new(advertised, bound.port()).to_string().into(),
        };
        let order = match first {
            Transport::Udp => [Transport::Udp, Transport::Tcp],
            Transport::Tcp => [Transport::Tcp, Transport::Udp],
        };
        let id = |wanted| ListenerId(u16::from(order.first() != Some(&wanted)));
        let failed = |error| BindError { transport: Transport::Udp, address: bound, error };
        let udp = Rc::new(Udp::new(datagrams, id(Transport::Udp)).map_err(failed)?);
        tokio::task::spawn_local(udp::read(Rc::clone(&udp), arrivals.clone()));
        let failed = |error| BindError { transport: Transport::Tcp, address: bound, error };
        let acceptor = tokio::net::TcpListener::from_std(streams).map_err(failed)?;
        tokio::task::spawn_local(tcp::accept(acceptor, arrivals.clone()));
        let network = Self {
            listeners: order.map(listener).into(),
            udp,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            connection_next: 1,
            arrivals,
            sent: VecDeque::new(),
            tcp_listener: id(Transport::Tcp),
        };
        Ok((network, receiver))
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    pub fn arrivals(&self) -> mpsc::Sender<Arrival> {
        self.arrivals.clone()
    }

    /// Puts one message on the wire. `Err`: it did not get there, and the request it was, if it was one.
    pub fn send(&mut self, transmit: Transmit) -> Result<(), (Option<ClientToken>, io::Error)> {
        let Transmit { flow, bytes, token, second } = transmit;
        if let Some(token) = token {
            if self.sent.len() == SENT_MAX {
                self.sent.pop_front();
            }
            self.sent.push_back((flow.remote, token));
        }
        match flow.transport {
            Transport::Udp => self.udp.send(flow.remote, &bytes).map_err(|error| (token, error)),
            Transport::Tcp => {
                let gone = flow.connection != ConnectionId::NONE
                    && !self.connections.contains_key(&flow.connection);
                let flow = if gone { second.unwrap_or(flow) } else { flow };
                self.send_stream(flow, bytes, token)
            }
        }
    }

    fn send_stream(
        &mut self,
        flow: Flow,
        bytes: Bytes,
        token: Option<ClientToken>,
    ) -> Result<(), (Option<ClientToken>, io::Error)> {
        let id = match flow.connection {
            ConnectionId::NONE => match self.by_remote.get(&flow.remote) {
                Some(id) => *id,
                None => self.connect(flow.remote).map_err(|error| (token, error))?,
            },
            id => id,
        };
        match self.connections.get(&id) {
            Some(connection) => connection.send(bytes).map_err(|error| (token, error)),
            None => Err((token, io::ErrorKind::NotConnected.into())),
        }
    }

    fn connect(&mut self, remote: SocketAddr) -> io::Result<ConnectionId> {
        let id = self.name_connection()?;
        let local = self.listeners.first().map(|l| SocketAddr::new(l.address.ip(), 0));
        let flow = self.stream_flow(id, remote);
        let connection = tcp::open(local, flow, self.arrivals.clone());
        self.connections.insert(id, connection);
        self.by_remote.insert(remote, id);
        Ok(id)
    }

    /// Takes a stream that somebody opened to us. Over the limit it is closed at once.
    pub fn accept(&mut self, stream: tokio::net::TcpStream, remote: SocketAddr) {
        let Ok(id) = self.name_connection() else { return };
        let flow = self.stream_flow(id, remote);
        self.connections.insert(id, tcp::adopt(stream, flow, self.arrivals.clone()));
        self.by_remote.insert(remote, id);
    }

    pub fn forget(&mut self, connection: ConnectionId, remote: SocketAddr) {
        self.connections.remove(&connection);
        if self.by_remote.get(&remote) == Some(&connection) {
            self.by_remote.remove(&remote);
        }
    }

    /// The requests that were sent to an address which refuses, each named once.
    pub fn sent_to(&mut self, remote: SocketAddr) -> Vec<ClientToken> {
        let tokens = self.sent.iter().filter(|(to, _)| *to == remote).map(|(_, token)| *token);
        let tokens = tokens.collect();
        self.sent.retain(|(to, _)| *to != remote);
        tokens
    }

    fn name_connection(&mut self) -> io::Result<ConnectionId> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return Err(io::Error::other("64 connections are open already"));
        }
        let id = ConnectionId(self.connection_next);
        self.connection_next += 1;
        Ok(id)
    }

    fn stream_flow(&self, connection: ConnectionId, remote: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, listener: self.tcp_listener, connection, remote }
    }
}

/// UDP and TCP on one port: whoever is told `host:port` may use either (RFC 3261 §18.2.1).
fn bind_both(local: SocketAddr) -> Result<(std::net::UdpSocket, std::net::TcpListener), BindError> {
    let mut tries = 0;
    loop {
        let failed = |transport, error| BindError { transport, address: local, error };
        let datagrams = udp::bind(local).map_err(|error| failed(Transport::Udp, error))?;
        let bound = datagrams.local_addr().map_err(|error| failed(Transport::Udp, error))?;
        match tcp::bind(bound) {
            Ok(streams) => return Ok((datagrams, streams)),
            // Any port will do: another one may be free for both.
            Err(error) if local.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                tries += 1;
                if tries == PORT_TRIES {
                    return Err(failed(Transport::Tcp, error));
                }
            }
            Err(error) => return Err(failed(Transport::Tcp, error)),
        }
    }
}

#[cfg(test)]
mod tests;
