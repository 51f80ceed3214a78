//! The loop of `call`: waits for whatever comes first, the agent, the clock, a key or a signal, until nothing is left to
//! wait for.

use std::net::IpAddr;
use std::time::Duration;

use media::codec::event::Key;
use sip_core::flow::Transport;
use sip_core::time::Instant;
use sip_core::ua::{Body, CallId, CallOptions, Command, EndedBy};
use tokio::sync::mpsc;

use super::leg::{Leg, LegError, address_towards};
use super::note::{Note, Report, What};
use super::plan::{Action, Outgoing, Plan};
use super::verdict;
use crate::engine::Engine;
use crate::failure::{Kind, Trouble};
use crate::interrupt::Interrupt;

/// The peer may take so long to answer a BYE.
const FAREWELL: Duration = Duration::from_secs(2);
/// Keys that came and nobody has read.
const KEYS_MAX: usize = 64;

/// How it ended.
#[derive(Debug)]
pub struct Done {
    /// Of the calls, in the order of their end.
    pub reports: Vec<Report>,
    pub interrupted: bool,
    /// The first thing that did not go as it should.
    pub trouble: Option<Trouble>,
}

/// Something to do at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// No response came.
    Silence,
    Answer,
    HangUp,
    Script,
    Show,
    /// Our BYE was not answered.
    GiveUp,
}

/// A call for advice before an attended transfer: of whom, and by which call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consultation {
    pub transferred: CallId,
    pub with: CallId,
    /// The peer was asked to take our place there.
    pub is_referred: bool,
}

pub struct Phone<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) plan: &'a Plan,
    notes: &'a mut dyn FnMut(&Note),
    pub(super) legs: Vec<(usize, Leg)>,
    begun: usize,
    pub(super) due: Vec<(Instant, CallId, Due)>,
    pub(super) consultation: Option<Consultation>,
    keys: mpsc::Sender<(CallId, Key)>,
    keys_heard: mpsc::Receiver<(CallId, Key)>,
    reports: Vec<Report>,
    trouble: Option<Trouble>,
    leaving: bool,
}

impl<'a> Phone<'a> {
    pub fn new(engine: &'a mut Engine, plan: &'a Plan, notes: &'a mut dyn FnMut(&Note)) -> Self {
        let (keys, keys_heard) = mpsc::channel(KEYS_MAX);
        Self {
            engine,
            plan,
            notes,
            legs: Vec::new(),
            begun: 0,
            due: Vec::new(),
            consultation: None,
            keys,
            keys_heard,
            reports: Vec::new(),
            trouble: None,
            leaving: false,
        }
    }

    /// Does what the plan says. `actions` come from a keyboard.
    pub async fn run(
        mut self,
        actions: &mut mpsc::Receiver<Action>,
        interrupt: &mut Interrupt,
    ) -> Result<Done, Trouble> {
        if let Some(call) = &self.plan.call {
            self.place(call, CallOptions::default())?;
        }
        let mut interrupted = false;
        while !self.is_done() {
            let due = self.due.iter().map(|(at, ..)| *at).min();
            let clock = *self.engine.clock();
            tokio::select! {
                event = self.engine.next() => self.on_event(event),
                () = until(clock, due) => self.on_time(),
                Some((call, key)) = self.keys_heard.recv() => self.on_key(call, key),
                Some(action) = actions.recv() => self.act_now(action),
                () = interrupt.next() => {
                    interrupted = true;
                    break;
                }
            }
        }
        if interrupted {
            self.leave(interrupt).await;
        }
        // What is still here was never said goodbye to.
        for id in self.ids() {
            self.end(id, None, Some("we left".to_owned()), None);
        }
        Ok(Done { reports: self.reports, interrupted, trouble: self.trouble })
    }

