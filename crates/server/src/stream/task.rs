//! The tasks of connections: accept, open, read whole messages, end. Time is limited: a message must be complete
//! within seconds of its first byte, and a peer that has proven nothing is not kept waiting around.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sip_core::flow::ListenerId;
use sip_message::frame::{Frame, Framer};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Connection, alias};
use crate::shard::worker::Worker;

/// From the first byte of a message to its last.
const MESSAGE_TIME: Duration = Duration::from_secs(5);
/// Between messages: a stranger, and a phone that has authenticated (its registration outlives no longer silence).
const STRANGER_TIME: Duration = Duration::from_secs(10);
const IDLE_TIME: Duration = Duration::from_secs(2 * 3600);
/// Without reading a byte of what waits for it: a peer that stands still for so long is gone.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// What the kernel may hold for a peer, beside our own queue: without it, it would be megabytes.
const SEND_BUFFER: usize = 256 * 1024;
/// For a connection we open.
const CONNECT_TIME: Duration = Duration::from_secs(4);
/// After `accept` failed: without descriptors it would fail again at once, for ever.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// RFC 5626 §3.5.1 is the peer's business; this finds peers that vanished.
const PROBE_AFTER: Duration = Duration::from_secs(60);

pub async fn accept(worker: Rc<Worker>, listener_id: ListenerId, listener: TcpListener) {
    let counters = &worker.shell.observer.counters;
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                counters.connections_refused.one();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shell = &worker.shell;
        if shell.shared.bans.find(shell.clock.now(), remote.ip()).is_some() {
            // A new connection has proven no account yet.
            counters.dropped_banned.one();
            continue;
        }
        let trusted = shell.config.load().limits.trusts(remote.ip());
        let Ok(connection) = worker.shell.streams.admit(remote, listener_id, trusted) else {
            counters.connections_refused.one();
            continue;
        };
        counters.connections_accepted.one();
        tune(&stream);
        connection.set_stream(stream);
        tokio::task::spawn_local(serve(Rc::clone(&worker), connection));
    }
}

/// Opens the connections other threads ask for.
pub async fn open_asked(worker: Rc<Worker>, mut asked: mpsc::UnboundedReceiver<Arc<Connection>>) {
    while let Some(connection) = asked.recv().await {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            match tokio::time::timeout(CONNECT_TIME, open(&worker, &connection)).await {
                Ok(Ok(stream)) => {
                    worker.shell.observer.counters.connections_opened.one();
                    tune(&stream);
                    connection.set_stream(stream);
                    let tags = connection.flush();
                    worker.failed(tags);
                    serve(worker, connection).await;
                }
                Ok(Err(_)) | Err(_) => {
                    let shell = &worker.shell;
                    shell.shared.refusals.note(shell.clock.now(), connection.remote);
                    end(&worker, &connection);
                }
            }
        });
    }
}

async fn open(worker: &Worker, connection: &Connection) -> io::Result<TcpStream> {
    let socket = match connection.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(listener) = worker.shell.config.load().listener(connection.listener) {
        // From the address our Via names.
        socket.bind(SocketAddr::new(listener.address.ip(), 0))?;
    }
    socket.connect(connection.remote).await
}

fn tune(stream: &TcpStream) {
    // Neither is needed for correctness.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_send_buffer_size(SEND_BUFFER);
    let keepalive = socket2::TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_AFTER);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Ends the connection's place in the table whatever happens to its task.
struct Place<'w>(&'w Worker, &'w Connection);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        end(self.0, self.1);
    }
}

fn end(worker: &Worker, connection: &Connection) {
    worker.shell.streams.remove(connection.id);
    worker.failed(connection.fail());
}

