//! The only `unsafe` of the project: `recvmmsg`, `sendmmsg` and three socket options that no safe crate offers.
//!
//! Nothing here decides anything. The headers given to the kernel hold pointers into memory that this file owns
//! (`Block`), allocated once, never moved, never seen from outside except as the bytes the kernel has written.
//! Zeroed buffers are touched by the kernel only as far as datagrams reach, so 64 of 64 KiB cost address space, not memory.
#![allow(unsafe_code)]

use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};
use core::slice;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::socket::Socket;
use libc::{c_int, c_uint, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

/// The largest payload a UDP length field can announce, rounded to what RFC 3261 §18.1.1 demands.
const DATAGRAM_MAX: usize = 65_535;
/// Sockets one `wait` can watch.
const WAIT_MAX: usize = 16;
/// Not a power of two: buffers 64 KiB apart would all fall into the same sets of the second-level cache.
const STRIDE: usize = DATAGRAM_MAX + 1 + 1_088;

/// A boxed slice that is only ever touched through its raw pointer, because headers of ours point into it too.
struct Block<T>(NonNull<[T]>);

impl<T> Block<T> {
    fn zeroed(len: usize) -> Self {
        let boxed: Box<[MaybeUninit<T>]> = Box::new_zeroed_slice(len);
        let raw = Box::into_raw(boxed) as *mut [T];
        // SAFETY: `Box::into_raw` never returns null. The C structures used here are valid when all zero.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len(), "ring index out of range");
        // SAFETY: the index was checked, so the result stays inside the allocation.
        unsafe { self.0.as_ptr().cast::<T>().add(index) }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `zeroed`, given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

// SAFETY: a `Block` owns its memory alone; the pointers inside the C structures lead only into sibling blocks of the
// same ring, which move between threads together with it.
unsafe impl<T> Send for Block<T> {}
// SAFETY: through a shared reference the blocks are only read (`Inbox::datagrams`); every write needs `&mut`.
unsafe impl<T> Sync for Block<T> {}

/// One received batch. Reused for every call; its datagrams live until the next one.
pub struct Inbox {
    headers: Block<mmsghdr>,
    sources: Block<sockaddr_storage>,
    _iovecs: Block<iovec>,
    bytes: Block<u8>,
    /// How many of the headers the kernel filled last time: those must be reset before the next call.
    filled: usize,
}

/// A datagram as it came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub source: SocketAddr,
    pub bytes: &'a [u8],
    /// It did not fit; `bytes` is its beginning. Only a jumbogram can do that.
    pub truncated: bool,
}

impl Inbox {
    /// Room for `batch` datagrams of any size (at least one).
    pub fn new(batch: usize) -> Self {
        let batch = batch.max(1);
        let headers: Block<mmsghdr> = Block::zeroed(batch);
        let sources: Block<sockaddr_storage> = Block::zeroed(batch);
        let iovecs: Block<iovec> = Block::zeroed(batch);
        let bytes: Block<u8> = Block::zeroed(batch * STRIDE);
        for i in 0..batch {
            let (header, iov) = (headers.at(i), iovecs.at(i));
            // SAFETY: all four pointers are in range (`at` checks) and the blocks live as long as the headers that
            // point to them: they are fields of the same struct and their heap memory never moves.
            unsafe {
                (*iov).iov_base = bytes.at(i * STRIDE).cast();
                (*iov).iov_len = DATAGRAM_MAX;
                (*header).msg_hdr.msg_name = sources.at(i).cast();
                (*header).msg_hdr.msg_iov = iov;
                (*header).msg_hdr.msg_iovlen = 1;
            }
        }
        let mut inbox = Self { headers, sources, _iovecs: iovecs, bytes, filled: batch };
        inbox.reset();
        inbox
    }

    /// How many datagrams one call can bring.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// How many the last call brought.
    pub fn len(&self) -> usize {
        self.filled
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The kernel overwrites the lengths and flags of every header it uses.
    fn reset(&mut self) {
        for i in 0..self.filled {
            // SAFETY: `at` checked the index; `&mut self` means that nobody else looks at the header.
            unsafe {
                let header = &mut (*self.headers.at(i)).msg_hdr;
                header.msg_namelen = mem::size_of::<sockaddr_storage>() as socklen_t;
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
                header.msg_flags = 0;
            }
        }
        self.filled = 0;
    }

    /// What the last call brought, in the order of arrival. A datagram without an IP source is left out.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.filled).filter_map(|i| {
            // SAFETY: in range; no `&mut` exists while `&self` does, so the kernel is not writing.
            let header = unsafe { &*self.headers.at(i) };
            let length = (header.msg_len as usize).min(DATAGRAM_MAX);
            // SAFETY: the buffer of slot `i` starts at `i * STRIDE`, has `DATAGRAM_MAX` bytes, was zeroed when
            // allocated, and the kernel has written `length` of them.
            let bytes = unsafe { slice::from_raw_parts(self.bytes.at(i * STRIDE), length) };
            // SAFETY: a zeroed `sockaddr_storage`, since written by the kernel up to `msg_namelen`.
            let source = unsafe { read_address(self.sources.at(i), header.msg_hdr.msg_namelen) }?;
            Some(Datagram {
                source,
                bytes,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            })
        })
    }
}

