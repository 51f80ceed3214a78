//! The bare relay of `cargo xtask bench kamailio`: what the kernel costs when a server does nothing at all. Datagrams go
//! from the caller's port to the callee's and back, unread; REGISTER and OPTIONS come back with another first line. Not SIP.
//!
//! `relay PORT CALLER_PORT CALLEE_PORT [plain]`, all on 127.0.0.1. `plain`: every datagram is passed on. Ends when it is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use udp::{BATCH_MAX, Inbox, Options, Outgoing, Socket};

fn main() -> std::io::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let &[port, caller, callee] = ports.as_slice() else {
        return Err(std::io::Error::other("usage: relay PORT CALLER_PORT CALLEE_PORT"));
    };
    let plain = std::env::args().nth(4).is_some_and(|word| word == "plain");
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let sockets = [Socket::bind(at(port), &Options::default())?];
    let mut inbox = Inbox::new(BATCH_MAX);
    let mut outgoing: Outgoing<Vec<u8>> = Outgoing::new();
    let mut spare: Vec<Vec<u8>> = Vec::new();
    loop {
        if sockets[0].receive(&mut inbox).is_err() {
            udp::wait(&sockets, Duration::from_secs(1))?;
            continue;
        }
        for datagram in inbox.datagrams() {
            let mut bytes = spare.pop().unwrap_or_default();
            let alone = !plain
                && (datagram.bytes.starts_with(b"REGISTER")
                    || datagram.bytes.starts_with(b"OPTIONS"));
            let end = datagram.bytes.iter().position(|b| *b == b'\n').filter(|_| alone);
            if end.is_some() {
                bytes.extend_from_slice(b"SIP/2.0 200 OK\r\n");
            }
            bytes.extend_from_slice(&datagram.bytes[end.map_or(0, |end| end + 1)..]);
            let other = if datagram.source.port() == caller { callee } else { caller };
            outgoing.push(if alone { datagram.source } else { at(other) }, bytes, ());
        }
        outgoing.flush(
            &sockets[0],
            |_| {},
            |mut bytes| {
                bytes.clear();
                spare.push(bytes);
            },
        );
    }
}
