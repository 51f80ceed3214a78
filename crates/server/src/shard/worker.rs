//! A worker: one thread, one single-threaded runtime, its own sockets. It receives in batches, handles each message in
//! place, sends what came of it in one go, and fires the timers of its nodes.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sip_core::flow::{Flow, ListenerId};
use sip_core::input::Input;
use sip_core::time::Instant;
use tokio::sync::{mpsc, watch};
use udp::{AsyncSocket, BATCH_MAX, Flush, Inbox, Nap, NapRule};

use super::Shell;
use super::gauge::Gauge;
use super::turn::Turn;
use crate::config::LogLevel;
use crate::stream::{self, Connection};

/// Full batches in a row before timers and streams of this worker have their turn.
const BATCHES_MAX: usize = 4;

/// Of a quoted datagram: the Request-URI and the first Via are in it.
const REFUSAL_BYTES: usize = 1_280;

/// Timers are fired in groups: none of SIP's is finer than this.
const TICK: Duration = Duration::from_millis(10);

/// What one worker is given.
pub struct Plan {
    pub index: usize,
    pub sockets: Vec<(ListenerId, udp::Socket)>,
    pub listeners: Vec<(ListenerId, TcpListener)>,
    pub opens: mpsc::UnboundedReceiver<Arc<Connection>>,
    pub nap: NapRule,
    /// Becomes true when the worker is to end.
    pub stop: watch::Receiver<bool>,
}

/// A worker's own state; all its tasks run on its thread.
pub struct Worker {
    pub shell: Arc<Shell>,
    pub turn: RefCell<Turn>,
    /// Bytes just read from a stream, before they are framed.
    pub scratch: RefCell<Box<[u8]>>,
    index: usize,
    nap: Arc<Nap>,
    gauge: RefCell<Gauge>,
}

/// The sockets come back through `ready`, for threads that only send.
pub type Ready = std::sync::mpsc::Sender<io::Result<Vec<(ListenerId, Arc<AsyncSocket>)>>>;

pub fn start(shell: Arc<Shell>, plan: Plan, ready: Ready) -> io::Result<JoinHandle<()>> {
    let name = format!("sip-{}", plan.index);
    thread::Builder::new().name(name).spawn(move || run(shell, plan, &ready))
}

fn run(shell: Arc<Shell>, plan: Plan, ready: &Ready) {
    // Naps are finer than the kernel's default slack of 50 us. Without it they only last a little longer.
    let _ = udp::set_timer_slack(1);
    let nap = Arc::new(Nap::new(plan.nap));
    let parking = Arc::clone(&nap);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(move || parking.before_park())
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(serve(shell, plan, nap, ready)),
        Err(error) => drop(ready.send(Err(error))),
    }
}

