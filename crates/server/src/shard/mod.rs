//! The shell around the nodes. Any thread may handle any input: it locks the node that owns the call, handles in place,
//! unlocks, and sends afterwards. Nothing is handed to another thread, and no lock is held over a system call
//! (docs/adr/0002-locked-nodes.md has the measurements).
//!
//! `Shell` is what all threads share, `turn.rs` what each has for itself, `worker.rs` the threads.

pub mod crash;
mod gauge;
pub mod spread;
pub mod turn;
pub mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sip_core::config::Config;
use sip_core::input::{Command, Input};
use sip_core::nat::keepalive::Watched;
use sip_core::node::{Node, Sizes};
use sip_core::output::{AskId, Outbox};
use sip_core::shared::Shared;
use sip_core::stateless;
use sip_core::time::Instant;
use store::Writer;
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::observe::Observer;
use crate::resolver::Questions;
use crate::start;
use crate::stream::{Connection, Streams};
use crash::CrashFolder;

/// Nodes per worker: enough that two workers seldom want the same one.
pub const NODES_PER_WORKER: usize = 16;

/// The node that asks the gateways whether they are there.
pub const TENDING: u16 = 0;

/// A node that panicked so often is made anew: its tables cannot be trusted any more.
const PANICS_MAX: u32 = 8;

/// Which node asked what.
pub type Asker = (u16, AskId);

pub struct Shell {
    pub clock: Clock,
    /// In force now; `adopt` puts another in its place.
    pub config: ArcSwap<Config>,
    pub shared: Arc<Shared>,
    pub observer: Observer,
    pub streams: Streams,
    /// None when nothing is to be kept (`memory:`).
    pub writer: Option<Writer<Asker>>,
    /// Questions to the DNS.
    pub questions: Questions,
    pub links: Vec<WorkerLink>,
    pub crash: CrashFolder,
    /// Set: this is a stateless proxy, and there are no nodes.
    pub stateless: Option<ArcSwap<stateless::Settings>>,
    pub draining: AtomicBool,
    /// How the kernel chooses the worker of a datagram now.
    pub spread_random: AtomicBool,
    nodes: Box<[NodeCell]>,
}

/// How other threads reach a worker.
pub struct WorkerLink {
    /// When its timer task wakes next, in microseconds of `Instant`.
    wake_at: AtomicU64,
    timer: Notify,
    /// Datagrams it has read, and how much of its time it was at work in the last second, in thousandths.
    pub datagrams: AtomicU64,
    pub busy: AtomicU32,
    /// Connections for it to open.
    pub opens: mpsc::UnboundedSender<Arc<Connection>>,
}

/// A node on cache lines of its own.
#[repr(align(128))]
struct NodeCell {
    node: Mutex<Node>,
    /// `Node::next_deadline`, readable without the lock.
    deadline: AtomicU64,
    panics: AtomicU32,
}

/// What a shell is made of.
pub struct Parts {
    pub clock: Clock,
    pub config: Arc<Config>,
    pub shared: Arc<Shared>,
    pub observer: Observer,
    pub streams: Streams,
    pub writer: Option<Writer<Asker>>,
    pub questions: Questions,
    pub crash: CrashFolder,
    pub stateless: Option<Arc<stateless::Settings>>,
}

