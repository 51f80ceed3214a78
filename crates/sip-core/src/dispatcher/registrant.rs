//! Registrations with providers (RFC 3261 §10.2): one node registers, for all nodes, with every gateway whose account says
//! so, and keeps it: refresh, 423, challenges, retries that come later each time. The machine is the phone's; this file
//! acts. It never gives up: a provider that refuses us today may not tomorrow.

use std::collections::BTreeSet;
use std::sync::Arc;

use sip_message::{Contacts, Name, Response};

use super::account::{Account, cnonce};
use super::chore::{Chore, Place, Progress};
use super::live::Registered;
use super::probe::CONTEXTS;
use crate::auth::client::{Asked, Keyring, Subject, Trust};
use crate::config::Listener;
use crate::flow::Flow;
use crate::locate::Resolution;
use crate::output::{AskId, Event};
use crate::shared::Note;
use crate::time::{Duration, Instant};
use crate::transaction::{ClientId, ContextId, TransactionLayer};
use crate::turn::Turn;
use crate::ua::registration::machine::{self, Action, State};

/// Names of contexts from here on are those of registrations.
pub const REGISTRATIONS: u32 = CONTEXTS + 0x8000;

/// A refresh is sent this long before the binding ends: it may time out once and be sent again.
const MARGIN: Duration = Duration::from_secs(40);
/// RFC 5626 §4.5: the first wait after a failure, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LAST: Duration = Duration::from_secs(1800);

#[derive(Debug, Default)]
pub struct Registrant {
    place: Option<Place>,
    entries: Vec<Entry>,
    due: BTreeSet<(Instant, usize)>,
}

struct Entry {
    chore: Chore,
    account: Arc<Account>,
    keyring: Keyring,
    asked: Asked,
    state: State,
    wanted: Duration,
    granted: Duration,
    failures: u32,
    /// Where the REGISTER under way went.
    flow: Option<Flow>,
    due: Instant,
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entry({} {:?})", self.chore.gateway.name, self.state)
    }
}

impl Registrant {
    pub fn appoint(&mut self, turn: &Turn<'_>, place: Place) {
        self.place = Some(place);
        self.configure(turn);
    }

    /// Whoever is not configured any more is forgotten: what we registered with him ends by itself.
    pub fn configure(&mut self, turn: &Turn<'_>) {
        let Some(place) = self.place else { return };
        let mut before = core::mem::take(&mut self.entries);
        self.due.clear();
        for gateway in turn.config.dispatcher.gateways() {
            let account = gateway.account.as_ref().filter(|account| account.register.is_some());
            let Some(account) = account else {
                gateway.live.set_registered(Registered::Unwanted);
                continue;
            };
            let is_it = |entry: &Entry| {
                entry.chore.gateway.name == gateway.name && entry.account == *account
            };
            let known = before.iter().position(is_it);
            let mut entry = match known.map(|at| before.swap_remove(at)) {
                Some(entry) => entry,
                None => {
                    gateway.live.set_registered(Registered::Trying);
                    Entry {
                        chore: Chore::new(turn, gateway, "register", place),
                        account: Arc::clone(account),
                        keyring: account.keyring(),
                        asked: Asked::default(),
                        state: State::Idle,
                        wanted: account.register.unwrap_or_default(),
                        granted: Duration::ZERO,
                        failures: 0,
                        flow: None,
                        due: turn.now,
                    }
                }
            };
            entry.chore.gateway = Arc::clone(gateway);
            let number = u32::try_from(self.entries.len()).unwrap_or(0);
            entry.chore.set_context(ContextId(REGISTRATIONS + number));
            self.due.insert((entry.due, self.entries.len()));
            self.entries.push(entry);
        }
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

    pub fn tick(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) {
        while let Some(&(_, at)) = self.due.first().filter(|(due, _)| *due <= turn.now) {
            let Some(entry) = self.entries.get_mut(at) else { return };
            let due = entry.wake(turn, transactions);
            self.set_due(at, due.max(turn.now + Duration::from_millis(1)));
        }
    }

    /// The DNS has spoken; whether it was to a question of a registration.
    pub fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        ask: AskId,
        resolution: &Resolution,
    ) -> bool {
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(at) else { break };
            if let Some(due) = entry.resolved(turn, transactions, (ask, resolution)) {
                self.set_due(at, due);
                return true;
            }
        }
        false
    }

    pub fn response(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        (context, client): (ContextId, ClientId),
        response: &Response,
    ) {
        if response.status() < 200 {
            return;
        }
        let at = (context.0 - REGISTRATIONS) as usize;
        let Some(entry) = self.entries.get_mut(at) else { return };
        if entry.chore.ended(Some(client)).is_some() {
            let due = entry.answered(turn, transactions, response);
            self.set_due(at, due);
        }
    }

    /// It could not be sent, or nobody has answered.
    pub fn failed(&mut self, turn: &mut Turn<'_>, context: ContextId) {
        let at = (context.0 - REGISTRATIONS) as usize;
        let Some(entry) = self.entries.get_mut(at) else { return };
        if entry.chore.ended(None).is_some() {
            let due = entry.step(turn, machine::Event::Failed, "nobody answers");
            self.set_due(at, due);
        }
    }
}

