//! The caller's side of the INVITE (RFC 3261 §13.2): sending it, the early dialogs of its forks, the first 2xx and all
//! others, refusals. `caller` decides, this file acts.

use sip_message::{Response, Uri};

use crate::dialog::{Dialog, NoDialog, State as DialogState};
use crate::limits::DIALOGS;
use crate::time::Duration;

use super::caller::{Action, Event, State};
use super::negotiation::{Event as Offer, State as Negotiation};
use super::session_timer::{self, Wish};
use super::{Call, Leg, Note, Side};
use crate::ua::command::{Body, CallId};
use crate::ua::draft::{Draft, name_addr};
use crate::ua::event::{Event as Told, Failure};
use crate::ua::exchange::{Acknowledged, ExchangeId, Outcome, Owner};
use crate::ua::headers::{self, number, text};
use crate::ua::outcome::failure;
use crate::ua::settings::{Reliable, Settings};
use crate::ua::stack::Turn;
use sip_message::Name;

/// 422s that one call believes (RFC 4028 §7.3).
const TOO_SMALL_MAX: u8 = 3;

/// What is to be called, and why.
#[derive(Debug, Default)]
pub(in crate::ua) struct CallPlan {
    pub to: Box<str>,
    pub body: Option<Body>,
    /// RFC 3891: the value of Replaces.
    pub replaces: Option<Box<str>>,
    /// RFC 3892: the value of Referred-By.
    pub referrer: Option<Box<str>>,
    /// The call in which we were asked.
    pub referred_by: Option<CallId>,
    pub headers: Vec<Box<str>>,
}

/// What every writing of the INVITE needs.
pub(super) struct Plan {
    call: CallPlan,
    from: Box<[u8]>,
    call_id: Box<[u8]>,
    cseq: u32,
    wish: Option<Wish>,
    too_small: u8,
    is_trying: bool,
}

/// What an action may need from what happened.
#[derive(Default)]
struct Cause {
    status: u16,
    reason: Box<str>,
    body: Option<Body>,
    early: usize,
    why: Option<Failure>,
}

/// `bob`, `bob@example.com` or a whole URI, as a whole URI.
pub(in crate::ua) fn target(settings: &Settings, to: &str) -> Result<Box<str>, Failure> {
    let to = to.trim();
    let home = Uri::parse(settings.aor.as_bytes()).ok();
    let home = home.map(|aor| text(aor.host_bytes)).unwrap_or_default();
    let uri: Box<str> = match to {
        _ if Uri::parse(to.as_bytes()).is_ok_and(|uri| !uri.host_bytes.is_empty()) => to.into(),
        _ if to.contains('@') => format!("sip:{to}").into(),
        _ if !to.contains(':') => format!("sip:{to}@{home}").into(),
        _ => to.into(),
    };
    match Uri::parse(uri.as_bytes()) {
        Ok(_) => Ok(text(&crate::dialog::request_uri(uri.as_bytes()))),
        Err(_) => Err(Failure::NotPossible { why: "what is to be called is not a SIP address" }),
    }
}

impl Call {
    /// RFC 3261 §13.2.1.
    pub fn place(turn: &mut Turn<'_>, id: CallId, mut plan: CallPlan) -> Result<Self, Failure> {
        plan.to = target(turn.settings, &plan.to)?;
        let mut call = Self::new(id, Side::Caller(State::Calling), turn.settings);
        let from = name_addr(turn.settings.display.as_deref(), &turn.settings.aor);
        call.tag = turn.stack.mint.tag();
        call.described.clone_from(&plan.body);
        call.referred_by = plan.referred_by;
        let wish = turn.settings.session_expires;
        call.plan = Some(Plan {
            call: plan,
            from: format!("{from};tag={}", call.tag).into_bytes().into(),
            call_id: turn.stack.mint.call_id().as_bytes().into(),
            cseq: 1,
            wish: wish.map(|interval| Wish { interval, by_uac: None }),
            too_small: 0,
            is_trying: false,
        });
        call.send_invite(turn);
        Ok(call)
    }

