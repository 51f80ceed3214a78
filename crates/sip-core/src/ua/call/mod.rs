//! One call: an INVITE and the dialogs it made (RFC 3261 §12 to §15). The machines decide; the other files of this folder
//! act: `place` and `serve` the two sides of the INVITE, `inside` what comes in the dialog, `modify` offers and refreshes
//! in it, `transfer` REFER and Replaces.

pub(super) mod callee;
pub(super) mod caller;
mod inside;
mod modify;
pub(super) mod negotiation;
mod place;
mod prack;
pub(super) mod refer;
pub(super) mod reliable;
mod serve;
pub(super) mod session_timer;
mod timer;
mod transfer;

use bytes::Bytes;
use sip_message::{Head, Name};

use crate::dialog::Dialog;
use crate::time::Duration;
use crate::transaction::ContextId;

use super::admit;
use super::alarm::Alarm;
use super::command::{Body, By, CallId};
use super::draft::{Draft, Lines};
use super::event::{EndedBy, Event, Failure};
use super::exchange::{ExchangeId, Owner, Purpose};
use super::headers::{self, lists};
use super::settings::Settings;
use super::stack::Turn;
pub(super) use inside::{message, options};
use place::Plan;
pub(super) use place::{CallPlan, target};
use reliable::Reliable;
use transfer::{Referral, Referred};

/// One dialog of the call.
pub(super) struct Leg {
    pub dialog: Dialog,
    pub negotiation: negotiation::State,
    /// A description of each side has been exchanged, or the first offer is open.
    is_described: bool,
    /// RFC 3262 §4: the last reliable provisional response we took.
    rseq: Option<u32>,
    /// The number of the INVITE that made it: after a challenge there are others.
    invite_cseq: u32,
}

impl Leg {
    const fn new(dialog: Dialog, negotiation: negotiation::State, invite_cseq: u32) -> Self {
        Self { dialog, negotiation, is_described: false, rseq: None, invite_cseq }
    }

    /// Takes a step of the offer/answer exchange.
    fn offer(&mut self, event: negotiation::Event) -> negotiation::Verdict {
        let (state, verdict) = self.negotiation.on_event(event);
        self.negotiation = state;
        if verdict == negotiation::Verdict::Go {
            self.is_described = true;
        }
        verdict
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Caller(caller::State),
    Callee(callee::State),
}

/// A 2xx of ours to an INVITE, repeated until its ACK comes (RFC 3261 §13.3.1.4).
struct Repeating {
    context: ContextId,
    /// The ACK has the same number.
    cseq: u32,
    wire: Bytes,
    gap: Duration,
}

/// What the peer offered and in what, until our user has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Reinvite(ContextId),
    Update(ContextId),
    Prack(ContextId),
    /// A reliable provisional response, whose PRACK will carry the answer: RSeq, and the dialog's place.
    Provisional {
        rseq: u32,
        leg: usize,
    },
}

/// What the peer can do, as it has said.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    allows_update: bool,
    knows_reliable: bool,
    wants_reliable: bool,
    knows_timer: bool,
}

pub(super) struct Call {
    pub id: CallId,
    pub side: Side,
    /// Early dialogs in order of appearance; after the first 2xx the one that stands.
    pub legs: Vec<Leg>,
    /// The one that stands.
    pub leg: Option<usize>,
    /// The INVITE of the caller, and how to write it again.
    invite: Option<ExchangeId>,
    plan: Option<Plan>,
    /// The INVITE to the callee.
    served: Option<ContextId>,
    tag: Box<str>,
    peer: Peer,
    accepted: Option<Repeating>,
    modified: Option<Repeating>,
    reliable: Reliable,
    /// The answer of our user waits for a PRACK (RFC 3262 §3).
    postponed: Option<Option<Body>>,
    waiting: Option<Waiting>,
    /// The offer of ours that is open inside the dialog.
    offered: Option<(ExchangeId, Body, By)>,
    /// An offer that met 491.
    retry: Option<(Body, By)>,
    timer: session_timer::State,
    interval: Duration,
    /// RFC 4028 §7.4: the least interval anybody on the way has asked for.
    min_se: Duration,
    /// The last description of ours: a re-INVITE that only refreshes repeats it.
    described: Option<Body>,
    /// The call that ends when this one is answered.
    pub replaces: Option<CallId>,
    /// The call in which we were asked to place this one.
    referred_by: Option<CallId>,
    referral: Option<Referral>,
    referred: Option<Referred>,
    ended: (EndedBy, Option<Box<str>>),
}

