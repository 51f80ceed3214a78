//! Sockets: one per worker and concrete address. A port that somebody else already has is an error, although
//! `SO_REUSEPORT` would let us share it in silence.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use sip_core::config::Listener;
use sip_core::flow::{ListenerId, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::address;
use crate::config::Listen;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {transport} {address}: {error}")]
pub struct BindError {
    pub transport: Transport,
    pub address: SocketAddr,
    pub error: io::Error,
}

/// One worker's share.
#[derive(Default)]
pub struct WorkerSockets {
    pub datagram: Vec<(ListenerId, udp::Socket)>,
    pub stream: Vec<(ListenerId, TcpListener)>,
}

pub struct Bound {
    pub listeners: Vec<Listener>,
    pub workers: Vec<WorkerSockets>,
    pub receive_buffer: usize,
    /// Addresses of a wildcard that cannot be used yet: IPv6 checks a new one for a second or two.
    pub skipped: Vec<SocketAddr>,
}

pub fn bind(listen: &[Listen], own: &[IpAddr], workers: usize) -> Result<Bound, BindError> {
    let mut bound = Bound {
        listeners: Vec::new(),
        workers: (0..workers.max(1)).map(|_| WorkerSockets::default()).collect(),
        receive_buffer: usize::MAX,
        skipped: Vec::new(),
    };
    for entry in listen {
        // Every address of a wildcard gets the same port, also when the kernel chooses it.
        let mut port = entry.address.port();
        for mut address in address::expand(entry.address, own) {
            address.set_port(port);
            let same = |l: &Listener| l.transport == entry.transport && l.address == address;
            if port != 0 && bound.listeners.iter().any(same) {
                continue;
            }
            match bound.one(entry.transport, address) {
                Ok(bound) => port = bound,
                Err(error)
                    if error.kind() == io::ErrorKind::AddrNotAvailable
                        && entry.address.ip().is_unspecified() =>
                {
                    bound.skipped.push(address);
                }
                Err(error) => return Err(BindError { transport: entry.transport, address, error }),
            }
        }
    }
    if bound.listeners.is_empty() {
        let address = listen.first().map_or(([0, 0, 0, 0], 0).into(), |l| l.address);
        let error = io::Error::other("this machine has no address of that kind");
        return Err(BindError { transport: Transport::Udp, address, error });
    }
    Ok(bound)
}

impl Bound {
    /// Binds one address for every worker; returns the port.
    fn one(&mut self, transport: Transport, mut address: SocketAddr) -> io::Result<u16> {
        let id = ListenerId(u16::try_from(self.listeners.len()).map_err(io::Error::other)?);
        match transport {
            Transport::Udp => {
                if address.port() != 0 {
                    udp::is_free(address)?;
                }
                let options = udp::Options { reuse_port: true, ..udp::Options::default() };
                for worker in &mut self.workers {
                    let socket = udp::Socket::bind(address, &options)?;
                    address = socket.local_addr()?;
                    self.receive_buffer = self.receive_buffer.min(socket.receive_buffer()?);
                    worker.datagram.push((id, socket));
                }
            }
            Transport::Tcp => {
                if address.port() != 0 {
                    // Another server of the same user would share the port: one of us would starve.
                    stream(address, false)?;
                }
                for worker in &mut self.workers {
                    let listener = stream(address, true)?;
                    address = listener.local_addr()?;
                    worker.stream.push((id, listener));
                }
            }
        }
        let advertised = address.to_string().into();
        self.listeners.push(Listener { transport, address, advertised });
        Ok(address.port())
    }
}

fn stream(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(1024)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(transport: Transport) -> Listen {
        Listen { transport, address: ([127, 0, 0, 1], 0).into() }
    }

    #[test]
    fn each_worker_has_a_socket_on_the_same_port() {
        let bound = bind(&[local(Transport::Udp), local(Transport::Tcp)], &[], 3).expect("binds");
        assert_eq!((bound.listeners.len(), bound.workers.len()), (2, 3));
        for worker in &bound.workers {
            assert_eq!(worker.datagram[0].1.local_addr().unwrap(), bound.listeners[0].address);
            assert_eq!(worker.stream[0].1.local_addr().unwrap(), bound.listeners[1].address);
        }
    }

    #[test]
    fn a_port_somebody_has_is_an_error_even_if_it_could_be_shared() {
        let first = bind(&[local(Transport::Udp), local(Transport::Tcp)], &[], 1).expect("binds");
        for listener in &first.listeners {
            let taken = Listen { transport: listener.transport, address: listener.address };
            let error = bind(&[taken], &[], 1).err().expect("refused");
            assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse, "{error}");
        }
    }
}