async fn serve(shell: Arc<Shell>, plan: Plan, nap: Arc<Nap>, ready: &Ready) {
    let registered = |(id, socket)| Ok((id, Arc::new(AsyncSocket::new(socket)?)));
    let sockets: io::Result<Vec<_>> = plan.sockets.into_iter().map(registered).collect();
    let sockets = match sockets {
        Ok(sockets) => sockets,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let worker = Rc::new(Worker {
        turn: RefCell::new(Turn::new(Arc::clone(&shell), &sockets)),
        shell,
        scratch: RefCell::new(vec![0; 64 * 1024].into()),
        index: plan.index,
        nap,
        gauge: RefCell::default(),
    });
    for (id, listener) in plan.listeners {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { continue };
        tokio::task::spawn_local(stream::accept(Rc::clone(&worker), id, listener));
    }
    for (id, socket) in &sockets {
        tokio::task::spawn_local(receive(Rc::clone(&worker), *id, Arc::clone(socket)));
        tokio::task::spawn_local(hear_refusals(Rc::clone(&worker), Arc::clone(socket)));
    }
    tokio::task::spawn_local(timers(Rc::clone(&worker)));
    tokio::task::spawn_local(account(Rc::clone(&worker)));
    tokio::task::spawn_local(stream::open_asked(Rc::clone(&worker), plan.opens));
    drop(ready.send(Ok(sockets)));
    let mut stop = plan.stop;
    // An error means that the sender is gone, which ends us as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn receive(worker: Rc<Worker>, listener: ListenerId, socket: Arc<AsyncSocket>) {
    let mut inbox = Inbox::new(BATCH_MAX);
    let mut full = 0;
    loop {
        match socket.receive(&mut inbox).await {
            Ok(n) if n < inbox.capacity() => full = 0,
            Ok(_) => full += 1,
            Err(error) => {
                let (now, words) = (worker.shell.clock.now(), error.to_string());
                let fields = [("why", (&*words).into())];
                worker.shell.observer.log.line(now, LogLevel::Error, "receive_failed", &fields);
                tokio::time::sleep(TICK).await;
                continue;
            }
        }
        worker.measure(&socket, &inbox);
        let mut flush = worker.datagrams(listener, &inbox);
        while flush == Flush::Blocked {
            if socket.writable().await.is_err() {
                break;
            }
            flush = worker.flush();
        }
        if full >= BATCHES_MAX {
            full = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Takes what ICMP says about our datagrams. The socket has a queue of its own for it, so nobody's messages wait.
async fn hear_refusals(worker: Rc<Worker>, socket: Arc<AsyncSocket>) {
    // A kernel that cannot: dead peers are found by their silence, as ever.
    if socket.socket().keep_refusals().is_err() {
        return;
    }
    while socket.refused().await.is_ok() {
        while worker.refusals(&socket) {
            tokio::task::yield_now().await;
        }
    }
}

/// Once a second: how busy this thread was.
async fn account(worker: Rc<Worker>) {
    const SECOND: Duration = Duration::from_secs(1);
    let (mut before, mut began) = (cpu_time(), worker.shell.clock.now());
    loop {
        tokio::time::sleep(SECOND).await;
        let (used, now) = (cpu_time(), worker.shell.clock.now());
        let share = (used.saturating_sub(before)).as_secs_f64() / now.since(began).as_secs_f64();
        if let Some(link) = worker.shell.links.get(worker.index) {
            // At most a little above 1.
            link.busy.store((share * 1_000.0) as u32, Ordering::Relaxed);
        }
        (before, began) = (used, now);
        let share = worker.gauge.borrow_mut().rest(now);
        worker.publish(share);
    }
}

/// Of the calling thread. Zero where it cannot be asked: then nobody is ever busy.
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Duration::ZERO };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

async fn timers(worker: Rc<Worker>) {
    let shell = &worker.shell;
    let mut earliest = Instant::ZERO;
    loop {
        let at = shell.plan_wake(worker.index, earliest);
        if at == Instant::FAR {
            shell.timer_changed(worker.index).await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(shell.clock.monotonic(at).into()) => {}
            () = shell.timer_changed(worker.index) => continue,
        }
        let now = shell.clock.now();
        {
            let mut turn = worker.turn.borrow_mut();
            for node in shell.due(worker.index, now) {
                turn.input(now, node, Input::Tick);
            }
            // What a full socket keeps leaves with the next batch.
            turn.flush(now);
        }
        earliest = now + TICK;
    }
}

impl Worker {
    /// How long datagrams wait now decides how many new calls are turned away, those of this batch already.
    fn measure(&self, socket: &AsyncSocket, inbox: &Inbox) {
        let (now, mut gauge) = (self.shell.clock.now(), self.gauge.borrow_mut());
        let share = if inbox.len() < inbox.capacity() {
            gauge.emptied(now)
        } else {
            let (waiting, limit) = socket.socket().waiting().unwrap_or((0, 1));
            Some(gauge.full(now, inbox.len(), waiting, limit))
        };
        self.publish(share);
    }

    fn publish(&self, share: Option<u32>) {
        if let Some(share) = share {
            self.shell.shared.overload.publish(self.index, share);
        }
    }

    fn datagrams(&self, listener: ListenerId, inbox: &Inbox) -> Flush {
        self.nap.received(u32::try_from(inbox.len()).unwrap_or(u32::MAX));
        if let Some(link) = self.shell.links.get(self.index) {
            link.datagrams.fetch_add(inbox.len() as u64, Ordering::Relaxed);
        }
        let now = self.shell.clock.now();
        let mut turn = self.turn.borrow_mut();
        for datagram in inbox.datagrams() {
            if !datagram.truncated && !is_keep_alive(datagram.bytes) {
                turn.message(now, Flow::udp(listener, datagram.source), datagram.bytes);
            }
        }
        turn.flush(now)
    }

    /// A batch of what ICMP says; whether there may be more.
    fn refusals(&self, socket: &AsyncSocket) -> bool {
        let now = self.shell.clock.now();
        let mut turn = self.turn.borrow_mut();
        let mut room = [0; REFUSAL_BYTES];
        let mut taken = 0;
        while taken < BATCH_MAX
            && let Ok(Some(refusal)) = socket.socket().refusal(&mut room)
        {
            turn.refused(now, &refusal);
            taken += 1;
        }
        // What a full socket keeps leaves with the next batch.
        turn.flush(now);
        taken == BATCH_MAX
    }

    pub fn flush(&self) -> Flush {
        self.turn.borrow_mut().flush(self.shell.clock.now())
    }
}

/// What phones send to keep a NAT open: line ends, a zero word, nothing at all. No answer, no count.
fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.len() <= 4 && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