/// One `recvmmsg`. `WouldBlock` when nothing waits; otherwise at least one datagram is in the inbox.
pub(crate) fn receive(socket: BorrowedFd<'_>, inbox: &mut Inbox) -> io::Result<usize> {
    inbox.reset();
    // SAFETY: `headers` points to `capacity` headers prepared by `new` and `reset`; a null timeout means none.
    let n = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            inbox.headers.at(0),
            inbox.capacity() as c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    inbox.filled = n as usize;
    Ok(inbox.filled)
}

/// Headers for `sendmmsg`; no bytes of its own.
pub(crate) struct SendRing {
    headers: Block<mmsghdr>,
    targets: Block<sockaddr_storage>,
    iovecs: Block<iovec>,
    controls: Block<SegmentControl>,
    /// Datagrams behind each header of the current call.
    runs: Vec<u8>,
    /// Runs of equal length to one peer go to the kernel as one (`UDP_SEGMENT`).
    merge: bool,
}

/// The control message that tells the kernel where to cut (udp(7), `UDP_SEGMENT`).
#[repr(C)]
struct SegmentControl {
    header: libc::cmsghdr,
    /// A `u16` and its padding.
    size: [u8; 8],
}

/// A segment must fit the path's MTU or the whole run fails; this fits an Ethernet with IPv6 headers.
const SEGMENT_MAX: usize = 1_452;
/// Bytes of one run: a UDP length field, less what the headers may take.
const RUN_BYTES_MAX: usize = 65_000;

impl SendRing {
    pub(crate) fn new(batch: usize) -> Self {
        let batch = batch.clamp(1, usize::from(u8::MAX));
        let ring = Self {
            headers: Block::zeroed(batch),
            targets: Block::zeroed(batch),
            iovecs: Block::zeroed(batch),
            controls: Block::zeroed(batch),
            runs: Vec::with_capacity(batch),
            merge: false,
        };
        for i in 0..batch {
            // SAFETY: in range; the blocks are fields of one struct and their memory never moves.
            unsafe {
                let header = &mut (*ring.headers.at(i)).msg_hdr;
                header.msg_name = ring.targets.at(i).cast();
                let control = &mut (*ring.controls.at(i)).header;
                control.cmsg_level = libc::SOL_UDP;
                control.cmsg_type = libc::UDP_SEGMENT;
                control.cmsg_len = (mem::size_of::<libc::cmsghdr>() + 2) as _;
            }
        }
        ring
    }

    pub(crate) fn merge_runs(&mut self, merge: bool) {
        self.merge = merge;
    }

    /// Fills the headers; how many.
    fn fill<'a>(&mut self, messages: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        self.runs.clear();
        // Of the run under way: its peer, the length of its first datagram, its bytes, and whether more may join.
        let mut run: Option<(SocketAddr, usize, usize)> = None;
        for (place, (target, bytes)) in messages.take(self.headers.len()).enumerate() {
            // SAFETY: `take` keeps `place` in range (and `at` checks it). The pointer is cast to mutable because the C
            // type serves both directions; `sendmmsg` only reads through it, and `'a` outlives the call.
            unsafe {
                (*self.iovecs.at(place)).iov_base = bytes.as_ptr().cast_mut().cast();
                (*self.iovecs.at(place)).iov_len = bytes.len();
            }
            if let (Some((peer, size, total)), Some(count)) = (run, self.runs.last_mut())
                && peer == target
                && (1..=size).contains(&bytes.len())
                && total + bytes.len() <= RUN_BYTES_MAX
                && *count < 64
            {
                *count += 1;
                // A shorter one ends its run.
                run = (bytes.len() == size).then_some((peer, size, total + bytes.len()));
                continue;
            }
            let header = self.runs.len();
            self.runs.push(1);
            let joinable = self.merge && (1..=SEGMENT_MAX).contains(&bytes.len());
            run = joinable.then_some((target, bytes.len(), bytes.len()));
            // SAFETY: `header <= place`, in range. A `u16` fits into the eight bytes behind the control header.
            unsafe {
                let hdr = &mut (*self.headers.at(header)).msg_hdr;
                hdr.msg_iov = self.iovecs.at(place);
                hdr.msg_namelen = write_address(self.targets.at(header), target);
                let size = &mut (*self.controls.at(header)).size;
                size[..2].copy_from_slice(&(bytes.len() as u16).to_ne_bytes());
            }
        }
        for (i, count) in self.runs.iter().enumerate() {
            // SAFETY: there are at most as many runs as headers, and nobody else looks at them.
            unsafe {
                let hdr = &mut (*self.headers.at(i)).msg_hdr;
                hdr.msg_iovlen = usize::from(*count) as _;
                let merged = *count > 1;
                let control: *mut SegmentControl = self.controls.at(i);
                hdr.msg_control = if merged { control.cast() } else { ptr::null_mut() };
                hdr.msg_controllen = if merged { mem::size_of::<SegmentControl>() as _ } else { 0 };
            }
        }
        self.runs.len()
    }
}

