//! The callee's side of the INVITE (RFC 3261 §13.3): alerting, answering, refusing, and the 2xx that is repeated until its
//! ACK. `callee` decides, this file acts.

use sip_message::{Name, Request};

use crate::dialog::Dialog;
use crate::rejection::Rejection;
use crate::time::Duration;
use crate::transaction::ContextId;

use super::callee::{Action, Event, State};
use super::negotiation::{Event as Offer, State as Negotiation};
use super::{Call, Leg, Note, Repeating, Side, Waiting, caller, reliable, session_timer};
use crate::ua::alarm::Alarm;
use crate::ua::command::{Body, CallId};
use crate::ua::draft::Lines;
use crate::ua::event::{EndedBy, Event as Told};
use crate::ua::headers::{self, number, text};
use crate::ua::served::Answer;
use crate::ua::settings::Reliable;
use crate::ua::stack::Turn;

/// RFC 3261 §17.2.1: how long our user may take to say something before we say 100.
pub(super) const TRYING: Duration = Duration::from_millis(200);
/// RFC 3261 §13.3.1.1: "at every minute".
const MINUTE: Duration = Duration::from_secs(60);

/// What an action may need from what happened.
#[derive(Default)]
struct Cause {
    status: u16,
    body: Option<Body>,
    headers: Vec<Box<str>>,
}

impl Call {
    /// An INVITE outside a dialog (§13.3.1). `Err`: it is answered so, and there is no call.
    pub fn serve(
        turn: &mut Turn<'_>,
        id: CallId,
        context: ContextId,
        request: &Request,
        tag: &str,
        replaces: Option<CallId>,
    ) -> Result<Self, Answer> {
        let dialog = Dialog::of_uas(request, tag.as_bytes())
            .map_err(|_| Answer::from(&Rejection::bad_request("an INVITE needs a Contact")))?;
        let mut call = Self::new(id, Side::Callee(State::Ringing), turn.settings);
        call.note_peer(request);
        if turn.settings.reliable == Reliable::Required && !call.peer.knows_reliable {
            // RFC 3261 §21.4.16.
            let answer = Answer { reason: Some("Extension Required".into()), ..Answer::new(421) };
            return Err(answer.with("Require", "100rel"));
        }
        if let session_timer::Answer::TooSmall(least) = session_timer::agree(request, turn.settings)
        {
            return Err(Answer::new(422).with("Min-SE", least.as_secs()));
        }
        call.tag = tag.into();
        call.served = Some(context);
        call.replaces = replaces;
        let body = headers::body(request);
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let mut leg = Leg::new(dialog, Negotiation::Stable, cseq);
        leg.offer(if body.is_some() { Offer::PeerOffers } else { Offer::PeerAsks });
        call.legs.push(leg);
        if let Some(served) = turn.stack.served.get_mut(&context) {
            served.call = Some(id);
        }
        turn.stack.alarms.set(id, Alarm::Trying, turn.now + TRYING);
        if let Some(seconds) = number(request, Name::Expires) {
            let at = turn.now + Duration::from_secs(seconds.into());
            turn.stack.alarms.set(id, Alarm::InviteExpires, at);
        }
        turn.tell(Told::Incoming {
            call: id,
            from: text(request.header(Name::From).unwrap_or_default()),
            to: text(request.header(Name::To).unwrap_or_default()),
            body,
            replaces,
            headers: headers::all(request),
        });
        Ok(call)
    }

    pub fn ring(&mut self, turn: &mut Turn<'_>, status: u16, body: Option<Body>) {
        let status = if (101..200).contains(&status) { status } else { 180 };
        self.callee_with(turn, Event::Ring, Cause { status, body, ..Cause::default() });
    }

    pub fn answer(&mut self, turn: &mut Turn<'_>, body: Option<Body>) {
        let is_out = self.reliable.state == reliable::State::Waiting;
        if is_out && self.reliable.has_body {
            self.postponed = Some(body);
            return;
        }
        self.callee_with(turn, Event::Answer, Cause { body, ..Cause::default() });
    }

    pub fn reject(&mut self, turn: &mut Turn<'_>, status: u16, headers: Vec<Box<str>>) {
        let status = if (300..700).contains(&status) { status } else { 480 };
        self.ended = (EndedBy::Us, None);
        self.callee_with(turn, Event::Reject, Cause { status, headers, body: None });
    }

