//! ICMP refusals of an unconnected UDP socket (Linux, `IP_RECVERR`): which destination nobody listens at. Without this
//! a closed port looks like silence, and a person waits half a minute for nothing. RFC 3261 §18.4.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::libc::{sock_extended_err, sockaddr_in6};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};

/// Asks the kernel to tell us.
pub fn listen(socket: &UdpSocket) -> io::Result<()> {
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// The next refusal that waits: where the datagram was going, and what was said about it.
pub fn next(socket: &impl AsRawFd) -> Option<(SocketAddr, io::Error)> {
    let mut space = nix::cmsg_space!(sock_extended_err, sockaddr_in6);
    let mut start = [0; 64];
    let mut slices = [IoSliceMut::new(&mut start)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)
            .ok()?;
    let remote = message.address?;
    let remote = match (remote.as_sockaddr_in(), remote.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::from((v4.ip(), v4.port())),
        (_, Some(v6)) => SocketAddr::from((v6.ip(), v6.port())),
        _ => return None,
    };
    let said = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(said, _) | ControlMessageOwned::Ipv6RecvErr(said, _) => {
            i32::try_from(said.ee_errno).ok()
        }
        _ => None,
    })?;
    Some((remote, io::Error::from_raw_os_error(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_named() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let closed = UdpSocket::bind(local).unwrap().local_addr().unwrap();
            let socket = UdpSocket::bind(local).unwrap();
            listen(&socket).unwrap();
            socket.send_to(b"x", closed).unwrap();
            // The kernel wakes the reader with the error; the queue has the rest.
            let mut buffer = [0; 8];
            let error = socket.recv_from(&mut buffer).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let (remote, error) = next(&socket).expect("queued");
            assert_eq!(remote, closed);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(next(&socket).is_none());
        }
    }
}