impl Shell {
    /// One link per worker; what comes out of the other end of `opens` is the worker's to open.
    pub fn new(parts: Parts, opens: Vec<mpsc::UnboundedSender<Arc<Connection>>>) -> Self {
        let Parts { clock, config, shared, observer, streams, writer, questions, crash, stateless } =
            parts;
        let cell = |index| NodeCell {
            node: Mutex::new(Node::new(index, Arc::clone(&config), Arc::clone(&shared))),
            deadline: AtomicU64::new(u64::MAX),
            panics: AtomicU32::new(0),
        };
        let all = opens.len() * NODES_PER_WORKER;
        // A stateless proxy has one for its probes, which may come by a reload.
        let count = if stateless.is_some() { 1 } else { all };
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let nodes = (0..count).map(cell).collect();
        let link = |opens| WorkerLink {
            wake_at: AtomicU64::new(u64::MAX),
            timer: Notify::new(),
            datagrams: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            opens,
        };
        let links = opens.into_iter().map(link).collect();
        let draining = AtomicBool::new(false);
        Self {
            clock,
            config: ArcSwap::new(config),
            shared,
            observer,
            streams,
            writer,
            questions,
            links,
            crash,
            stateless: stateless.map(ArcSwap::new),
            draining,
            spread_random: AtomicBool::new(false),
            nodes,
        }
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node that owns a message; a message without a Call-ID will be refused by whichever reads it.
    pub fn owner(&self, message: &[u8]) -> u16 {
        let call_id = sip_message::peek::call_id(message).unwrap_or_default();
        let owner = sip_core::shard::owner(&self.shared.seal, call_id, self.nodes.len());
        u16::try_from(owner).unwrap_or(0)
    }

    /// Handles one input under the owner's lock. A panic costs this input, not the node and not the thread: false then.
    pub fn handle(&self, now: Instant, index: u16, input: Input, out: &mut Outbox) -> bool {
        let Some(cell) = self.nodes.get(usize::from(index)) else { return true };
        let mut node = cell.node.lock();
        let handled = catch_unwind(AssertUnwindSafe(|| {
            if let Input::Message { bytes, .. } = &input {
                crash::test_hook(bytes);
            }
            node.handle(now, input, out);
        }));
        if handled.is_err() {
            out.clear();
            if cell.panics.fetch_add(1, Ordering::Relaxed) + 1 >= PANICS_MAX {
                cell.panics.store(0, Ordering::Relaxed);
                *node = Node::new(index, self.config.load_full(), Arc::clone(&self.shared));
                if index == TENDING {
                    node.handle(now, self.tend(), out);
                }
            }
        }
        let deadline = node.next_deadline().unwrap_or(Instant::FAR);
        drop(node);
        self.set_deadline(cell, index, deadline);
        handled.is_ok()
    }

    /// A gateway as the store keeps it.
    pub fn gateway_row(&self, name: &str) -> Option<store::GatewayRow> {
        let dispatcher = &self.config.load().dispatcher;
        start::gateway::row(dispatcher.gateway(name)?, dispatcher, &self.shared)
    }

    /// What the node is told that asks the gateways.
    pub fn tend(&self) -> Input {
        Input::Command(Command::Tend { nodes: self.nodes.len() })
    }

    /// Wakes the node's worker only if it would sleep too long: with timers pending it almost never would.
    fn set_deadline(&self, cell: &NodeCell, index: u16, deadline: Instant) {
        if cell.deadline.load(Ordering::Relaxed) == deadline.0 {
            return;
        }
        cell.deadline.store(deadline.0, Ordering::SeqCst);
        let Some(link) = self.links.get(usize::from(index) / NODES_PER_WORKER) else { return };
        if deadline.0 < link.wake_at.load(Ordering::SeqCst)
            && deadline.0 < link.wake_at.fetch_min(deadline.0, Ordering::SeqCst)
        {
            link.timer.notify_one();
        }
    }

    /// The nodes whose timers a worker fires.
    fn nodes_of(&self, worker: usize) -> std::ops::Range<usize> {
        let first = worker * NODES_PER_WORKER;
        first.min(self.nodes.len())..(first + NODES_PER_WORKER).min(self.nodes.len())
    }

    /// Those of a worker's nodes that are due.
    pub fn due(&self, worker: usize, now: Instant) -> impl Iterator<Item = u16> {
        self.nodes_of(worker).filter_map(move |index| {
            let cell = self.nodes.get(index)?;
            let due = cell.deadline.load(Ordering::Relaxed) <= now.0;
            due.then(|| u16::try_from(index).ok()).flatten()
        })
    }

    /// The worker's next deadline, not before `earliest`; remembered so that an earlier one wakes it.
    pub fn plan_wake(&self, worker: usize, earliest: Instant) -> Instant {
        let Some(link) = self.links.get(worker) else { return Instant::FAR };
        // Whoever sets a deadline from here on sees this and wakes us; whoever did before is seen below.
        link.wake_at.store(u64::MAX, Ordering::SeqCst);
        let cells = self.nodes.get(self.nodes_of(worker)).unwrap_or_default();
        let next = cells.iter().map(|cell| cell.deadline.load(Ordering::SeqCst)).min();
        let at = Instant(next.unwrap_or(u64::MAX)).max(earliest);
        if at < Instant::FAR {
            link.wake_at.fetch_min(at.0, Ordering::SeqCst);
        }
        at
    }

    pub async fn timer_changed(&self, worker: usize) {
        match self.links.get(worker) {
            Some(link) => link.timer.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Bindings of phones behind NATs that were found at the start: each is pinged by the node that will take its next
    /// REGISTER.
    pub fn watch_bindings(&self) {
        let (now, count) = (self.clock.now(), self.nodes.len());
        let mut found: Vec<Vec<Watched>> = vec![Vec::new(); count];
        for (call_id, watched) in self.shared.location.to_watch(now) {
            let owner = sip_core::shard::owner(&self.shared.seal, call_id.as_bytes(), count);
            found.get_mut(owner).map(|list| list.push(watched)).unwrap_or_default();
        }
        let mut out = Outbox::default();
        for (index, list) in (0..).zip(found).filter(|(_, list)| !list.is_empty()) {
            self.handle(now, index, Input::Command(Command::Watch(list)), &mut out);
        }
    }

    /// Another configuration, for every message from now on. It changes nothing of what is under way.
    pub fn adopt(&self, config: &Arc<Config>, stateless: Option<Arc<stateless::Settings>>) {
        self.config.store(Arc::clone(config));
        if let (Some(place), Some(stateless)) = (&self.stateless, stateless) {
            place.store(stateless);
        }
        let mut out = Outbox::default();
        for index in 0..self.nodes.len() {
            if let Ok(index) = u16::try_from(index) {
                let input = Input::Config(Arc::clone(config));
                self.handle(self.clock.now(), index, input, &mut out);
            }
        }
    }

    /// No new calls from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let mut out = Outbox::default();
        for index in 0..self.nodes.len() {
            if let Ok(index) = u16::try_from(index) {
                self.handle(self.clock.now(), index, Input::Command(Command::Drain), &mut out);
            }
        }
    }

    /// The sizes of all nodes together.
    pub fn sizes(&self) -> Sizes {
        let sizes = self.nodes.iter().map(|cell| cell.node.lock().sizes());
        sizes.fold(Sizes::default(), |sum, one| Sizes {
            transactions: sum.transactions + one.transactions,
            transactions_live: sum.transactions_live + one.transactions_live,
            timers: sum.timers + one.timers,
            contexts: sum.contexts + one.contexts,
            contexts_active: sum.contexts_active + one.contexts_active,
            timers_c: sum.timers_c + one.timers_c,
            steps: sum.steps + one.steps,
            calls: sum.calls + one.calls,
            registers_pending: sum.registers_pending + one.registers_pending,
            questions: sum.questions + one.questions,
        })
    }
}
