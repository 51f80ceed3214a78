//! A pair of UDP sockets: RTP on an even port, RTCP on the next (RFC 3550 §11), both told of refusals. It sends nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::transport::refusal;

/// Any even port will do; so many are tried.
const TRIES: u32 = 64;

pub struct Ports {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    /// The even one.
    pub port: u16,
}

impl Ports {
    pub fn open(ip: IpAddr) -> io::Result<Self> {
        for _ in 0..TRIES {
            let any = UdpSocket::bind(SocketAddr::new(ip, 0))?;
            let given = any.local_addr()?.port();
            let Ok(beside) = UdpSocket::bind(SocketAddr::new(ip, given ^ 1)) else { continue };
            let (rtp, rtcp) = if given % 2 == 0 { (any, beside) } else { (beside, any) };
            for socket in [&rtp, &rtcp] {
                socket.set_nonblocking(true)?;
                refusal::listen(socket)?;
            }
            return Ok(Self { rtp, rtcp, port: given & !1 });
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no two free ports beside each other for RTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_port_and_the_next() {
        let all: Vec<Ports> = (0..20)
            .map(|_| Ports::open(IpAddr::from([127, 0, 0, 1])).expect("two ports"))
            .collect();
        for ports in all {
            assert_eq!(ports.port % 2, 0);
            assert_eq!(ports.rtp.local_addr().unwrap().port(), ports.port);
            assert_eq!(ports.rtcp.local_addr().unwrap().port(), ports.port + 1);
        }
    }
}
