//! Moves the datagrams of one call: in when they come, out every 20 ms by the monotonic clock, without drift. It looks
//! into none of them.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use media::codec::event::Key;
use sip_core::time::{Duration, Instant};
use sip_core::ua::CallId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::port::Ports;
use super::stream::{Figures, Port, Stream};
use crate::clock::Clock;
use crate::transport::refusal;

const FRAME_TIME: Duration = Duration::from_millis(20);
/// Behind by more than this (a suspended process), what was missed is not sent after.
const BEHIND_MAX: Duration = Duration::from_millis(200);
const DATAGRAM_MAX: usize = 2048;

/// The audio of one call. It goes on until it is finished or dropped.
pub struct Session {
    stream: Rc<RefCell<Stream>>,
    task: JoinHandle<()>,
    rtp: Rc<tokio::net::UdpSocket>,
    rtcp: Rc<tokio::net::UdpSocket>,
    clock: Clock,
}

/// The sockets of a session that is over. While they are held, what was on its way here is not refused.
pub struct Lingering {
    _rtp: Rc<tokio::net::UdpSocket>,
    _rtcp: Rc<tokio::net::UdpSocket>,
}

/// What is left of a session.
pub struct Finished {
    pub figures: Figures,
    /// What the recording says about its end, in words.
    pub recorded: Result<(), String>,
    pub sockets: Lingering,
}

/// Whom to tell of keys that come.
pub struct Keys {
    pub call: CallId,
    pub sender: mpsc::Sender<(CallId, Key)>,
}

/// `now` as media wants it: since the Unix epoch.
pub const fn since_epoch(now: Instant) -> Duration {
    now.since(Instant::ZERO)
}

impl Session {
    /// `keys` is told of keys that come, and in which call.
    pub fn start(ports: Ports, stream: Stream, clock: Clock, keys: Keys) -> io::Result<Self> {
        let rtp = Rc::new(tokio::net::UdpSocket::from_std(ports.rtp)?);
        let rtcp = Rc::new(tokio::net::UdpSocket::from_std(ports.rtcp)?);
        let stream = Rc::new(RefCell::new(stream));
        let work = run(Rc::clone(&rtp), Rc::clone(&rtcp), Rc::clone(&stream), clock, keys);
        Ok(Self { stream, task: tokio::task::spawn_local(work), rtp, rtcp, clock })
    }

    /// Something with the stream, between two datagrams.
    pub fn with<T>(&self, act: impl FnOnce(&mut Stream) -> T) -> T {
        act(&mut self.stream.borrow_mut())
    }

    pub fn figures(&self) -> Figures {
        self.stream.borrow().figures()
    }

    /// Says goodbye, closes the recording, stops.
    pub fn finish(self) -> Finished {
        self.task.abort();
        let mut stream = self.stream.borrow_mut();
        let mut out = Vec::new();
        if let Some(remote) = stream.bye(since_epoch(self.clock.now()), &mut out) {
            // Nobody would repeat it.
            let _ = self.rtcp.try_send_to(&out, remote);
        }
        Finished {
            figures: stream.figures(),
            recorded: stream.finish(),
            sockets: Lingering { _rtp: Rc::clone(&self.rtp), _rtcp: Rc::clone(&self.rtcp) },
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    rtp: Rc<tokio::net::UdpSocket>,
    rtcp: Rc<tokio::net::UdpSocket>,
    stream: Rc<RefCell<Stream>>,
    clock: Clock,
    keys: Keys,
) {
    let (mut first, mut second) = ([0; DATAGRAM_MAX], [0; DATAGRAM_MAX]);
    let mut out = Vec::with_capacity(256);
    // A socket that was never waited for is not known to take anything.
    for socket in [&rtp, &rtcp] {
        let _ = socket.writable().await;
    }
    let mut next = clock.now();
    loop {
        let (port, received) = tokio::select! {
            biased;
            () = tokio::time::sleep_until(clock.monotonic(next)) => {
                let now = clock.now();
                step(&stream, since_epoch(now), &rtp, &rtcp, &mut out);
                next = next + FRAME_TIME;
                if now.since(next) > BEHIND_MAX {
                    next = now + FRAME_TIME;
                }
                continue;
            }
            received = rtp.recv_from(&mut first) => (Port::Rtp, received),
            received = rtcp.recv_from(&mut second) => (Port::Rtcp, received),
        };
        let now = since_epoch(clock.now());
        let (socket, buffer) = match port {
            Port::Rtp => (&*rtp, &first),
            Port::Rtcp => (&*rtcp, &second),
        };
        match received {
            Ok((n, _)) => {
                let datagram = buffer.get(..n).unwrap_or_default();
                let key = stream.borrow_mut().on_datagram(now, port, datagram);
                if let Some(key) = key {
                    // A person who presses faster than anybody reads loses keys.
                    let _ = keys.sender.try_send((keys.call, key));
                }
            }
            Err(_) => {
                while let Some((remote, _)) = refusal::next(socket) {
                    // Many phones have nobody on the RTCP port; that is no failure.
                    if port == Port::Rtp {
                        stream.borrow_mut().on_refusal(now, remote);
                    }
                }
            }
        }
    }
}

/// Twenty milliseconds. A packet that the socket does not take is lost, as packets are.
fn step(
    stream: &RefCell<Stream>,
    now: Duration,
    rtp: &tokio::net::UdpSocket,
    rtcp: &tokio::net::UdpSocket,
    out: &mut Vec<u8>,
) {
    let mut stream = stream.borrow_mut();
    if let Some(remote) = stream.step(now, out) {
        send(rtp, out, remote);
    }
    if let Some(remote) = stream.report(now, out) {
        send(rtcp, out, remote);
    }
}

fn send(socket: &tokio::net::UdpSocket, bytes: &[u8], remote: SocketAddr) {
    if socket.try_send_to(bytes, remote).is_err() {
        // A refusal of an earlier packet that waited: this one was not sent. Now it is.
        let _ = socket.try_send_to(bytes, remote);
    }
}