/// What one call has to say to another, at the end of the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// RFC 3891 §3: it is replaced.
    Replaced(CallId),
    /// RFC 3515 §2.4.5: how the call stands that was asked for in that one.
    Progress { call: CallId, status: u16, reason: Box<str> },
}

impl Call {
    fn new(id: CallId, side: Side, settings: &Settings) -> Self {
        Self {
            id,
            side,
            legs: Vec::new(),
            leg: None,
            invite: None,
            plan: None,
            served: None,
            tag: "".into(),
            peer: Peer::default(),
            accepted: None,
            modified: None,
            reliable: Reliable::default(),
            postponed: None,
            waiting: None,
            offered: None,
            retry: None,
            timer: session_timer::State::Off,
            interval: Duration::ZERO,
            min_se: settings.min_se.max(session_timer::MIN_SE),
            described: None,
            replaces: None,
            referred_by: None,
            referral: None,
            referred: None,
            ended: (EndedBy::Us, None),
        }
    }

    /// Nothing more can come of it: it leaves the table.
    pub fn is_over(&self) -> bool {
        matches!(self.side, Side::Caller(caller::State::Ended) | Side::Callee(callee::State::Ended))
    }

    /// It stands: 2xx sent or received, and no BYE yet.
    fn is_standing(&self) -> bool {
        match self.side {
            Side::Caller(state) => {
                matches!(state, caller::State::Answered | caller::State::Confirmed)
            }
            Side::Callee(state) => {
                matches!(state, callee::State::Accepted | callee::State::Confirmed)
            }
        }
    }

    /// The dialog that requests of ours go into: the one that stands, or the latest early one.
    fn current(&self) -> Option<usize> {
        self.leg.or_else(|| self.legs.len().checked_sub(1))
    }

    pub fn leg_named(&self, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> Option<usize> {
        self.legs.iter().position(|leg| leg.dialog.is(call_id, local_tag, remote_tag))
    }

    /// A request inside a dialog (RFC 3261 §12.2.1.1), with its number, and the URI it goes to.
    fn draft(
        &mut self,
        turn: &Turn<'_>,
        leg: usize,
        method: &str,
        mut lines: Lines,
        body: Option<Body>,
    ) -> Option<(Draft, Box<[u8]>)> {
        let dialog = &mut self.legs.get_mut(leg)?.dialog;
        let addressing = dialog.addressing();
        headers::usual(turn.settings, &mut lines);
        let draft = Draft {
            method: method.into(),
            uri: addressing.uri,
            routes: addressing.routes,
            from: dialog.from(),
            to: dialog.to(),
            call_id: dialog.id().call_id.clone(),
            cseq: dialog.next_cseq(),
            lines,
            body,
        };
        Some((draft, addressing.next))
    }

    /// Sends a request inside the dialog.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        purpose: Purpose,
        lines: Lines,
        body: Option<Body>,
    ) -> Option<ExchangeId> {
        let method = match purpose {
            Purpose::Reinvite => "INVITE",
            Purpose::Update | Purpose::Refresh => "UPDATE",
            Purpose::Prack => "PRACK",
            Purpose::Bye => "BYE",
            Purpose::Refer => "REFER",
            Purpose::Notify => "NOTIFY",
            Purpose::Info => "INFO",
        };
        let (draft, next) = self.draft(turn, leg, method, lines, body)?;
        Some(turn.send(draft, &next, Owner::Inside(self.id, purpose)))
    }

