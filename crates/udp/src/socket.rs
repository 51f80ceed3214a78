//! Sockets: bound, unconnected, non-blocking. One per worker and listen address, joined by `SO_REUSEPORT`.
//! An unconnected socket never hears of ICMP refusals, so a dead peer cannot disturb it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::io::unix::AsyncFd;

use crate::queue::{Failure, Flush, Outgoing};
use crate::syscall::{self, Inbox};

/// Datagrams per system call. More gains nothing measurable and makes the first of them wait.
pub const BATCH_MAX: usize = 64;

#[derive(Clone, Debug)]
pub struct Options {
    /// Several sockets on one address; the kernel spreads by the sender's address.
    pub reuse_port: bool,
    /// Bytes asked of the kernel in each direction. It charges about 2 KB for a datagram and may give less.
    pub buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { reuse_port: false, buffer: 4 << 20 }
    }
}

pub struct Socket {
    inner: UdpSocket,
}

impl Socket {
    /// Binds. An IPv6 address takes IPv6 only, so that `0.0.0.0` and `[::]` can be listened to side by side.
    pub fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        if syscall::force_receive_buffer(socket.as_fd(), options.buffer).is_err() {
            socket.set_recv_buffer_size(options.buffer)?;
        }
        socket.set_send_buffer_size(options.buffer)?;
        socket.bind(&address.into())?;
        Ok(Self { inner: socket.into() })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Bytes of receive buffer the kernel really gave: it cuts silently to `net.core.rmem_max`. It counts its own
    /// bookkeeping, so the figure is twice what was asked when nothing was cut.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        socket2::SockRef::from(&self.inner).recv_buffer_size()
    }

    /// Datagrams lost because nobody read them in time.
    pub fn drops(&self) -> io::Result<u32> {
        Ok(syscall::memory(self.fd())?.drops)
    }

    /// Bytes that wait to be read and the most that may, as the kernel counts: some 2 KB a datagram.
    pub fn waiting(&self) -> io::Result<(u32, u32)> {
        let memory = syscall::memory(self.fd())?;
        Ok((memory.waiting, memory.limit))
    }

    /// One batch. `WouldBlock` when nothing waits. Fewer than `inbox.capacity()` means that the queue was empty after it.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        loop {
            match syscall::receive(self.fd(), inbox) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// From now on the kernel gives each datagram to a random one of the first `members` sockets of this reuse-port
    /// group (in the order of binding). For one busy peer, whose packets the default hash gives to one worker for ever.
    pub fn spread_at_random(&self, members: u32) -> io::Result<()> {
        syscall::attach_random_spread(self.fd(), members)
    }

    /// Back to the default: the hash of the peer's address decides.
    pub fn spread_by_hash(&self) -> io::Result<()> {
        syscall::detach_spread(self.fd())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// A `Socket` on tokio's reactor.
pub struct AsyncSocket {
    fd: AsyncFd<Socket>,
}

impl AsyncSocket {
    /// Needs a running tokio runtime with I/O enabled, as `tokio::net` does.
    pub fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self { fd: syscall::register(socket)? })
    }

    pub fn socket(&self) -> &Socket {
        self.fd.get_ref()
    }

    /// Waits for datagrams and brings one batch of at least one. Dropping the future loses nothing.
    ///
    /// Readiness is edge-triggered: after a short batch it is cleared (whatever comes later raises a new edge), after a
    /// full one it stays, and the next call reads again at once. That saves the read that would only learn `EAGAIN`.
    pub async fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            match self.socket().receive(inbox) {
                Ok(n) => {
                    if n < inbox.capacity() {
                        ready.clear_ready();
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once more without waiting; `Ok(0)` when nothing is there. For the loop that drains after a full batch.
    pub fn try_receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        match self.socket().receive(inbox) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Sends what is queued as far as the socket takes it, without waiting.
    pub fn flush<B: AsRef<[u8]>, T>(
        &self,
        outgoing: &mut Outgoing<B, T>,
        failed: impl FnMut(Failure<T>),
    ) -> Flush {
        outgoing.flush(self.socket(), failed, drop)
    }

    /// Waits until a socket that was full takes more.
    pub async fn writable(&self) -> io::Result<()> {
        // A cleared flag only comes back with an edge, and that needs the socket to have been full: `flush` said so.
        let mut ready = self.fd.writable().await?;
        ready.clear_ready();
        Ok(())
    }
}

/// Sleeps until one of `sockets` (at most 16) has something to read; false when `timeout` was over first.
pub fn wait(sockets: &[Socket], timeout: Duration) -> io::Result<bool> {
    syscall::wait(sockets, timeout)
}

/// Whether nobody listens on the address yet. `SO_REUSEPORT` would silently share a port with a second server of the
/// same user; ask before binding.
pub fn is_free(address: SocketAddr) -> io::Result<()> {
    Socket::bind(address, &Options { reuse_port: false, buffer: 65_536 }).map(drop)
}