async fn serve(worker: Rc<Worker>, connection: Arc<Connection>) {
    let _place = Place(&worker, &connection);
    let Some(stream) = connection.stream() else { return };
    let mut reading = Reading::new();
    let mut stalled: Option<(u64, Instant)> = None;
    while !connection.is_closing() {
        let waiting = connection.blocked_at();
        let blocked = waiting.is_some();
        if reading.last && !blocked {
            return;
        }
        stalled = match (waiting, stalled) {
            (Some(total), Some((before, since))) if total == before => Some((total, since)),
            (waiting, _) => waiting.map(|total| (total, Instant::now())),
        };
        let interest =
            if blocked { Interest::READABLE.add(Interest::WRITABLE) } else { Interest::READABLE };
        let mut deadline = reading.deadline(connection.is_proven());
        if let Some((_, since)) = stalled {
            deadline = deadline.min(since + WRITE_TIME);
        }
        let ready = tokio::select! {
            ready = stream.ready(interest) => ready,
            () = connection.woken() => continue,
            () = tokio::time::sleep_until(deadline) => {
                if is_proven_meanwhile(&worker, &connection) {
                    continue;
                }
                worker.shell.observer.counters.connections_dropped.one();
                return;
            }
        };
        let Ok(ready) = ready else { return };
        if ready.is_writable() && blocked {
            worker.failed(connection.flush());
        }
        if (ready.is_readable() || ready.is_read_closed())
            && !read(&worker, &connection, stream, &mut reading)
        {
            return;
        }
    }
    worker.shell.observer.counters.connections_dropped.one();
}

/// A call that a stranger makes through a balancer proves him when it is answered, and not when he asks.
fn is_proven_meanwhile(worker: &Worker, connection: &Connection) -> bool {
    let shell = &worker.shell;
    let proves = !connection.is_proven()
        && shell.shared.sources.has_proven(shell.clock.now(), &connection.flow());
    if proves {
        shell.streams.prove(connection);
    }
    proves
}

/// What has been read and when.
struct Reading {
    framer: Framer,
    /// The first byte of an unfinished message.
    begun: Option<Instant>,
    last_message: Instant,
    /// A whole message has come.
    heard: bool,
    /// Nothing can be read after this: write what waits and close.
    last: bool,
}

impl Reading {
    fn new() -> Self {
        Self {
            framer: Framer::new(),
            begun: None,
            last_message: Instant::now(),
            heard: false,
            last: false,
        }
    }

    fn deadline(&self, proven: bool) -> Instant {
        let idle = self.last_message + if proven { IDLE_TIME } else { STRANGER_TIME };
        self.begun.map_or(idle, |begun| idle.min(begun + MESSAGE_TIME))
    }
}

/// One read and all whole messages in it. False: the connection is over.
fn read(
    worker: &Worker,
    connection: &Connection,
    stream: &TcpStream,
    reading: &mut Reading,
) -> bool {
    {
        let mut scratch = worker.scratch.borrow_mut();
        match stream.try_read(&mut scratch) {
            Ok(0) => return false,
            Ok(n) => reading.framer.push(scratch.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
    }
    let shell = &worker.shell;
    let (now, flow) = (shell.clock.now(), connection.flow());
    let mut turn = worker.turn.borrow_mut();
    while let Some(frame) = reading.framer.next() {
        reading.begun = None;
        match frame {
            Frame::Message(bytes) => {
                reading.last_message = Instant::now();
                if !std::mem::replace(&mut reading.heard, true) {
                    if !connection.is_proven() {
                        shell.streams.heard(connection);
                    }
                    // Said in the first request or never: looking for it in every one would cost more than it saves.
                    let asked =
                        connection.is_exempt.then(|| alias::asked(&bytes, connection.remote));
                    if let Some(address) = asked.flatten() {
                        shell.streams.alias(connection, address);
                    }
                }
                turn.message(now, flow, &bytes);
            }
            Frame::KeepAlive => {
                // RFC 5626 §4.4.1: a pong for a ping. It proves nothing, so it buys a stranger no time.
                if connection.is_proven() {
                    reading.last_message = Instant::now();
                }
                if connection.push(Bytes::from_static(b"\r\n"), None).is_err() {
                    return false;
                }
            }
            Frame::Broken(head) => {
                if !head.is_empty() {
                    turn.message(now, flow, &head);
                }
                reading.last = true;
            }
        }
    }
    // What a full socket keeps, leaves with the next batch.
    turn.flush(now);
    drop(turn);
    worker.failed(connection.flush());
    if !connection.is_proven() && shell.shared.sources.has_proven(now, &flow) {
        shell.streams.prove(connection);
    }
    reading.begun =
        (reading.framer.pending() > 0).then(|| reading.begun.unwrap_or_else(Instant::now));
    true
}

impl Worker {
    /// Tells the nodes what was never written.
    fn failed(&self, tags: Vec<crate::shard::turn::Tag>) {
        if !tags.is_empty() {
            let mut turn = self.turn.borrow_mut();
            turn.failed(tags);
            turn.flush(self.shell.clock.now());
        }
    }
}
