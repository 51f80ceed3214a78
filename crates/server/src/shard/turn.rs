//! One thread's turn: inputs go into nodes, and what they want done is done here once the locks are free. Everything in
//! it is reused from turn to turn. It decides nothing about a message.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use bytes::Bytes;
use sip_core::flow::{Flow, ListenerId};
use sip_core::input::{Answer, Input};
use sip_core::locate::Resolution;
use sip_core::output::{Ask, ClientToken, Event, Outbox, Question, Transmit};
use sip_core::route::{early, nat};
use sip_core::stateless::{Forwarder, Settings};
use sip_core::time::Instant;
use sip_core::transaction::Branch;
use store::BanWrite;
use udp::{AsyncSocket, Failure, Flush, Outgoing};

use super::{Shell, TENDING, crash};
use crate::resolver::Asked;
use crate::stream::{Connection, Refusal};

/// Datagrams that may wait for a full socket; beyond it they are lost, as datagrams may be.
const WAITING_MAX: usize = 8_192;

/// Failures that beget transmits that fail: more rounds than this in one turn is a loop.
const ROUNDS_MAX: usize = 64;

/// Who must hear if this cannot be sent.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    node: u16,
    token: Option<ClientToken>,
}

struct Udp {
    socket: Arc<AsyncSocket>,
    outgoing: Outgoing<Bytes, Tag>,
}

pub struct Turn {
    shell: Arc<Shell>,
    outbox: Outbox,
    /// By `ListenerId`; empty places are streams.
    udp: Vec<Option<Udp>>,
    /// Connections with something new to write.
    touched: Vec<Arc<Connection>>,
    again: VecDeque<(u16, Input)>,
    /// In place of nodes.
    forwarder: Option<Forwarder>,
    failures: Vec<Failure<Tag>>,
    scratch: Vec<u8>,
    received: u64,
    sent: u64,
}

impl Turn {
    /// `sockets`: this thread's, by listener.
    pub fn new(shell: Arc<Shell>, sockets: &[(ListenerId, Arc<AsyncSocket>)]) -> Self {
        let mut udp: Vec<Option<Udp>> = Vec::new();
        udp.resize_with(shell.config.load().listeners.len(), || None);
        for (listener, socket) in sockets {
            if let Some(place) = udp.get_mut(usize::from(listener.0)) {
                *place =
                    Some(Udp { socket: Arc::clone(socket), outgoing: Outgoing::new().merging() });
            }
        }
        let settings = shell.stateless.as_ref();
        let forwarder =
            settings.map(|set| Forwarder::new(set.load_full(), shell.shared.seal.clone()));
        Self {
            shell,
            outbox: Outbox::default(),
            forwarder,
            udp,
            touched: Vec::new(),
            again: VecDeque::new(),
            failures: Vec::new(),
            scratch: Vec::new(),
            received: 0,
            sent: 0,
        }
    }

    /// A whole message, to the node that owns its call.
    pub fn message(&mut self, now: Instant, flow: Flow, raw: &[u8]) {
        self.received += 1;
        if self.refuse_early(now, flow, raw) {
            return self.carry_out(now, 0);
        }
        if self.forwarder.is_some() {
            self.forward(now, flow, raw);
            return self.carry_out(now, 0);
        }
        let node = self.shell.owner(raw);
        let input = Input::Message { flow, bytes: Bytes::copy_from_slice(raw) };
        if !self.shell.handle(now, node, input, &mut self.outbox)
            && let Some(answer) = self.shell.crash.report(&self.shell.observer, now, &flow, raw)
        {
            self.outbox.send(flow, answer);
        }
        self.carry_out(now, node);
    }

    /// What ICMP says about a datagram of ours. It can be forged; the branch in what it quotes cannot (RFC 3261 §18.4).
    pub fn refused(&mut self, now: Instant, refusal: &udp::Refusal<'_>) {
        let Some(parts) = Branch::quoted(&self.shell.shared.branch_seal, refusal.quoted) else {
            return;
        };
        let remote = refusal.target;
        self.input(now, parts.node, Input::Unreachable { token: parts.token(), remote });
    }

    /// There is too much to do, or a flood: what can be turned away is, before anybody waits for a node.
    fn refuse_early(&mut self, now: Instant, flow: Flow, raw: &[u8]) -> bool {
        let Self { shell, outbox, scratch, .. } = self;
        let shared = &shell.shared;
        let is_quiet = shared.overload.share() == 0 && !shared.sources.are_flooding(now);
        // What a member of the set sends was let in by us before.
        let is_member = |set: &ArcSwap<Settings>| set.load().has_member(flow.remote.ip());
        if is_quiet || shell.stateless.as_ref().is_some_and(is_member) {
            return false;
        }
        let config = &shell.config.load();
        let mut turn = sip_core::turn::Turn { now, config, shared, draining: false, out: outbox };
        early::refuse(&mut turn, &flow, raw, scratch)
    }

