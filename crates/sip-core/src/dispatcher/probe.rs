//! The prober: one node asks every gateway with OPTIONS whether it is there (RFC 3261 §11), for all nodes; what it learns
//! is in each gateway's [`Live`](super::live::Live). A gateway that is down is asked less and less often, and at once
//! more often when it has answered. Probes are client transactions like any others; it never answers anything.

use core::fmt::Write as _;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::gateway::{Gateway, Probe, Way};
use super::health::{Action, Event as Outcome, Health, State};
use crate::config::Listener;
use crate::flow::Flow;
use crate::locate::{Needs, Query, Resolution, Search};
use crate::output::{Ask, AskId, Event, Question};
use crate::proxy::forward::push_via;
use crate::seal::Purpose;
use crate::shard;
use crate::shared::Note;
use crate::time::{Duration, Instant};
use crate::transaction::{ClientId, ContextId, Kind, TransactionLayer};
use crate::turn::Turn;

/// Names of contexts from here on are those of probes: the proxy uses none of them.
pub const CONTEXTS: u32 = 0xffff_0000;

/// Questions to the DNS with this bit are those of probes.
const ASKS: u64 = 1 << 63;

/// The longest pause between two questions to a gateway that is down, unless the usual one is longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Between the first questions to two gateways.
const STAGGER: Duration = Duration::from_millis(20);

/// Names that are tried until one belongs to this node.
const NAMES_MAX: u32 = 1 << 16;

#[derive(Debug, Default)]
pub struct Prober {
    /// Which node this is, and how many there are; `None`: another one probes.
    place: Option<(u16, usize)>,
    entries: Vec<Entry>,
    due: BTreeSet<(Instant, usize)>,
}

#[derive(Debug)]
struct Entry {
    gateway: Arc<Gateway>,
    probe: Probe,
    health: Health,
    call_id: Box<str>,
    tag: Box<str>,
    cseq: u32,
    /// Failures in a row since it is down.
    failures: u32,
    /// The question under way, and when it was asked.
    asked: Option<(ClientId, Instant)>,
    /// An address is looked for.
    looking: Option<(AskId, Query, Box<Search>)>,
    due: Instant,
}

impl Prober {
    /// From now on this node probes. `nodes`: how many share the work, for answers come to the owner of a Call-ID.
    pub fn appoint(&mut self, turn: &Turn<'_>, index: u16, nodes: usize) {
        self.place = Some((index, nodes));
        self.configure(turn);
    }

    /// The gateways of the configuration in force; of those it knows already it goes on.
    pub fn configure(&mut self, turn: &Turn<'_>) {
        let Some((index, nodes)) = self.place else { return };
        let mut before = core::mem::take(&mut self.entries);
        self.due.clear();
        for (at, gateway) in turn.config.dispatcher.gateways().iter().enumerate() {
            let Some(probe) = gateway.probe.clone() else {
                // Nobody asks it any more, so nothing is known against it.
                gateway.live.set_health(State::Up);
                continue;
            };
            let known = before.iter().position(|entry| entry.gateway.name == gateway.name);
            let mut entry = match known.map(|at| before.swap_remove(at)) {
                Some(entry) => entry,
                None => Entry {
                    gateway: Arc::clone(gateway),
                    probe: probe.clone(),
                    health: Health::starting(gateway.live.health()),
                    call_id: call_id(turn, &gateway.name, index, nodes),
                    tag: tag(turn, &gateway.name),
                    cseq: 0,
                    failures: 0,
                    asked: None,
                    looking: None,
                    due: turn.now + STAGGER * u32::try_from(at).unwrap_or(0),
                },
            };
            (entry.gateway, entry.probe) = (Arc::clone(gateway), probe);
            self.due.insert((entry.due, self.entries.len()));
            self.entries.push(entry);
        }
    }

