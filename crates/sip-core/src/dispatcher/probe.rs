//! The prober: one node asks every gateway with OPTIONS whether it is there (RFC 3261 §11), for all nodes; what it learns
//! is in each gateway's [`Live`](super::live::Live). A gateway that is down is asked less and less often, and at once
//! more often when it has answered. Probes are client transactions like any others; it never answers anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chore::{Chore, Place, Progress};
use super::gateway::Probe;
use super::health::{Action, Event as Outcome, Health, State};
use crate::config::Listener;
use crate::flow::Flow;
use crate::locate::Resolution;
use crate::output::{AskId, Event};
use crate::shared::Note;
use crate::time::{Duration, Instant};
use crate::transaction::{ClientId, ContextId, TransactionLayer};
use crate::turn::Turn;

/// Names of contexts from here on are those of chores: the proxy uses none of them. First those of probes.
pub const CONTEXTS: u32 = 0xffff_0000;

/// The longest pause between two questions to a gateway that is down, unless the usual one is longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Between the first questions to two gateways.
const STAGGER: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct Prober {
    /// `None`: another node probes.
    place: Option<Place>,
    entries: Vec<Entry>,
    due: BTreeSet<(Instant, usize)>,
}

#[derive(Debug)]
struct Entry {
    chore: Chore,
    probe: Probe,
    health: Health,
    /// Failures in a row since it is down.
    failures: u32,
    due: Instant,
}

impl Prober {
    /// From now on this node probes.
    pub fn appoint(&mut self, turn: &Turn<'_>, place: Place) {
        self.place = Some(place);
        self.configure(turn);
    }

    /// The gateways of the configuration in force; of those it knows already it goes on.
    pub fn configure(&mut self, turn: &Turn<'_>) {
        let Some(place) = self.place else { return };
        let mut before = core::mem::take(&mut self.entries);
        self.due.clear();
        for (at, gateway) in turn.config.dispatcher.gateways().iter().enumerate() {
            let Some(probe) = gateway.probe.clone() else {
                // Nobody asks it any more, so nothing is known against it.
                gateway.live.set_health(State::Up);
                continue;
            };
            let known = before.iter().position(|entry| entry.chore.gateway.name == gateway.name);
            let mut entry = match known.map(|at| before.swap_remove(at)) {
                Some(entry) => entry,
                None => Entry {
                    chore: Chore::new(turn, gateway, "probe", place),
                    probe: probe.clone(),
                    health: Health::starting(gateway.live.health()),
                    failures: 0,
                    due: turn.now + STAGGER * u32::try_from(at).unwrap_or(0),
                },
            };
            entry.chore.gateway = Arc::clone(gateway);
            entry.probe = probe;
            let number = u32::try_from(self.entries.len()).unwrap_or(0);
            entry.chore.set_context(ContextId(CONTEXTS + number));
            self.due.insert((entry.due, self.entries.len()));
            self.entries.push(entry);
        }
    }

    /// Asks one gateway now; false if it is not one that is asked.
    pub fn ask_now(&mut self, turn: &Turn<'_>, name: &str) -> bool {
        let is_it = |entry: &Entry| *entry.chore.gateway.name == *name;
        let Some(at) = self.entries.iter().position(is_it) else { return false };
        let is_asked = self.entries.get(at).is_some_and(|entry| entry.chore.is_asked());
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
                Some(entry) => entry.wake(turn, transactions),
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
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(at) else { break };
            let answer = (ask, resolution);
            let progress = entry.chore.resolved(turn, transactions, answer, &mut letter);
            if let Some(progress) = progress {
                let due = entry.after(turn, progress);
                self.set_due(at, due);
                return true;
            }
        }
        false
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
        // What answers an older question comes too late.
        let Some(asked_at) = entry.chore.ended(client) else { return };
        let result = read(entry);
        entry.learn(turn, result, Some(asked_at));
        let due = asked_at + entry.pause();
        self.set_due(at, due.max(turn.now));
    }
}

impl Entry {
    /// What is due now; when something is the next time.
    fn wake(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) -> Instant {
        if let Some(asked_at) = self.chore.give_up(turn, transactions) {
            let silent = format!("no answer in {} s", self.probe.timeout.as_secs_f32());
            self.learn(turn, Err(silent), None);
            let due = asked_at + self.pause();
            if due > turn.now {
                return due;
            }
        }
        if self.chore.gateway.live.is_disabled() {
            return turn.now + self.probe.every;
        }
        let progress = self.chore.begin(turn, transactions, &mut letter);
        self.after(turn, progress)
    }

    /// When something is to be done again.
    fn after(&mut self, turn: &mut Turn<'_>, progress: Progress) -> Instant {
        match progress {
            Progress::Sent => turn.now + self.probe.timeout,
            Progress::Looking(until) => until,
            Progress::Nowhere => {
                self.learn(turn, Err("its name leads nowhere".to_owned()), None);
                turn.now + self.pause()
            }
        }
    }

    /// How long after the last question the next one is asked.
    fn pause(&self) -> Duration {
        let every = self.probe.every;
        let longest = PAUSE_MAX.max(every);
        every.saturating_mul(1 << self.failures.min(16)).min(longest)
    }

    fn learn(&mut self, turn: &mut Turn<'_>, result: Result<u16, String>, asked: Option<Instant>) {
        let live = &self.chore.gateway.live;
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
            turn.shared.gateways.set_health(&self.chore.gateway.name, state, note);
        }
        if action != Action::Nothing {
            turn.out.events.push(Event::GatewayChanged {
                gateway: self.chore.gateway.name.clone(),
                state: state.word(),
                why: why.into(),
            });
        }
    }
}

/// RFC 3261 §11.1.
fn letter(chore: &Chore, listener: &Listener, _: &Flow, via: &str) -> String {
    let Chore { gateway, call_id, tag, cseq, .. } = chore;
    let (host, us) = (&gateway.host, &listener.advertised);
    format!(
        "OPTIONS sip:{host} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:{us}>;tag={tag}\r\n\
         To: <sip:{host}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} OPTIONS\r\nContact: <sip:{us}>\r\n\
         Accept: application/sdp\r\nContent-Length: 0\r\n\r\n"
    )
}
