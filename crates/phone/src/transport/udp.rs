//! The phone's UDP socket: one, unconnected, told of refusals (RFC 3261 §18.1.1, §18.4).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use bytes::Bytes;
use sip_core::flow::{Flow, ListenerId};
use socket2::{Domain, Protocol, Type};
use tokio::sync::mpsc;

use super::{Arrival, refusal};

/// RFC 3261 §18.1.1: the largest datagram there is.
const DATAGRAM_MAX: usize = 65_535;

pub struct Udp {
    /// For sending: a datagram that finds the socket full is lost, and SIP repeats it.
    plain: UdpSocket,
    read: tokio::net::UdpSocket,
    listener: ListenerId,
}

/// An IPv6 address takes IPv6 only.
pub fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket =
        socket2::Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

impl Udp {
    pub fn new(plain: UdpSocket, listener: ListenerId) -> io::Result<Self> {
        refusal::listen(&plain)?;
        let read = tokio::net::UdpSocket::from_std(plain.try_clone()?)?;
        Ok(Self { plain, read, listener })
    }

    pub fn send(&self, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        for _ in 0..2 {
            match self.plain.send_to(bytes, remote) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The refusal of an earlier datagram, perhaps to somebody else: it waits in the queue, and this one was not sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

pub async fn read(udp: Rc<Udp>, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let arrival = match udp.read.recv_from(&mut buffer).await {
            Ok((n, remote)) => Arrival::Message {
                flow: Flow::udp(udp.listener, remote),
                bytes: Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default()),
            },
            Err(_) => match refusal::next(&udp.plain) {
                Some((remote, error)) => Arrival::Refused { remote, error },
                None => continue,
            },
        };
        if arrivals.send(arrival).await.is_err() {
            return;
        }
        while let Some((remote, error)) = refusal::next(&udp.plain) {
            if arrivals.send(Arrival::Refused { remote, error }).await.is_err() {
                return;
            }
        }
    }
}
