//! What every scenario works with: sockets, what waits to be sent, timers, the clock of this turn, and the tally.

use std::io;
use std::net::SocketAddr;

use udp::{Flush, Outgoing, Socket};

use super::script::Side;
use super::tally::Tally;
use super::timer::{Nanos, Timers};

/// Sent as soon as so many wait: a larger batch saves little and makes its first message look late.
const FLUSH_AT: usize = 16;
/// Buffers kept for reuse.
const SPARE_MAX: usize = 1_024;

/// The first of the sockets for RTP.
pub const SOUND: usize = 2;

pub struct Desk {
    /// The caller's and the callee's; with sound, the same again for RTP.
    pub sockets: Vec<Socket>,
    outgoing: Vec<Outgoing<Vec<u8>>>,
    spare: Vec<Vec<u8>>,
    pub target: SocketAddr,
    pub timers: Timers,
    pub tally: Tally,
    /// When this turn began.
    pub now: Nanos,
    /// How much faster than planned a person wants it.
    pub scale: f64,
}

impl Desk {
    pub fn new(sockets: Vec<Socket>, target: SocketAddr, timers: Timers) -> Self {
        Self {
            outgoing: sockets.iter().map(|_| Outgoing::new()).collect(),
            sockets,
            spare: Vec::new(),
            target,
            timers,
            tally: Tally::default(),
            now: 0,
            scale: 1.0,
        }
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(2_048))
    }

    /// Takes back a buffer that was not sent.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    pub fn send(&mut self, side: Side, target: SocketAddr, bytes: Vec<u8>) {
        self.send_from(side as usize, target, bytes);
    }

    /// RTP.
    pub fn send_sound(&mut self, side: Side, target: SocketAddr, bytes: Vec<u8>) {
        self.send_from(SOUND + side as usize, target, bytes);
    }

    /// Sends a copy: for what may have to be repeated.
    pub fn send_copy(&mut self, side: Side, target: SocketAddr, bytes: &[u8]) {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        self.send(side, target, buffer);
    }

    fn send_from(&mut self, socket: usize, target: SocketAddr, bytes: Vec<u8>) {
        let Some(outgoing) = self.outgoing.get_mut(socket) else { return };
        outgoing.push(target, bytes, ());
        if outgoing.len() >= FLUSH_AT {
            self.flush_one(socket);
        }
    }

    fn flush_one(&mut self, index: usize) -> bool {
        let (Some(socket), Some(outgoing)) =
            (self.sockets.get(index), self.outgoing.get_mut(index))
        else {
            return false;
        };
        let (tally, spare) = (&mut self.tally, &mut self.spare);
        let flush = outgoing.flush(
            socket,
            |failure| tally.send_failed(&failure.error),
            |mut buffer| {
                if spare.len() < SPARE_MAX {
                    buffer.clear();
                    spare.push(buffer);
                }
            },
        );
        flush == Flush::Blocked
    }

    /// True when a socket was full and something still waits.
    pub fn flush(&mut self) -> bool {
        let mut blocked = false;
        for index in 0..self.sockets.len() {
            blocked |= self.flush_one(index);
        }
        blocked
    }

    /// Datagrams that came faster than we read them.
    pub fn drops(&self) -> u64 {
        self.sockets.iter().filter_map(|socket| socket.drops().ok()).map(u64::from).sum()
    }

    /// Waits for a datagram, at most until `until`.
    pub fn wait(&self, until: Nanos) -> io::Result<bool> {
        let timeout = until.saturating_sub(self.now);
        udp::wait(&self.sockets, std::time::Duration::from_nanos(timeout))
    }
}