/// One `sendmmsg` of as many messages as the ring holds. `Ok(n)`: the first `n` left. An error concerns the first only.
pub(crate) fn send<'a>(
    socket: BorrowedFd<'_>,
    ring: &mut SendRing,
    messages: impl Iterator<Item = (SocketAddr, &'a [u8])> + Clone,
) -> io::Result<usize> {
    let count = ring.fill(messages.clone());
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: `fill` has filled the first `count` headers from `messages`, whose bytes live for `'a`.
    let n = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            ring.headers.at(0),
            count as c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    if n >= 0 {
        return Ok(ring.runs.iter().take(n as usize).map(|run| usize::from(*run)).sum());
    }
    let error = io::Error::last_os_error();
    let waits = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    if waits || ring.runs.first() == Some(&1) {
        return Err(error);
    }
    // The error may be of the run and not of its first datagram: one by one, then. EIO is a device that cannot cut.
    let merge = mem::replace(&mut ring.merge, false);
    let result = send(socket, ring, messages);
    ring.merge = merge && error.raw_os_error() != Some(libc::EIO);
    result
}

/// # Safety
/// `storage` must point to an initialised `sockaddr_storage`.
unsafe fn read_address(storage: *const sockaddr_storage, length: socklen_t) -> Option<SocketAddr> {
    // SAFETY: the caller's promise; every sockaddr starts with its family.
    match c_int::from(unsafe { (*storage).ss_family }) {
        libc::AF_INET if length as usize >= mem::size_of::<sockaddr_in>() => {
            // SAFETY: the family says which structure it is, and a storage is larger and more aligned than both.
            let a = unsafe { &*storage.cast::<sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(a.sin_port))))
        }
        libc::AF_INET6 if length as usize >= mem::size_of::<sockaddr_in6>() => {
            // SAFETY: as above.
            let a = unsafe { &*storage.cast::<sockaddr_in6>() };
            let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
            // The flow label is not part of who somebody is: 0, so that equal peers compare equal.
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                u16::from_be(a.sin6_port),
                0,
                a.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

/// # Safety
/// `storage` must be valid for writing a `sockaddr_storage`.
unsafe fn write_address(storage: *mut sockaddr_storage, address: SocketAddr) -> socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            let a = sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: the caller's promise; a storage is larger and more aligned than a `sockaddr_in`.
            unsafe { storage.cast::<sockaddr_in>().write(a) };
            mem::size_of::<sockaddr_in>() as socklen_t
        }
        SocketAddr::V6(v6) => {
            let a = sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { storage.cast::<sockaddr_in6>().write(a) };
            mem::size_of::<sockaddr_in6>() as socklen_t
        }
    }
}

fn set_option<T>(socket: BorrowedFd<'_>, name: c_int, value: &T) -> io::Result<()> {
    set_option_of(socket, libc::SOL_SOCKET, name, value)
}

fn set_option_of<T>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            mem::size_of::<T>() as socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `SO_RCVBUFFORCE`: beyond `net.core.rmem_max`, with CAP_NET_ADMIN only.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set_option(socket, libc::SO_RCVBUFFORCE, &bytes)
}

/// `IP_RECVERR`: what routers and hosts say about datagrams of ours waits in a queue of its own (ip(7)).
pub(crate) fn keep_refusals(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    let (level, name) = match is_ipv4 {
        true => (libc::IPPROTO_IP, libc::IP_RECVERR),
        false => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    set_option_of(socket, level, name, &1_i32)
}

/// What one entry of that queue says: to whom the datagram went, the beginning of it, and who said what about it.
pub(crate) struct Report<'a> {
    pub target: Option<SocketAddr>,
    pub quoted: &'a [u8],
    /// `ee_origin`, `ee_type`, `ee_code`.
    pub said: Option<(u8, u8, u8)>,
}