    /// RFC 3261 §9.2.
    pub fn cancelled(&mut self, turn: &mut Turn<'_>, cancel: &Request) {
        if self.side == Side::Callee(State::Ringing) {
            self.ended = (EndedBy::Peer, cancel.header(Name::Reason).map(text));
        }
        self.callee(turn, Event::Cancelled);
    }

    /// An ACK inside the dialog, by the number of its INVITE.
    pub fn acknowledged(&mut self, turn: &mut Turn<'_>, leg: usize, ack: &Request) {
        let cseq = ack.cseq().map_or(0, |cseq| cseq.number);
        let is_of = |repeating: &Option<Repeating>| {
            repeating.as_ref().is_some_and(|repeating| repeating.cseq == cseq)
        };
        let (of_first, of_second) = (is_of(&self.accepted), is_of(&self.modified));
        if !of_first && !of_second {
            return;
        }
        if of_second {
            self.stop_modified(turn);
        }
        let awaited = self.legs.get(leg).is_some_and(|leg| leg.negotiation == Negotiation::Sent);
        if awaited && self.offered.is_none() {
            match headers::body(ack) {
                Some(body) => {
                    self.offer(leg, Offer::PeerAnswers);
                    turn.tell(Told::OfferAnswered { call: self.id, body });
                }
                None => {
                    self.offer(leg, Offer::Refused);
                }
            }
        }
        if of_first {
            self.callee(turn, Event::Ack);
        }
    }

    pub(super) fn callee(&mut self, turn: &mut Turn<'_>, event: Event) {
        self.callee_with(turn, event, Cause::default());
    }

    fn callee_with(&mut self, turn: &mut Turn<'_>, event: Event, mut cause: Cause) {
        let Side::Callee(state) = self.side else { return };
        let (state, actions) = state.on_event(event);
        self.side = Side::Callee(state);
        for action in actions {
            match action {
                Action::SendProgress => {
                    turn.stack.alarms.stop(self.id, Alarm::Trying);
                    if self.is_reliable(turn.settings.reliable, &cause.body) {
                        self.send_reliable(turn, cause.status, cause.body.take());
                    } else {
                        self.send_progress(turn, cause.status, cause.body.take());
                    }
                }
                Action::SendOk => self.send_ok(turn, cause.body.take()),
                Action::SendRefusal => {
                    let mut answer = Answer::new(cause.status);
                    answer.lines.push_all(&cause.headers);
                    self.refuse(turn, &answer);
                }
                Action::SendDecline => self.refuse(turn, &Answer::new(603)),
                Action::SendTerminated => self.refuse(turn, &Answer::new(487)),
                Action::SendTimeout => self.refuse(turn, &Answer::new(504)),
                Action::StopRepeating => {
                    self.accepted = None;
                    turn.stack.alarms.stop(self.id, Alarm::RepeatAccepted);
                    turn.stack.alarms.stop(self.id, Alarm::NoAck);
                }
                Action::SendBye => self.send_bye(turn),
                Action::TellEstablished => turn.tell(Told::Established { call: self.id }),
                Action::TellEnded => self.tell_ended(turn),
            }
        }
    }

    fn refuse(&mut self, turn: &mut Turn<'_>, answer: &Answer) {
        self.reliable(turn, reliable::Event::Final, None);
        if let Some(context) = self.served {
            turn.respond(context, answer);
        }
    }

    /// What a response to the INVITE carries beside its body (§12.1.1: Record-Route copied, Contact added).
    pub(super) fn invite_answer(&self, turn: &Turn<'_>, status: u16) -> Answer {
        let mut lines = Lines::default();
        let request = self.served.and_then(|context| turn.request(context));
        if let Some(request) = request {
            for route in request.headers(Name::RecordRoute) {
                lines.push("Record-Route", text(route));
            }
        }
        let mut answer = Answer::new(status);
        lines.append(self.dialog_lines(turn));
        answer.lines = lines;
        answer
    }

    fn send_progress(&mut self, turn: &mut Turn<'_>, status: u16, body: Option<Body>) {
        let Some(context) = self.served else { return };
        let mut answer = self.invite_answer(turn, status);
        answer.body = body;
        turn.respond(context, &answer);
        turn.stack.alarms.set(self.id, Alarm::StillRinging, turn.now + MINUTE);
    }