    /// The number a challenged request goes out with again.
    pub fn renumber(&mut self, turn: &mut Turn<'_>, id: ExchangeId) {
        let Some(leg) = self.current().and_then(|leg| self.legs.get_mut(leg)) else { return };
        let cseq = leg.dialog.next_cseq();
        if let Some(exchange) = turn.stack.exchanges.get_mut(&id) {
            exchange.draft.cseq = cseq;
            turn.transmit(id);
        }
    }

    fn send_bye(&mut self, turn: &mut Turn<'_>) {
        self.stop_session(turn);
        let sent = self.current().and_then(|leg| {
            let mut lines = Lines::default();
            if let Some(reason) = self.reason() {
                lines.push("Reason", reason);
            }
            self.send(turn, leg, Purpose::Bye, lines, None)
        });
        if sent.is_none() {
            self.bye_done(turn);
        }
    }

    /// RFC 3326: why, where the peer could not guess.
    const fn reason(&self) -> Option<&'static str> {
        match self.ended.0 {
            EndedBy::SessionTimer => Some("SIP;cause=408;text=\"Session Expired\""),
            EndedBy::NoAck => Some("SIP;cause=408;text=\"No ACK\""),
            _ => None,
        }
    }

    /// RFC 3261 §15.1.1: whatever the answer, the dialog is over.
    fn bye_done(&mut self, turn: &mut Turn<'_>) {
        match self.side {
            Side::Caller(_) => self.caller(turn, caller::Event::ByeDone),
            Side::Callee(_) => self.callee(turn, callee::Event::ByeDone),
        }
    }

    pub fn hang_up(&mut self, turn: &mut Turn<'_>) {
        self.ended = (EndedBy::Us, None);
        match self.side {
            Side::Caller(_) => self.caller(turn, caller::Event::HangUp),
            Side::Callee(_) => self.callee(turn, callee::Event::HangUp),
        }
    }

    /// It has to end, and not by our user.
    pub fn over(&mut self, turn: &mut Turn<'_>, by: EndedBy) {
        self.ended = (by, None);
        match self.side {
            Side::Caller(_) => self.caller(turn, caller::Event::Over),
            Side::Callee(_) => self.callee(turn, callee::Event::Over),
        }
    }

    /// Nothing of the session goes on: no refresh, no offers, and what the peer still waits for is ended with 487
    /// (RFC 3261 §15.1.2).
    fn stop_session(&mut self, turn: &mut Turn<'_>) {
        for alarm in [Alarm::Glare, Alarm::Refresh, Alarm::SessionEnds] {
            turn.stack.alarms.stop(self.id, alarm);
        }
        self.retry = None;
        // A re-INVITE that the peer never answers would wait for ever (RFC 3261 §9.1).
        if let Some((open, ..)) = self.offered.take() {
            turn.cancel(open);
        }
        self.end_waiting(turn);
        self.end_referrals(turn);
    }

    fn tell_ended(&mut self, turn: &mut Turn<'_>) {
        self.stop_session(turn);
        turn.stack.alarms.stop_all(self.id);
        let (by, reason) = self.ended.clone();
        turn.tell(Event::Ended { call: self.id, by, reason });
    }

    fn tell_failed(&mut self, turn: &mut Turn<'_>, why: Failure) {
        turn.stack.alarms.stop_all(self.id);
        turn.tell(Event::Failed { call: self.id, why });
    }

    /// What requests and responses that make or change a dialog carry.
    fn dialog_lines(&self, turn: &Turn<'_>) -> Lines {
        let mut lines = Lines::default();
        lines.push("Contact", format_args!("<{}>", turn.settings.contact));
        lines.push("Allow", admit::ALLOW);
        lines.push("Supported", admit::supported(turn.settings.reliable));
        lines
    }

    /// What the peer's message says about what it can do.
    fn note_peer(&mut self, head: &Head) {
        if head.header(Name::Allow).is_some() {
            self.peer.allows_update = lists(head, Name::Allow, "UPDATE");
        }
        let says = |tag| lists(head, Name::Supported, tag) || lists(head, Name::Require, tag);
        self.peer.knows_reliable |= says("100rel");
        self.peer.wants_reliable |= lists(head, Name::Require, "100rel");
        self.peer.knows_timer |= says("timer");
    }
}
