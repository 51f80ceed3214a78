//! One connection: its socket, what waits to be written, and whether its peer has proven itself. Any thread may write;
//! reading, opening and closing is its task's.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::shard::turn::Tag;

/// Bytes that may wait for a peer that does not read. Then it is gone.
const QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Messages per system call.
const SLICES_MAX: usize = 16;

pub struct Connection {
    pub id: ConnectionId,
    pub remote: SocketAddr,
    pub listener: ListenerId,
    /// Of a trusted network, or opened by us.
    pub is_exempt: bool,
    stream: OnceLock<TcpStream>,
    queue: Mutex<Queue>,
    closing: AtomicBool,
    proven: AtomicBool,
    wake: Notify,
    /// Where its peer says that it listens: requests to there go by this connection.
    pub(super) alias: OnceLock<SocketAddr>,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<(Bytes, Option<Tag>)>,
    /// Bytes of the first chunk that are written already.
    written: usize,
    bytes: usize,
    /// All that was ever written.
    total: u64,
    failed: bool,
}

impl Connection {
    pub fn new(
        id: ConnectionId,
        remote: SocketAddr,
        listener: ListenerId,
        is_exempt: bool,
    ) -> Self {
        Self {
            id,
            remote,
            listener,
            is_exempt,
            stream: OnceLock::new(),
            queue: Mutex::default(),
            closing: AtomicBool::new(false),
            proven: AtomicBool::new(is_exempt),
            wake: Notify::new(),
            alias: OnceLock::new(),
        }
    }

    pub fn flow(&self) -> Flow {
        Flow {
            transport: Transport::Tcp,
            listener: self.listener,
            connection: self.id,
            remote: self.remote,
        }
    }

    /// Once: the socket is open.
    pub fn set_stream(&self, stream: TcpStream) {
        // Set once by the task that accepted or opened it.
        let _ = self.stream.set(stream);
    }

    pub fn stream(&self) -> Option<&TcpStream> {
        self.stream.get()
    }

    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(super) fn set_proven(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Asks the task to end.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes a message to write; `flush` writes. Gives the tag back when the peer has stopped reading.
    pub fn push(&self, bytes: Bytes, tag: Option<Tag>) -> Result<(), Option<Tag>> {
        let mut queue = self.queue.lock();
        if queue.failed || queue.bytes + bytes.len() > QUEUE_BYTES_MAX {
            drop(queue);
            self.close();
            return Err(tag);
        }
        queue.bytes += bytes.len();
        queue.chunks.push_back((bytes, tag));
        Ok(())
    }

    /// What waits for the peer to read: how much was written before it, if anything waits.
    pub fn blocked_at(&self) -> Option<u64> {
        let queue = self.queue.lock();
        (!queue.chunks.is_empty()).then_some(queue.total)
    }

    /// Writes as much as the socket takes. Returns the tags of what will never be written.
    pub fn flush(&self) -> Vec<Tag> {
        let Some(stream) = self.stream.get() else { return Vec::new() };
        let mut queue = self.queue.lock();
        while !queue.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut skip = queue.written;
            for (slice, (chunk, _)) in slices.iter_mut().zip(&queue.chunks) {
                *slice = IoSlice::new(chunk.get(skip..).unwrap_or_default());
                skip = 0;
            }
            match stream.try_write_vectored(&slices) {
                Ok(n) => queue.wrote(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(queue);
                    // The task waits until the socket takes more.
                    self.wake.notify_one();
                    return Vec::new();
                }
                Err(_) => {
                    drop(queue);
                    self.close();
                    return self.fail();
                }
            }
        }
        Vec::new()
    }

    /// Nothing more will be written: the tags of what waited.
    pub fn fail(&self) -> Vec<Tag> {
        let mut queue = self.queue.lock();
        queue.failed = true;
        queue.bytes = 0;
        queue.chunks.drain(..).filter_map(|(_, tag)| tag).collect()
    }
}

impl Queue {
    fn wrote(&mut self, n: usize) {
        self.bytes = self.bytes.saturating_sub(n);
        self.total += n as u64;
        self.written += n;
        while let Some((chunk, _)) = self.chunks.front() {
            if self.written < chunk.len() {
                return;
            }
            self.written -= chunk.len();
            self.chunks.pop_front();
        }
        self.written = 0;
    }
}