    fn send_invite(&mut self, turn: &mut Turn<'_>) {
        let mut lines = self.dialog_lines(turn);
        let Some(plan) = &self.plan else { return };
        if turn.settings.reliable == Reliable::Required {
            lines.push("Require", "100rel");
        }
        session_timer::ask(plan.wish, self.min_se, &mut lines);
        if let Some(replaces) = &plan.call.replaces {
            lines.push("Replaces", replaces);
        }
        if let Some(referrer) = &plan.call.referrer {
            lines.push("Referred-By", referrer);
        }
        headers::usual(turn.settings, &mut lines);
        lines.push_all(&plan.call.headers);
        let uri: Box<[u8]> = plan.call.to.as_bytes().into();
        let draft = Draft {
            method: "INVITE".into(),
            uri: uri.clone(),
            routes: Vec::new(),
            from: plan.from.clone(),
            to: format!("<{}>", plan.call.to).into_bytes().into(),
            call_id: plan.call_id.clone(),
            cseq: plan.cseq,
            lines,
            body: plan.call.body.clone(),
        };
        self.invite = Some(turn.send(draft, &uri, Owner::Invite(self.id)));
    }

    /// What became of the INVITE, once for every response.
    pub fn invite_answered(&mut self, turn: &mut Turn<'_>, id: ExchangeId, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) => match response.status() {
                ..=100 => self.trying(turn),
                101..200 => self.progress(turn, id, response),
                200..300 => self.first_accepted(turn, id, response),
                422 if self.lengthen(turn, id, response) => {}
                _ => self.refused(turn, failure(response)),
            },
            Outcome::Failure(why) => self.refused(turn, why.clone()),
        }
    }

    fn trying(&mut self, turn: &mut Turn<'_>) {
        if let Some(plan) = &mut self.plan
            && !core::mem::replace(&mut plan.is_trying, true)
        {
            turn.tell(Told::Trying { call: self.id });
        }
    }

    /// RFC 4028 §7.3: once more with an interval that the far end, or a proxy, agrees to.
    fn lengthen(&mut self, turn: &mut Turn<'_>, id: ExchangeId, response: &Response) -> bool {
        let Some(least) = number(response, Name::MinSe) else { return false };
        let least = Duration::from_secs(least.into());
        let cseq = turn.stack.exchanges.get(&id).map(|exchange| exchange.draft.cseq);
        let is_calling = self.side == Side::Caller(State::Calling)
            || self.side == Side::Caller(State::Proceeding);
        let (Some(plan), Some(cseq)) = (&mut self.plan, cseq) else { return false };
        if !is_calling || least <= self.min_se || plan.too_small >= TOO_SMALL_MAX {
            return false;
        }
        plan.too_small += 1;
        plan.cseq = cseq.saturating_add(1);
        self.min_se = least;
        self.legs.clear();
        self.send_invite(turn);
        true
    }

    fn refused(&mut self, turn: &mut Turn<'_>, why: Failure) {
        let (status, reason) = match &why {
            Failure::Status { code, reason, .. } => (*code, reason.clone()),
            Failure::Timeout { .. } => (408, "Request Timeout".into()),
            _ => (503, "Service Unavailable".into()),
        };
        self.report_progress(turn, status, &reason);
        self.caller_with(turn, Event::Refused, Cause { why: Some(why), ..Cause::default() });
    }

    /// RFC 3515 §2.4.5: for who asked us to place this call.
    fn report_progress(&self, turn: &mut Turn<'_>, status: u16, reason: &str) {
        if let Some(call) = self.referred_by {
            turn.stack.notes.push(Note::Progress { call, status, reason: reason.into() });
        }
    }

    /// 101 to 199 (RFC 3261 §13.2.2.1, RFC 3262 §4).
    fn progress(&mut self, turn: &mut Turn<'_>, id: ExchangeId, response: &Response) {
        if self.leg.is_some() {
            return;
        }
        self.note_peer(response);
        let leg = self.early_leg(turn, id, response);
        let mut body = headers::body(response);
        let mut offered = None;
        if let Some(leg) = leg {
            match self.take_reliable(turn, leg, response, &body) {
                prack::Taken::Not => {}
                prack::Taken::Next => {}
                prack::Taken::Offer => offered = body.take(),
                prack::Taken::Again => return,
            }
        }
        let (status, reason) = (response.status(), text(response.reason()));
        self.report_progress(turn, status, &reason);
        let early = leg.unwrap_or(0);
        let cause = Cause { status, reason, body, early, why: None };
        self.caller_with(turn, Event::Progress, cause);
        if let Some(body) = offered {
            turn.tell(Told::Offered { call: self.id, body: Some(body) });
        }
    }

    /// The early dialog of a response; a new one if it is the first of its fork (§12.1). At most as many as forks.
    fn early_leg(&mut self, turn: &Turn<'_>, id: ExchangeId, response: &Response) -> Option<usize> {
        let exchange = turn.stack.exchanges.get(&id)?;
        let cseq = exchange.draft.cseq;
        // Those of an INVITE that was challenged or redirected ended with it (§12.3).
        self.legs.retain(|leg| leg.invite_cseq == cseq);
        let tag = response.to().ok()?.tag()?;
        let known = |leg: &Leg| *leg.dialog.id().remote_tag == *tag;
        if let Some(leg) = self.legs.iter().position(known) {
            return Some(leg);
        }
        if self.legs.len() >= DIALOGS.max {
            return None;
        }
        let dialog = Dialog::of_uac(&exchange.draft.request()?, response).ok()?;
        self.legs.push(self.new_leg(dialog, cseq));
        self.legs.len().checked_sub(1)
    }

    fn new_leg(&self, dialog: Dialog, cseq: u32) -> Leg {
        let offered = self.plan.as_ref().is_some_and(|plan| plan.call.body.is_some());
        let negotiation = if offered { Negotiation::Sent } else { Negotiation::Stable };
        Leg::new(dialog, negotiation, cseq)
    }

    /// A 2xx that is not a repetition: the first makes the call, any other is ended at once (§13.2.2.4).
    fn first_accepted(&mut self, turn: &mut Turn<'_>, id: ExchangeId, response: &Response) {
        if self.leg.is_some() {
            return turn.decline(id, response);
        }
        let early = match self.early_leg(turn, id, response) {
            Some(early) => early,
            None => {
                turn.decline(id, response);
                let why = "the 200 names no Contact to send the ACK to";
                return self.refused(turn, Failure::NotPossible { why });
            }
        };
        let mut leg = self.legs.swap_remove(early);
        if leg.dialog.state() == DialogState::Early {
            leg.dialog.confirm_with(response);
        }
        let tag = leg.dialog.id().remote_tag.clone();
        let body = headers::body(response)
            .filter(|_| leg.negotiation == Negotiation::Sent || !leg.is_described);
        let is_offer = match (&body, leg.negotiation) {
            (Some(_), Negotiation::Stable) => {
                leg.offer(Offer::PeerOffers);
                true
            }
            (Some(_), _) => {
                leg.offer(Offer::PeerAnswers);
                false
            }
            // The answer never came: the session is what it is (§13.2.1).
            (None, _) => {
                leg.offer(Offer::Refused);
                false
            }
        };
        self.legs = vec![leg];
        self.leg = Some(0);
        self.waiting = None;
        self.note_peer(response);
        if let Some(exchange) = turn.stack.exchanges.get_mut(&id) {
            exchange.acks.push(Acknowledged { tag, sent: None });
        }
        self.report_progress(turn, response.status(), &text(response.reason()));
        let event = if is_offer { Event::AcceptedWithOffer } else { Event::Accepted };
        self.caller_with(turn, event, Cause { body, early, ..Cause::default() });
        if self.is_standing() {
            self.session_agreed(turn, response);
        }
    }

    /// The user's answer to the offer of a 2xx.
    pub fn acknowledge(&mut self, turn: &mut Turn<'_>, body: Option<Body>) {
        if let Some(leg) = self.leg.and_then(|leg| self.legs.get_mut(leg)) {
            leg.offer(if body.is_some() { Offer::WeAnswer } else { Offer::Refused });
        }
        if body.is_some() {
            self.described.clone_from(&body);
        }
        self.caller_with(turn, Event::Acknowledge, Cause { body, ..Cause::default() });
    }

    pub(super) fn caller(&mut self, turn: &mut Turn<'_>, event: Event) {
        self.caller_with(turn, event, Cause::default());
    }

    fn caller_with(&mut self, turn: &mut Turn<'_>, event: Event, mut cause: Cause) {
        let Side::Caller(state) = self.side else { return };
        let (state, actions) = state.on_event(event);
        self.side = Side::Caller(state);
        for action in actions {
            match action {
                Action::TellRinging => turn.tell(Told::Ringing {
                    call: self.id,
                    status: cause.status,
                    reason: core::mem::take(&mut cause.reason),
                    body: cause.body.take(),
                    early: cause.early,
                }),
                Action::TellAnswered => turn.tell(Told::Answered {
                    call: self.id,
                    body: cause.body.take(),
                    acknowledge: state == State::Answered,
                    early: cause.early,
                }),
                Action::TellFailed => {
                    let none = Failure::NotPossible { why: "the call came to nothing" };
                    self.tell_failed(turn, cause.why.take().unwrap_or(none));
                }
                Action::TellEnded => self.tell_ended(turn),
                Action::SendCancel => {
                    if let Some(invite) = self.invite {
                        turn.cancel(invite);
                    }
                }
                // The body of the 2xx is the answer to ours; only an `Acknowledge` has one to send.
                Action::SendAck => {
                    let body = cause.body.clone().filter(|_| event == Event::Acknowledge);
                    self.send_ack(turn, self.invite, body);
                }
                Action::SendBye => self.send_bye(turn),
            }
        }
    }

    /// The ACK of the 2xx to `invite` (RFC 3261 §13.2.2.4): with the number of the INVITE.
    pub(super) fn send_ack(
        &mut self,
        turn: &mut Turn<'_>,
        invite: Option<ExchangeId>,
        body: Option<Body>,
    ) {
        let Some(invite) = invite else { return };
        let Some(cseq) = turn.stack.exchanges.get(&invite).map(|e| e.draft.cseq) else { return };
        let Some(leg) = self.leg.and_then(|leg| self.legs.get(leg)) else { return };
        turn.send_ack(&leg.dialog, cseq, invite, body);
    }
}