impl Entry {
    /// Registers, refreshes, or tries again; when something is the next time.
    fn wake(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) -> Instant {
        self.chore.give_up(turn, transactions);
        if self.chore.gateway.live.is_disabled() {
            return turn.now + RETRY_FIRST;
        }
        let event = match self.state {
            State::Idle => machine::Event::Register,
            _ => machine::Event::Due,
        };
        self.asked = Asked::default();
        self.state = self.state.on_event(event).0;
        self.send(turn, transactions)
    }

    fn send(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) -> Instant {
        let seal = turn.shared.seal.clone();
        let Self { chore, account, keyring, asked, wanted, flow, .. } = self;
        let mut letter = |chore: &Chore, listener: &Listener, to: &Flow, via: &str| {
            *flow = Some(*to);
            let parts = (&**account, *wanted, &seal);
            letter(chore, parts, (keyring, asked), (listener, to, via))
        };
        let progress = chore.begin(turn, transactions, &mut letter);
        self.after(turn, progress)
    }

    fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        answer: (AskId, &Resolution),
    ) -> Option<Instant> {
        let seal = turn.shared.seal.clone();
        let Self { chore, account, keyring, asked, wanted, flow, .. } = self;
        let mut letter = |chore: &Chore, listener: &Listener, to: &Flow, via: &str| {
            *flow = Some(*to);
            let parts = (&**account, *wanted, &seal);
            letter(chore, parts, (keyring, asked), (listener, to, via))
        };
        let progress = chore.resolved(turn, transactions, answer, &mut letter)?;
        Some(self.after(turn, progress))
    }

    fn after(&mut self, turn: &mut Turn<'_>, progress: Progress) -> Instant {
        match progress {
            // The transaction's own end comes first.
            Progress::Sent => Instant::FAR,
            Progress::Looking(until) => until,
            Progress::Nowhere => self.step(turn, machine::Event::Failed, "its name leads nowhere"),
        }
    }

    fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        response: &Response,
    ) -> Instant {
        let status = response.status();
        match status {
            200..=299 => {
                if let Some(flow) = &self.flow {
                    self.keyring.informed(response, flow);
                }
                self.granted = granted(response, &self.account.user).unwrap_or(self.wanted);
                self.step(turn, machine::Event::Accepted, "")
            }
            401 | 407 => {
                let Some(flow) = self.flow else { return turn.now + RETRY_FIRST };
                let Self { keyring, asked, .. } = self;
                match keyring.challenged(response, &flow, Trust::Ours, asked) {
                    Ok(_) => self.send(turn, transactions),
                    Err(why) => {
                        let why = format!("it does not accept our proof: {why:?}");
                        self.step(turn, machine::Event::Failed, &why)
                    }
                }
            }
            423 => match seconds(response, Name::MinExpires) {
                Some(least) if least > self.wanted => {
                    self.wanted = least;
                    self.send(turn, transactions)
                }
                _ => self.step(turn, machine::Event::Failed, "it answers 423"),
            },
            _ => self.step(turn, machine::Event::Failed, &format!("it answers {status}")),
        }
    }

    /// What the machine says; when something is to be done next.
    fn step(&mut self, turn: &mut Turn<'_>, event: machine::Event, why: &str) -> Instant {
        let (state, actions) = self.state.on_event(event);
        self.state = state;
        let gateway = Arc::clone(&self.chore.gateway);
        let mut due = Instant::FAR;
        for action in actions {
            match action {
                Action::ArmRefresh => {
                    let early = MARGIN.min(self.granted / 2);
                    due = turn.now + self.granted.saturating_sub(early);
                }
                Action::ArmRetry => {
                    let longest = RETRY_LAST.min(RETRY_FIRST * (1 << self.failures.min(6)));
                    due = turn.now + longest;
                    self.failures += 1;
                }
                Action::TellRegistered => {
                    let is_news = gateway.live.registered() != Registered::Yes;
                    self.failures = 0;
                    gateway.live.set_registered(Registered::Yes);
                    if is_news {
                        self.tell(turn, "registered", "");
                    }
                }
                Action::TellFailed => {
                    gateway.live.set_registered(Registered::Failed);
                    self.tell(turn, "not registered", why);
                }
                Action::Send | Action::SendRemoval | Action::Disarm | Action::TellUnregistered => {}
            }
        }
        due
    }

    fn tell(&self, turn: &mut Turn<'_>, state: &'static str, why: &str) {
        let gateway = self.chore.gateway.name.clone();
        let note = Note { since: turn.now, by: "".into(), why: why.into() };
        turn.shared.gateways.set_registration(&gateway, note);
        turn.out.events.push(Event::GatewayChanged { gateway, state, why: why.into() });
    }
}

