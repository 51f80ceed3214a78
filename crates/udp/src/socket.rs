//! Sockets: bound, unconnected, non-blocking. One per worker and listen address, joined by `SO_REUSEPORT`.
//!
//! Of a peer that is dead such a socket hears only when that was asked for (`keep_refusals`, RFC 3261 §18.4), and then in
//! a queue of its own. The kernel also makes the next system call fail once, whatever it was about: here that call is
//! made again, so a dead peer disturbs nobody.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::queue::{Failure, Flush, Outgoing};
use crate::syscall::{self, Inbox, Report};

/// How long a full socket is left alone when the reactor cannot tell any more.
const FULL_PAUSE: Duration = Duration::from_millis(1);

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

/// System calls in a row that may fail with an error that is not theirs.
const STRANGE_MAX: u32 = 16;

/// Entries of the queue that mean nothing to us, before a look at something else.
const REPORTS_MAX: u32 = 64;

/// ICMP said that a datagram did not arrive. Anybody can forge that: the quoted bytes are the only proof of having seen it.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub target: SocketAddr,
    pub quoted: &'a [u8],
}

impl Report<'_> {
    /// RFC 3261 §18.4: unreachable (host, network, port, protocol) and parameter problem are failures; source quench and
    /// time exceeded are not, and what was too large is no failure of the peer.
    fn is_final(&self) -> bool {
        const TOO_LARGE: u8 = 4;
        match self.said {
            Some((libc::SO_EE_ORIGIN_ICMP, 3, code)) => code != TOO_LARGE,
            Some((libc::SO_EE_ORIGIN_ICMP, 12, _) | (libc::SO_EE_ORIGIN_ICMP6, 1 | 4, _)) => true,
            _ => false,
        }
    }
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
        let mut strange = 0;
        loop {
            match syscall::receive(self.fd(), inbox) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Somebody else's error, most likely; it is told once.
                Err(_) if strange < STRANGE_MAX => strange += 1,
                result => return result,
            }
        }
    }

    /// From now on, ask [`refusal`](Self::refusal) who could not be reached.
    pub fn keep_refusals(&self) -> io::Result<()> {
        syscall::keep_refusals(self.fd(), self.local_addr()?.is_ipv4())
    }

    /// The next datagram of ours that did not reach its target, if the network said so. `room` holds its beginning, as
    /// far as whoever said it has quoted it. `None`: nobody else.
    pub fn refusal<'b>(&self, room: &'b mut [u8]) -> io::Result<Option<Refusal<'b>>> {
        for _ in 0..REPORTS_MAX {
            let (target, length) = match syscall::report(self.fd(), room) {
                Ok(report) if report.is_final() => (report.target, report.quoted.len()),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let Some(target) = target else { continue };
            return Ok(Some(Refusal { target, quoted: room.get(..length).unwrap_or_default() }));
        }
        Ok(None)
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
        if ready.ready().is_write_closed() {
            // A refusal looks like that to the reactor, for ever. No socket of ours is closed: wait by the clock.
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(())
    }

    /// Waits until the network has said something about datagrams of ours. Take it with `refusal`, all of it: what is left
    /// is not told of again.
    pub async fn refused(&self) -> io::Result<()> {
        let mut ready = self.fd.ready(Interest::ERROR).await?;
        // Before the queue is looked at: what comes meanwhile raises the flag again.
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