use super::prack;

impl Turn<'_> {
    pub fn send_ack(&mut self, dialog: &Dialog, cseq: u32, invite: ExchangeId, body: Option<Body>) {
        let mut lines = crate::ua::draft::Lines::default();
        headers::usual(self.settings, &mut lines);
        let addressing = dialog.addressing();
        let draft = Draft {
            method: "ACK".into(),
            uri: addressing.uri,
            routes: addressing.routes,
            from: dialog.from(),
            to: dialog.to(),
            call_id: dialog.id().call_id.clone(),
            cseq,
            lines,
            body,
        };
        self.acknowledge(draft, &addressing.next, invite);
    }

    /// RFC 3261 §13.2.2.4: a repeated 2xx gets the same ACK again. False: it is of a dialog not seen before.
    pub fn reacknowledge(&mut self, id: ExchangeId, response: &Response) -> bool {
        let Some(exchange) = self.stack.exchanges.get(&id) else { return false };
        let Some(tag) = response.to().ok().and_then(|to| to.tag()) else { return false };
        let Some(ack) = exchange.acks.iter().find(|ack| *ack.tag == *tag) else { return false };
        if let Some((flow, wire)) = &ack.sent {
            self.stack.wire.send(*flow, wire.clone());
        }
        true
    }

    /// A 2xx that nobody wants: "the UAC MUST [...] send an ACK" and ends that dialog with BYE (§13.2.2.4).
    pub fn decline(&mut self, id: ExchangeId, response: &Response) {
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        if exchange.acks.len() >= DIALOGS.max {
            return;
        }
        let cseq = exchange.draft.cseq;
        let made = exchange.draft.request().ok_or(NoDialog::Unreadable);
        let Ok(mut dialog) = made.and_then(|invite| Dialog::of_uac(&invite, response)) else {
            return;
        };
        let tag = dialog.id().remote_tag.clone();
        exchange.acks.push(Acknowledged { tag, sent: None });
        self.send_ack(&dialog, cseq, id, None);
        let mut lines = crate::ua::draft::Lines::default();
        headers::usual(self.settings, &mut lines);
        let addressing = dialog.addressing();
        let draft = Draft {
            method: "BYE".into(),
            uri: addressing.uri,
            routes: addressing.routes,
            from: dialog.from(),
            to: dialog.to(),
            call_id: dialog.id().call_id.clone(),
            cseq: dialog.next_cseq(),
            lines,
            body: None,
        };
        self.send(draft, &addressing.next, Owner::Nobody);
    }
}
