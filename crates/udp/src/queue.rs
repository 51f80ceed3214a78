//! What waits to be sent, in order, and the rules of sending it: continue after a partial batch, skip exactly the
//! message an error concerns, keep the rest when the socket is full. It never reorders and never retries by itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use crate::socket::{BATCH_MAX, Socket};
use crate::syscall::{self, SendRing};

/// Messages on their way out. `B` is anything that can lend its bytes, `T` comes back with a message that failed.
pub struct Outgoing<B, T = ()> {
    waiting: VecDeque<(SocketAddr, B, T)>,
    ring: SendRing,
}

/// A message that could not be sent and was taken out of the queue.
#[derive(Debug)]
pub struct Failure<T> {
    pub target: SocketAddr,
    pub tag: T,
    pub error: io::Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Done,
    /// The socket's send buffer is full: the rest waits in the queue.
    Blocked,
}

/// How often a message that failed is tried again at once.
fn tries_of(error: &io::Error) -> u32 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 16,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => 2,
        _ => 1,
    }
}

impl<B: AsRef<[u8]>, T> Default for Outgoing<B, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: AsRef<[u8]>, T> Outgoing<B, T> {
    pub fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(BATCH_MAX), ring: SendRing::new(BATCH_MAX) }
    }

    /// Hands consecutive datagrams of one length to one peer to the kernel as one (`UDP_SEGMENT`), which halves what
    /// they cost: answers to a trunk or to a balancer in front of many phones. A shorter one may end such a run. The
    /// receiver sees no difference. Turns itself off when the system cannot.
    pub fn merging(mut self) -> Self {
        self.ring.merge_runs(true);
        self
    }

    pub fn push(&mut self, target: SocketAddr, bytes: B, tag: T) {
        self.waiting.push_back((target, bytes, tag));
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends until the queue is empty or the socket is full. `failed` hears of each message that was skipped,
    /// `sent` gets the buffers back of those that left.
    pub fn flush(
        &mut self,
        socket: &Socket,
        mut failed: impl FnMut(Failure<T>),
        mut sent: impl FnMut(B),
    ) -> Flush {
        // How often the first message has failed.
        let mut tries = 0;
        while !self.waiting.is_empty() {
            let batch = self.waiting.iter().map(|(target, bytes, _)| (*target, bytes.as_ref()));
            match syscall::send(socket.fd(), &mut self.ring, batch) {
                Ok(n) => {
                    tries = 0;
                    for (_, bytes, _) in self.waiting.drain(..n.min(self.waiting.len())) {
                        sent(bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flush::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel may have given us what a router said about an earlier datagram, to somebody else: that is told
                // once, so whoever fails again has failed. A refused connection can be nothing else.
                Err(error) if tries < tries_of(&error) => tries += 1,
                Err(error) => {
                    tries = 0;
                    if let Some((target, _, tag)) = self.waiting.pop_front() {
                        failed(Failure { target, tag, error });
                    }
                }
            }
        }
        Flush::Done
    }
}