/// RFC 3261 §10.2: the address of record is ours with the provider, the Contact where we listen.
fn letter(
    chore: &Chore,
    (account, wanted, seal): (&Account, Duration, &crate::seal::Seal),
    (keyring, asked): (&mut Keyring, &Asked),
    (listener, to, via): (&Listener, &Flow, &str),
) -> String {
    let Chore { call_id, tag, cseq, .. } = chore;
    let Account { user, domain, .. } = account;
    let uri = format!("sip:{domain}");
    let mut lines = Vec::new();
    let subject = Subject { method: b"REGISTER", uri: uri.as_bytes(), flow: to, unasked: true };
    let more = cseq.to_be_bytes();
    keyring.authorize(&subject, asked, || cnonce(seal, call_id.as_bytes(), &more), &mut lines);
    let (lines, seconds) = (String::from_utf8_lossy(&lines), wanted.as_secs());
    let transport = match to.transport.is_reliable() {
        true => ";transport=tcp",
        false => "",
    };
    let us = &listener.advertised;
    format!(
        "REGISTER {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag={tag}\r\n\
         To: <sip:{user}@{domain}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:{user}@{us}{transport}>\r\nExpires: {seconds}\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// RFC 3261 §10.2.4: how long the registrar keeps our Contact.
fn granted(response: &Response, user: &str) -> Option<Duration> {
    if let Ok(Contacts::List(contacts)) = response.contacts() {
        for contact in contacts.map_while(Result::ok) {
            let is_ours = contact.uri().is_ok_and(|uri| uri.user == Some(user.as_bytes()));
            let expires = contact.param("expires").and_then(number);
            if let (true, Some(expires)) = (is_ours, expires) {
                return Some(expires);
            }
        }
    }
    seconds(response, Name::Expires)
}

fn seconds(response: &Response, name: Name) -> Option<Duration> {
    number(response.header(name)?)
}

fn number(digits: &[u8]) -> Option<Duration> {
    let seconds = core::str::from_utf8(digits.trim_ascii()).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|expires| !expires.is_zero())
}