    /// The body that goes out, if one may: our answer, or our offer where the peer asked for it.
    pub(super) fn describe(&mut self, leg: usize, body: Option<Body>) -> Option<Body> {
        let state = self.legs.get(leg)?.negotiation;
        let event = match state {
            Negotiation::Received => Offer::WeAnswer,
            Negotiation::Asked => Offer::WeOffer,
            // RFC 6337 §2.2: answered already; a second description would be another offer.
            Negotiation::Stable | Negotiation::Sent => return None,
        };
        if body.is_some() {
            self.offer(leg, event);
            self.described.clone_from(&body);
        }
        body
    }

    fn send_ok(&mut self, turn: &mut Turn<'_>, body: Option<Body>) {
        let Some(context) = self.served else { return };
        self.reliable(turn, reliable::Event::Final, None);
        for alarm in [Alarm::Trying, Alarm::StillRinging, Alarm::InviteExpires] {
            turn.stack.alarms.stop(self.id, alarm);
        }
        let mut answer = self.invite_answer(turn, 200);
        answer.lines.push("Accept", crate::ua::admit::ACCEPT);
        let agreed = turn.request(context).map(|r| session_timer::agree(r, turn.settings));
        self.write_agreed(agreed, &mut answer.lines);
        answer.body = self.describe(0, body);
        let cseq = self.legs.first().map_or(0, |leg| leg.invite_cseq);
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.confirm();
        }
        self.leg = Some(0);
        if let Some(wire) = turn.respond(context, &answer) {
            let gap = turn.settings.timers.t1;
            self.accepted = Some(Repeating { context, cseq, wire, gap });
            turn.stack.alarms.set(self.id, Alarm::RepeatAccepted, turn.now + gap);
            turn.stack.alarms.set(self.id, Alarm::NoAck, turn.now + gap * 64);
        }
        self.callee_agreed(turn, agreed);
        // RFC 3891 §3: "the UA [...] accepts the new call [...] and ends the replaced one".
        if let Some(replaced) = self.replaces.take() {
            turn.stack.notes.push(Note::Replaced(replaced));
        }
    }

    /// One of our alarms.
    pub fn alarm(&mut self, turn: &mut Turn<'_>, alarm: Alarm) {
        match alarm {
            Alarm::Trying => {
                let context = match self.waiting {
                    Some(Waiting::Reinvite(context)) => Some(context),
                    _ => self.served,
                };
                if let Some(context) = context {
                    turn.respond(context, &Answer::new(100));
                }
            }
            Alarm::StillRinging => self.ring(turn, 180, None),
            Alarm::InviteExpires => {
                self.ended = (EndedBy::Peer, Some("the INVITE has expired".into()));
                self.callee(turn, Event::Expired);
            }
            Alarm::RepeatAccepted => repeat(turn, self.id, &mut self.accepted, alarm),
            Alarm::RepeatModified => repeat(turn, self.id, &mut self.modified, alarm),
            Alarm::NoAck => {
                self.ended = (EndedBy::NoAck, None);
                self.callee(turn, Event::NoAck);
            }
            // §14.2 sends back to §13.3.1.4: the same for a re-INVITE.
            Alarm::NoModifiedAck => {
                self.stop_modified(turn);
                self.ended = (EndedBy::NoAck, None);
                match self.side {
                    Side::Caller(_) => self.caller(turn, caller::Event::Over),
                    Side::Callee(_) => self.callee(turn, Event::Over),
                }
            }
            Alarm::RepeatReliable => self.reliable(turn, reliable::Event::Repeat, None),
            Alarm::NoPrack => self.reliable(turn, reliable::Event::GiveUp, None),
            Alarm::Glare => self.try_again(turn),
            Alarm::Refresh => self.timer(turn, session_timer::Event::HalfTime),
            Alarm::SessionEnds => self.timer(turn, session_timer::Event::Ends),
            Alarm::ReferEnds => self.referral_expired(turn),
        }
    }
}

/// RFC 3261 §13.3.1.4.
fn repeat(turn: &mut Turn<'_>, call: CallId, repeating: &mut Option<Repeating>, alarm: Alarm) {
    let Some(repeating) = repeating else { return };
    turn.repeat(repeating.context, 200, repeating.wire.clone());
    repeating.gap = (repeating.gap * 2).min(turn.settings.timers.t2);
    turn.stack.alarms.set(call, alarm, turn.now + repeating.gap);
}
