//! Streams: opened when something is to be sent, accepted when somebody opens one, cut into messages by
//! `sip_message::frame` (RFC 3261 §18.3), closed when either side is done.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use sip_core::flow::Flow;
use sip_message::frame::{Frame, Framer};
use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::Arrival;

/// Messages that wait for a stream to be open, or to take more.
const QUEUE_MAX: usize = 128;
const BACKLOG: i32 = 16;
/// A peer that does not take the connection in this time does not want it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

pub struct Connection {
    queue: mpsc::Sender<Bytes>,
}

impl Connection {
    pub fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.queue.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")
            }
            mpsc::error::TrySendError::Closed(_) => io::ErrorKind::NotConnected.into(),
        })
    }
}

pub fn bind(local: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        socket2::Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub async fn accept(listener: tokio::net::TcpListener, arrivals: mpsc::Sender<Arrival>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if arrivals.send(Arrival::Accepted { stream, remote }).await.is_err() {
                    return;
                }
            }
            // Out of descriptors: it would fail again at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

type Queue = mpsc::Receiver<Bytes>;

/// Opens a stream; what is sent before it stands waits.
pub fn open(local: Option<SocketAddr>, flow: Flow, arrivals: mpsc::Sender<Arrival>) -> Connection {
    let (queue, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::task::spawn_local(async move {
        let connected = tokio::time::timeout(CONNECT_PATIENCE, connect(local, flow.remote)).await;
        let stream = match connected.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => return close(flow, Some(error), &arrivals).await,
        };
        run(stream, flow, receiver, arrivals).await;
    });
    Connection { queue }
}

pub fn adopt(stream: TcpStream, flow: Flow, arrivals: mpsc::Sender<Arrival>) -> Connection {
    let (queue, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::task::spawn_local(run(stream, flow, receiver, arrivals));
    Connection { queue }
}

async fn connect(local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local.filter(|local| local.is_ipv4() == remote.is_ipv4()) {
        socket.bind(local)?;
    }
    socket.connect(remote).await
}

/// Reads and writes until one of them ends.
async fn run(stream: TcpStream, flow: Flow, mut queue: Queue, arrivals: mpsc::Sender<Arrival>) {
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let ended = tokio::select! {
        ended = read_all(read, flow, &arrivals) => ended,
        ended = write_all(write, &mut queue) => ended,
    };
    close(flow, ended.err(), &arrivals).await;
}

async fn close(flow: Flow, error: Option<io::Error>, arrivals: &mpsc::Sender<Arrival>) {
    let closed = Arrival::Closed { connection: flow.connection, remote: flow.remote, error };
    // If nobody listens any more, the phone ends.
    let _ = arrivals.send(closed).await;
}

async fn write_all(mut write: OwnedWriteHalf, queue: &mut Queue) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        write.write_all(&bytes).await?;
    }
    Ok(())
}

async fn read_all(
    mut read: OwnedReadHalf,
    flow: Flow,
    arrivals: &mpsc::Sender<Arrival>,
) -> io::Result<()> {
    let (mut framer, mut buffer) = (Framer::new(), vec![0; 16_384]);
    loop {
        let n = read.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let chunk = buffer.get(..n).unwrap_or_default();
        // RFC 5626 §4.4.1: the answer to our keep-alive. The framer would take it for the blank line before a message.
        let pong = framer.pending() == 0 && chunk == b"\r\n";
        let mut messages = Vec::new();
        if pong {
            messages.push(Bytes::from_static(b"\r\n"));
        } else {
            framer.push(chunk);
        }
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message(bytes) => messages.push(bytes),
                Frame::KeepAlive => messages.push(Bytes::from_static(b"\r\n\r\n")),
                Frame::Broken(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is no SIP"));
                }
            }
        }
        for bytes in messages {
            if arrivals.send(Arrival::Message { flow, bytes }).await.is_err() {
                return Ok(());
            }
        }
    }
}