    /// A whole message of a stateless proxy: no node, no lock.
    fn forward(&mut self, now: Instant, flow: Flow, raw: &[u8]) {
        let Self { shell, outbox, forwarder, .. } = self;
        let (Some(forwarder), Some(settings)) = (forwarder, &shell.stateless) else { return };
        forwarder.renew(&settings.load());
        let draining = shell.draining.load(Ordering::Relaxed);
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let (config, shared) = (&shell.config.load(), &shell.shared);
            let mut turn = sip_core::turn::Turn { now, config, shared, draining, out: outbox };
            let bytes = Bytes::copy_from_slice(raw);
            crash::test_hook(&bytes);
            forwarder.handle(&mut turn, &flow, bytes)
        }));
        if matches!(handled, Ok(false)) {
            let input = Input::Message { flow, bytes: Bytes::copy_from_slice(raw) };
            shell.handle(now, TENDING, input, outbox);
        }
        if handled.is_err() {
            outbox.clear();
            if let Some(answer) = shell.crash.report(&shell.observer, now, &flow, raw) {
                outbox.send(flow, answer);
            }
        }
    }

    /// Anything else.
    pub fn input(&mut self, now: Instant, node: u16, input: Input) {
        if !self.shell.handle(now, node, input, &mut self.outbox) {
            self.shell.crash.note(&self.shell.observer, now);
        }
        self.carry_out(now, node);
    }

    /// Sorts what the node left in the outbox to where it belongs. The sending itself is `flush`'s.
    fn carry_out(&mut self, now: Instant, node: u16) {
        let Self { shell, outbox, udp, touched, again, sent, .. } = self;
        for Transmit { flow, bytes, token, second } in outbox.transmits.drain(..) {
            *sent += 1;
            let tag = Tag { node, token };
            if !flow.transport.is_reliable() {
                match udp.get_mut(usize::from(flow.listener.0)) {
                    Some(Some(udp)) if udp.outgoing.len() < WAITING_MAX => {
                        udp.outgoing.push(flow.remote, bytes, tag);
                    }
                    _ => fail(again, tag),
                }
                continue;
            }
            let mut queued = shell.streams.send(shell, &flow, bytes.clone(), tag);
            let refused = queued.is_err();
            // Only when there is need: a response finds its way back by its own Via.
            let second =
                second.or_else(|| if refused { nat::way_back(&bytes, &flow) } else { None });
            if let Some(second) = second.filter(|_| refused) {
                queued = shell.streams.send(shell, &second, bytes, tag);
            }
            match queued {
                Ok(connection) => {
                    if !touched.last().is_some_and(|last| Arc::ptr_eq(last, &connection)) {
                        touched.push(connection);
                    }
                }
                Err(Refusal) => fail(again, tag),
            }
        }
        for ask in outbox.asks.drain(..) {
            let id = ask.id;
            if let Err(answer) = put(shell, node, ask) {
                again.push_back((node, Input::Answer { ask: id, answer }));
            }
        }
        for event in outbox.events.drain(..) {
            shell.observer.event(now, &event);
            // A full queue forgets it at the next restart.
            match (event, &shell.writer) {
                (Event::Banned { row, .. }, Some(writer)) => {
                    let _ = writer.push_ban(BanWrite::Put(row));
                }
                (Event::GatewayChanged { gateway, .. }, Some(writer)) => {
                    let row = shell.gateway_row(&gateway);
                    let _ = row.map(|row| writer.push_gateway(row));
                }
                _ => {}
            }
        }
    }

    /// Sends everything, one system call per batch. `Blocked` when a socket is full: wait for it, then flush again.
    pub fn flush(&mut self, now: Instant) -> Flush {
        let mut flush = Flush::Done;
        for _ in 0..ROUNDS_MAX {
            while let Some((node, input)) = self.again.pop_front() {
                self.input(now, node, input);
            }
            flush = self.send(now);
            if self.again.is_empty() {
                break;
            }
        }
        self.again.clear();
        let counters = &self.shell.observer.counters;
        counters.messages_received.add(std::mem::take(&mut self.received));
        counters.messages_sent.add(std::mem::take(&mut self.sent));
        flush
    }

    fn send(&mut self, now: Instant) -> Flush {
        let Self { shell, udp, touched, again, failures, .. } = self;
        let mut flush = Flush::Done;
        for udp in udp.iter_mut().flatten().filter(|udp| !udp.outgoing.is_empty()) {
            if udp.socket.flush(&mut udp.outgoing, |failure| failures.push(failure))
                == Flush::Blocked
            {
                flush = Flush::Blocked;
            }
        }
        for failure in failures.drain(..) {
            shell.observer.counters.sends_failed.one();
            shell.observer.undeliverable(now, failure.target, &failure.error);
            fail(again, failure.tag);
        }
        for connection in touched.drain(..) {
            for tag in connection.flush() {
                fail(again, tag);
            }
        }
        flush
    }

    /// Messages that will never be sent: their senders must hear.
    pub fn failed(&mut self, tags: impl IntoIterator<Item = Tag>) {
        for tag in tags {
            fail(&mut self.again, tag);
        }
    }
}

/// Puts a question before whoever can answer it; the answer at once, if nobody can.
fn put(shell: &Shell, node: u16, Ask { id, question }: Ask) -> Result<(), Answer> {
    let asker = (node, id);
    match question {
        Question::Store(writes) => {
            let pushed = shell.writer.as_ref().map(|writer| writer.push(writes, Some(asker)));
            if matches!(pushed, Some(Ok(_))) {
                return Ok(());
            }
            Err(Answer::StoreFailed("the queue of the store is full".to_owned()))
        }
        Question::Resolve { query, until } => shell
            .questions
            .try_send(Asked { query, until, asker })
            .map_err(|_| Answer::Resolved(Resolution::Failed)),
    }
}

fn fail(again: &mut VecDeque<(u16, Input)>, tag: Tag) {
    if let Some(token) = tag.token {
        again.push_back((tag.node, Input::SendFailed { token }));
    }
}