/// Room for the control messages of one entry, aligned as their headers must be.
#[repr(C, align(8))]
struct ReportControl([u8; 512]);

/// One entry. `WouldBlock` when the queue is empty.
pub(crate) fn report<'b>(socket: BorrowedFd<'_>, room: &'b mut [u8]) -> io::Result<Report<'b>> {
    let mut control = ReportControl([0; 512]);
    // SAFETY: a C structure that is valid when all zero, like the header below.
    let mut target: sockaddr_storage = unsafe { mem::zeroed() };
    let mut iov = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: as above.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut target).cast();
    header.msg_namelen = mem::size_of::<sockaddr_storage>() as socklen_t;
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer in `header` leads to memory of the length beside it that lives through the call.
    let n = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut said = None;
    // SAFETY: the kernel has filled `control` and set its length; the macros stay inside it.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !at.is_null() {
        // SAFETY: not null, so it points to a header inside `control`.
        let (level, kind, length) =
            unsafe { ((*at).cmsg_level, (*at).cmsg_type, (*at).cmsg_len as usize) };
        let is_ours = (level == libc::IPPROTO_IP && kind == libc::IP_RECVERR)
            || (level == libc::IPPROTO_IPV6 && kind == libc::IPV6_RECVERR);
        // SAFETY: computes a size from a size.
        let needed = unsafe { libc::CMSG_LEN(mem::size_of::<libc::sock_extended_err>() as _) };
        if is_ours && length >= needed as usize {
            // SAFETY: the message is long enough for the structure; it need not be aligned for this read.
            let error: libc::sock_extended_err =
                unsafe { ptr::read_unaligned(libc::CMSG_DATA(at).cast()) };
            said = Some((error.ee_origin, error.ee_type, error.ee_code));
        }
        // SAFETY: as for the first one.
        at = unsafe { libc::CMSG_NXTHDR(&raw const header, at) };
    }
    // SAFETY: `target` was zeroed and then written by the kernel up to `msg_namelen`.
    let target = unsafe { read_address(&raw const target, header.msg_namelen) };
    Ok(Report { target, quoted: room.get(..n as usize).unwrap_or_default(), said })
}

/// A classic BPF program on the socket's reuse-port group: a random member of the first `members` gets each datagram.
pub(crate) fn attach_random_spread(socket: BorrowedFd<'_>, members: u32) -> io::Result<()> {
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, random),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, members.max(1)),
        step(libc::BPF_RET | libc::BPF_A, 0),
    ];
    // The kernel copies the program during the call.
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set_option(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &filter)
}

/// Takes such a program off again: back to the hash of the 4-tuple.
pub(crate) fn detach_spread(socket: BorrowedFd<'_>) -> io::Result<()> {
    const SO_DETACH_REUSEPORT_BPF: c_int = 68;
    set_option(socket, SO_DETACH_REUSEPORT_BPF, &0_i32)
}

/// What the kernel says about a socket's memory (`SK_MEMINFO_*`): bytes that wait to be read, the most that may, and
/// datagrams it threw away because they were more.
pub(crate) struct Memory {
    pub waiting: u32,
    pub limit: u32,
    pub drops: u32,
}

pub(crate) fn memory(socket: BorrowedFd<'_>) -> io::Result<Memory> {
    const SO_MEMINFO: c_int = 55;
    let mut meminfo = [0_u32; 9];
    let mut length = mem::size_of_val(&meminfo) as socklen_t;
    // SAFETY: `meminfo` has `length` bytes; the kernel writes no more than that.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            meminfo.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    let [waiting, limit, .., drops] = meminfo;
    Ok(Memory { waiting, limit, drops })
}

/// Puts a socket on tokio's reactor.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and offers no way to close or replace it while it is owned.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// Sleeps until one of `sockets` has a datagram, or `timeout` is over. For loops without a reactor.
pub(crate) fn wait(sockets: &[Socket], timeout: Duration) -> io::Result<bool> {
    let mut waits = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; WAIT_MAX];
    for (wait, socket) in waits.iter_mut().zip(sockets) {
        wait.fd = socket.as_raw_fd();
    }
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(3_600) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let count = sockets.len().min(WAIT_MAX) as libc::nfds_t;
    // SAFETY: `waits` has at least `count` entries, `timeout` lives through the call, and the signal mask stays.
    let n = unsafe { libc::ppoll(waits.as_mut_ptr(), count, &raw const timeout, ptr::null()) };
    match n {
        0.. => Ok(n > 0),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// How much later than asked the kernel may wake the calling thread (its default is 50 us). In nanoseconds, at least 1.
pub fn set_timer_slack(nanos: u32) -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory of ours.
    let rc = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, libc::c_ulong::from(nanos.max(1))) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