    /// Asks one gateway now; false if it is not one that is asked.
    pub fn ask_now(&mut self, turn: &Turn<'_>, name: &str) -> bool {
        let Some(at) = self.entries.iter().position(|entry| *entry.gateway.name == *name) else {
            return false;
        };
        let is_asked = self.entries.get(at).is_some_and(|entry| entry.asked.is_some());
        if !is_asked {
            // In a turn of its own.
            self.set_due(at, turn.now + Duration::from_micros(1));
        }
        true
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn set_due(&mut self, at: usize, due: Instant) {
        if let Some(entry) = self.entries.get_mut(at) {
            self.due.remove(&(entry.due, at));
            entry.due = due;
            self.due.insert((due, at));
        }
    }

    /// Asks who is to be asked, and gives up on who has not answered.
    pub fn tick(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) {
        while let Some(&(_, at)) = self.due.first().filter(|(due, _)| *due <= turn.now) {
            let due = match self.entries.get_mut(at) {
                Some(entry) => entry.wake(turn, transactions, at),
                None => return,
            };
            self.set_due(at, due);
        }
    }

    /// The answer to a question.
    pub fn response(
        &mut self,
        turn: &mut Turn<'_>,
        context: ContextId,
        client: ClientId,
        status: u16,
    ) {
        if status < 200 {
            return;
        }
        let is_good = |entry: &Entry| entry.probe.ok.contains(status);
        self.outcome(turn, context, Some(client), |entry| match is_good(entry) {
            true => Ok(status),
            false => Err(format!("it answers {status}")),
        });
    }

    /// The DNS has spoken; whether it was to a question of a probe.
    pub fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        ask: AskId,
        resolution: &Resolution,
    ) -> bool {
        if ask.0 & ASKS == 0 {
            return false;
        }
        let is_it = |entry: &Entry| entry.looking.as_ref().is_some_and(|(id, ..)| *id == ask);
        let Some(at) = self.entries.iter().position(is_it) else { return true };
        let Some(entry) = self.entries.get_mut(at) else { return true };
        let Some((_, query, mut search)) = entry.looking.take() else { return true };
        let hops = &turn.shared.hops;
        let is_silent = *resolution == Resolution::Failed;
        let found = hops.store(turn.now, query, resolution.clone());
        let needs = search.answer(turn.now, turn.config, hops, (&found, is_silent));
        let due = entry.look(turn, transactions, at, (search, needs));
        self.set_due(at, due);
        true
    }

    /// It could not be sent, or the transaction has timed out.
    pub fn failed(&mut self, turn: &mut Turn<'_>, context: ContextId) {
        self.outcome(turn, context, None, |_| Err("it cannot be reached".to_owned()));
    }

    fn outcome(
        &mut self,
        turn: &mut Turn<'_>,
        context: ContextId,
        client: Option<ClientId>,
        read: impl FnOnce(&Entry) -> Result<u16, String>,
    ) {
        let at = (context.0 - CONTEXTS) as usize;
        let Some(entry) = self.entries.get_mut(at) else { return };
        let is_it = |asked: ClientId| client.is_none_or(|client| client == asked);
        // What answers an older question comes too late.
        let Some((_, asked_at)) = entry.asked.take_if(|(asked, _)| is_it(*asked)) else { return };
        let result = read(entry);
        entry.learn(turn, result, Some(asked_at));
        let due = asked_at + entry.pause();
        self.set_due(at, due.max(turn.now));
    }
}

impl Entry {
    /// What is due now; when something is the next time.
    fn wake(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        at: usize,
    ) -> Instant {
        self.looking = None;
        if let Some((client, asked_at)) = self.asked.take() {
            transactions.give_up(turn.now, client, turn.out);
            let silent = format!("no answer in {} s", self.probe.timeout.as_secs_f32());
            self.learn(turn, Err(silent), None);
            let due = asked_at + self.pause();
            if due > turn.now {
                return due;
            }
        }
        if self.gateway.live.is_disabled() {
            return turn.now + self.probe.every;
        }
        match self.gateway.way.clone() {
            Way::Flow(flow) => self.ask(turn, transactions, at, flow),
            Way::Name(sought) => {
                let key = turn.shared.seal.mac(Purpose::Path, &[self.call_id.as_bytes()]);
                let mut search = Box::new(Search::new(&sought, key, turn.config));
                let needs = search.next(turn.now, turn.config, &turn.shared.hops);
                self.look(turn, transactions, at, (search, needs))
            }
        }
    }

    /// Sends the question.
    fn ask(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        at: usize,
        flow: Flow,
    ) -> Instant {
        match self.send(turn, transactions, at, flow) {
            Some(client) => {
                self.asked = Some((client, turn.now));
                turn.now + self.probe.timeout
            }
            None => turn.now + self.probe.every,
        }
    }