    fn is_done(&self) -> bool {
        if !self.legs.is_empty() {
            return false;
        }
        match &self.plan.answer {
            None => true,
            Some(answering) => {
                self.leaving
                    || answering.count.is_some_and(|count| self.reports.len() >= count as usize)
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<CallId> {
        self.legs.iter().map(|(_, leg)| leg.id).collect()
    }

    /// Hangs everything up, and waits a moment for the answers.
    async fn leave(&mut self, interrupt: &mut Interrupt) {
        self.leaving = true;
        for id in self.ids() {
            self.hang_up(id);
        }
        while !self.legs.is_empty() {
            let due = self.due.iter().map(|(at, ..)| *at).min();
            let clock = *self.engine.clock();
            tokio::select! {
                event = self.engine.next() => self.on_event(event),
                () = until(clock, due) => self.on_time(),
                () = interrupt.next() => return,
            }
        }
    }

    /// Places a call.
    pub(super) fn place(&mut self, to: &Outgoing, with: CallOptions) -> Result<CallId, Trouble> {
        let what = format!("call to {}", to.name);
        let call = self.engine.new_call();
        let mut leg = self.leg(call, &to.name, None).map_err(|error| leg_trouble(&what, &error))?;
        let offer = leg.offer().map_err(|error| leg_trouble(&what, &error))?;
        self.add(leg);
        self.say(call, What::Calling { name: to.name.clone(), whom: to.whom.clone() });
        let patience = self.engine.now() + self.plan.timeout;
        self.due.push((patience, call, Due::Silence));
        let uri = to.uri.clone();
        let to = to.uri.as_str().into();
        self.engine.command(Command::Call { call, to, body: Some(offer), with });
        let call_id = self.engine.invited().to_owned();
        self.with(call, |leg| {
            leg.call_id = call_id;
            leg.uri = uri;
        });
        Ok(call)
    }

    /// A new leg. `offer` is the peer's, if it made one: where we listen at every address, it says which one is ours.
    pub(super) fn leg(
        &self,
        call: CallId,
        peer: &str,
        offer: Option<&Body>,
    ) -> Result<Leg, LegError> {
        let listener = self.engine.settings().listeners.first();
        let local = listener.map_or(IpAddr::from([0, 0, 0, 0]), |l| l.address.ip());
        let advertised = if local.is_unspecified() { address_towards(local, offer) } else { local };
        let audio = self.plan.audio.clone();
        let audio = audio.numbered(self.begun);
        Leg::new(call, peer, self.engine.now(), local, advertised, audio)
    }

    /// Whom a request to somebody goes to first, in words.
    pub(super) fn next_hop(&self, name: &str) -> String {
        self.engine.settings().proxy.as_ref().map_or_else(
            || name.to_owned(),
            |hop| format!("{}:{hop}", hop.transport.unwrap_or(Transport::Udp)),
        )
    }

    pub(super) fn add(&mut self, leg: Leg) {
        self.legs.push((self.begun, leg));
        self.begun += 1;
    }

    /// Does something with a leg, if it is still there.
    pub(super) fn with<T>(&mut self, call: CallId, act: impl FnOnce(&mut Leg) -> T) -> Option<T> {
        self.legs.iter_mut().find(|(_, leg)| leg.id == call).map(|(_, leg)| act(leg))
    }

    pub(super) fn say(&mut self, call: CallId, what: What) {
        let number = self.legs.iter().find(|(_, leg)| leg.id == call).map_or(0, |(n, _)| *n);
        self.note(number, what);
    }

    fn note(&mut self, call: usize, what: What) {
        (self.notes)(&Note { at: self.engine.now(), call, what });
    }

    pub(super) fn forget(&mut self, call: CallId, kind: Due) {
        self.due.retain(|(_, of, due)| !(*of == call && *due == kind));
    }

    /// Starts the audio, or goes on as agreed now.
    pub(super) fn run_audio(&mut self, call: CallId) -> Result<(), LegError> {
        let (clock, keys) = (*self.engine.clock(), self.keys.clone());
        self.with(call, |leg| leg.run_audio(clock, &keys)).unwrap_or(Ok(()))
    }

    /// The call stands: everything that is timed from here.
    pub(super) fn answered(&mut self, call: CallId, ours: bool) {
        let now = self.engine.now();
        self.with(call, |leg| {
            leg.moments.answered.get_or_insert(now);
            leg.code = Some(200);
        });
        if let Err(error) = self.run_audio(call) {
            let trouble = leg_trouble("the audio", &error);
            self.blame(trouble);
            return self.hang_up(call);
        }
        let agreed = self
            .with(call, |leg| leg.agreement().map(|a| (a.codec.to_string(), a.remote.to_string())));
        let (codec, remote) = agreed.flatten().unzip();
        self.say(call, What::Answered { codec, remote, ours });
        if let Some(talk) = self.plan.talk {
            self.due.push((now + talk, call, Due::HangUp));
        }
        if let Some((first, _)) = self.plan.script.first() {
            self.due.push((now + *first, call, Due::Script));
        }
        if let Some(every) = self.plan.show_every {
            self.due.push((now + every, call, Due::Show));
        }
    }

    /// Remembers the first failure.
    pub(super) fn blame(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
    }

    /// The leg is over: its last numbers, its report, its verdict.
    pub(super) fn end(
        &mut self,
        call: CallId,
        by: Option<EndedBy>,
        reason: Option<String>,
        failed: Option<Trouble>,
    ) {
        let Some(at) = self.legs.iter().position(|(_, leg)| leg.id == call) else { return };
        self.due.retain(|(_, of, _)| *of != call);
        let now = self.engine.now();
        let (number, mut leg) = self.legs.remove(at);
        if let Err(why) = leg.finish(now) {
            let words = format!("the recording is not whole: {why}");
            self.note(number, What::Warning { words });
        }
        let mut report = Report::new(number, &leg, by, reason);
        report.trouble = verdict::of(self.plan, &report, leg.agreement(), failed);
        if report.trouble.is_none()
            && let Some(words) = verdict::doubt(&report, leg.agreement())
        {
            self.note(number, What::Warning { words });
        }
        if let Some(trouble) = report.trouble.clone() {
            self.blame(trouble);
        }
        self.note(number, What::Ended(Box::new(report.clone())));
        self.reports.push(report);
        self.consultation_ended(call);
    }

    fn on_time(&mut self) {
        let now = self.engine.now();
        let (ripe, rest): (Vec<_>, Vec<_>) = self.due.drain(..).partition(|(at, ..)| *at <= now);
        self.due = rest;
        for (_, call, due) in ripe {
            match due {
                Due::Silence => self.silence(call),
                Due::Answer => self.answer(call),
                Due::HangUp => self.hang_up(call),
                Due::Script => self.script(call),
                Due::Show => self.show(call),
                Due::GiveUp => {
                    self.end(call, Some(EndedBy::Us), Some("no answer to BYE".to_owned()), None)
                }
            }
        }
    }

    /// Ends a call politely: the sound stops now, the call when the peer has answered.
    pub(super) fn hang_up(&mut self, call: CallId) {
        let now = self.engine.now();
        let finished = self.with(call, |leg| match leg.moments.answered {
            Some(_) => leg.finish(now),
            None => Ok(()),
        });
        if let Some(Err(why)) = finished {
            self.say(call, What::Warning { words: format!("the recording is not whole: {why}") });
        }
        self.due.retain(|(_, of, _)| *of != call);
        self.due.push((now + FAREWELL, call, Due::GiveUp));
        self.engine.command(Command::HangUp { call });
    }

    fn silence(&mut self, call: CallId) {
        let Some(peer) = self.with(call, |leg| leg.peer.clone()) else { return };
        let whom = self.plan.call.as_ref().map_or(peer.as_str(), |call| &call.whom);
        let waited = format!("{:?}", self.plan.timeout);
        let trouble = Trouble::silence(&format!("call to {peer}"), whom, &waited);
        self.engine.command(Command::HangUp { call });
        self.end(call, None, Some("no answer".to_owned()), Some(trouble));
    }

    fn show(&mut self, call: CallId) {
        let now = self.engine.now();
        let seen = self.with(call, |leg| leg.moments.answered.zip(leg.figures()));
        if let Some(Some((since, figures))) = seen {
            self.say(call, What::Talking { talked: now.since(since), figures });
        }
        if let Some(every) = self.plan.show_every {
            self.due.push((now + every, call, Due::Show));
        }
    }

    fn on_key(&mut self, call: CallId, key: Key) {
        self.with(call, |leg| leg.keys.push(key.char()));
        self.say(call, What::KeyHeard { key: key.char() });
    }
}

async fn until(clock: crate::clock::Clock, at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.monotonic(at)).await,
        None => std::future::pending().await,
    }
}

pub(super) fn leg_trouble(what: &str, error: &LegError) -> Trouble {
    let why = error.to_string();
    match error {
        LegError::Ports(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Trouble::new(Kind::PortInUse, what, why, "see ss -lnup: who holds them?")
        }
        LegError::Ports(_) => Trouble::new(Kind::Internal, what, why, "see ulimit -n"),
        LegError::Recording { .. } => {
            Trouble::new(Kind::File, what, why, "choose a folder that can be written to")
        }
        _ => Trouble::new(Kind::Refused, what, why, "-v shows both session descriptions"),
    }
}