    /// RFC 3263 §4: goes on looking for an address of its name.
    fn look(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        at: usize,
        (mut search, mut needs): (Box<Search>, Needs),
    ) -> Instant {
        loop {
            needs = match needs {
                Needs::Query(query, until) => {
                    let id = AskId(ASKS | turn.now.0 << 8 | at as u64 & 0xff);
                    let question = Question::Resolve { query: query.clone(), until };
                    turn.out.asks.push(Ask { id, question });
                    self.looking = Some((id, query, search));
                    return until.max(turn.now + Duration::from_millis(1));
                }
                Needs::Try(to) => match turn.config.flow_to(to.transport, to.address) {
                    Some(flow) => return self.ask(turn, transactions, at, flow),
                    None => search.next(turn.now, turn.config, &turn.shared.hops),
                },
                Needs::End(_) => {
                    self.learn(turn, Err("its name leads nowhere".to_owned()), None);
                    return turn.now + self.pause();
                }
            };
        }
    }

    /// How long after the last question the next one is asked.
    fn pause(&self) -> Duration {
        let every = self.probe.every;
        let longest = PAUSE_MAX.max(every);
        every.saturating_mul(1 << self.failures.min(16)).min(longest)
    }

    fn learn(&mut self, turn: &mut Turn<'_>, result: Result<u16, String>, asked: Option<Instant>) {
        let live = &self.gateway.live;
        if let Some(asked_at) = asked {
            let latency = turn.now.since(asked_at).as_micros();
            live.set_latency_us(u32::try_from(latency).unwrap_or(u32::MAX));
        }
        live.count_probe(result.as_ref().copied().unwrap_or(0));
        let outcome = if result.is_ok() { Outcome::Answered } else { Outcome::Failed };
        let before = self.health.state;
        let action = self.health.on_event(outcome, self.probe.thresholds);
        let state = self.health.state;
        self.failures = match (state, &result) {
            (State::Down, Err(_)) if before == State::Down => self.failures.saturating_add(1),
            _ => 0,
        };
        let why = match &result {
            Ok(status) => format!("it answers {status}"),
            Err(why) => why.clone(),
        };
        if state != before {
            let note = Note { since: turn.now, by: "".into(), why: why.as_str().into() };
            turn.shared.gateways.set_health(&self.gateway.name, state, note);
        }
        if action != Action::Nothing {
            turn.out.events.push(Event::GatewayChanged {
                gateway: self.gateway.name.clone(),
                state: state.word(),
                why: why.into(),
            });
        }
    }

    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        at: usize,
        flow: Flow,
    ) -> Option<ClientId> {
        let listener = turn.config.listener(flow.listener)?;
        let context = ContextId(CONTEXTS + u32::try_from(at).ok()?);
        let (client, branch) = transactions.reserve(Kind::NonInvite, context, 0, 0).ok()?;
        self.cseq = self.cseq % 0x7fff_ffff + 1;
        let mut via = Vec::new();
        push_via(listener, &branch, &mut via);
        let wire = self.text(listener, &String::from_utf8_lossy(&via));
        transactions.send(turn.now, client, flow, wire.into(), turn.out);
        Some(client)
    }

    fn text(&self, listener: &Listener, via: &str) -> String {
        let mut text = String::new();
        let (host, us) = (&self.gateway.host, &listener.advertised);
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "OPTIONS sip:{host} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:{us}>;tag={}\r\n\
             To: <sip:{host}>\r\nCall-ID: {}\r\nCSeq: {} OPTIONS\r\nContact: <sip:{us}>\r\n\
             Accept: application/sdp\r\nContent-Length: 0\r\n\r\n",
            self.tag, self.call_id, self.cseq
        );
        text
    }
}

/// A Call-ID whose owner is this node: its answers come here.
fn call_id(turn: &Turn<'_>, name: &str, index: u16, nodes: usize) -> Box<str> {
    let seal = &turn.shared.seal;
    let one = |n: u32| {
        let parts: [&[u8]; 4] =
            [b"probe", name.as_bytes(), &n.to_be_bytes(), &turn.now.0.to_be_bytes()];
        format!("probe-{:016x}", seal.mac(Purpose::Table, &parts))
    };
    let is_ours =
        |call_id: &String| shard::owner(seal, call_id.as_bytes(), nodes) == usize::from(index);
    (0..NAMES_MAX).map(one).find(is_ours).unwrap_or_default().into()
}

fn tag(turn: &Turn<'_>, name: &str) -> Box<str> {
    let parts: [&[u8]; 3] = [b"probe", name.as_bytes(), &turn.now.0.to_be_bytes()];
    format!("{:016x}", turn.shared.seal.mac(Purpose::Tag, &parts)).into()
}
