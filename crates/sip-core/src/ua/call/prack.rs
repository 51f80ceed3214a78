//! PRACK (RFC 3262), both sides: the caller acknowledges each reliable provisional response in order, the callee repeats
//! one until it is acknowledged. `reliable` decides, this file acts.

use sip_message::{Name, Request, Response};

use crate::limits::RELIABLE_QUEUED;
use crate::time::Duration;
use crate::transaction::ContextId;

use super::negotiation::{Event as Offer, State as Negotiation, Verdict};
use super::reliable::{self, Action, Event};
use super::{Call, Waiting, callee};
use crate::ua::alarm::Alarm;
use crate::ua::command::Body;
use crate::ua::draft::Lines;
use crate::ua::event::{EndedBy, Event as Told};
use crate::ua::exchange::Purpose;
use crate::ua::headers::{self, lists, number};
use crate::ua::served::Answer;
use crate::ua::settings::Reliable;
use crate::ua::stack::Turn;

/// What a provisional response was to the caller.
pub(super) enum Taken {
    /// Not a reliable one.
    Not,
    /// The next reliable one; its PRACK is on its way.
    Next,
    /// The same with an offer: its PRACK waits for our answer.
    Offer,
    /// A repetition, or out of order: as if it had not come.
    Again,
}

impl Call {
    /// RFC 3262 §4: "the UAC MUST" acknowledge a response with Require: 100rel and RSeq, if it is the next of its dialog.
    pub(super) fn take_reliable(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        response: &Response,
        body: &Option<Body>,
    ) -> Taken {
        let is_reliable = lists(response, Name::Require, "100rel");
        let Some(rseq) = number(response, Name::RSeq).filter(|_| is_reliable) else {
            return Taken::Not;
        };
        let Some(state) = self.legs.get_mut(leg) else { return Taken::Not };
        if !reliable::is_next(state.rseq, rseq) {
            return Taken::Again;
        }
        state.rseq = Some(rseq);
        let offer = match (body, state.negotiation) {
            (Some(_), Negotiation::Sent) => {
                state.offer(Offer::PeerAnswers);
                false
            }
            (Some(_), Negotiation::Stable) if !state.is_described => {
                state.offer(Offer::PeerOffers) == Verdict::Go
            }
            _ => false,
        };
        if offer {
            self.waiting = Some(Waiting::Provisional { rseq, leg });
            return Taken::Offer;
        }
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        self.send_prack(turn, leg, (rseq, cseq), None);
        Taken::Next
    }

    /// RFC 3262 §7.2: RAck names the response and its request.
    pub(super) fn send_prack(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        (rseq, cseq): (u32, u32),
        body: Option<Body>,
    ) {
        let mut lines = Lines::default();
        lines.push("RAck", format_args!("{rseq} {cseq} INVITE"));
        self.send(turn, leg, Purpose::Prack, lines, body);
    }

    /// RFC 3262 §3: whether a provisional response of ours goes reliably.
    pub(super) fn is_reliable(&self, mode: Reliable, body: &Option<Body>) -> bool {
        match mode {
            Reliable::Never => false,
            Reliable::Required => self.peer.knows_reliable,
            Reliable::Supported => {
                self.peer.wants_reliable || (self.peer.knows_reliable && body.is_some())
            }
        }
    }

    pub(super) fn send_reliable(&mut self, turn: &mut Turn<'_>, status: u16, body: Option<Body>) {
        self.reliable(turn, Event::Send, Some((status, body)));
    }

    pub(super) fn reliable(
        &mut self,
        turn: &mut Turn<'_>,
        event: Event,
        mut response: Option<(u16, Option<Body>)>,
    ) {
        let (state, actions) = self.reliable.state.on_event(event);
        self.reliable.state = state;
        for action in actions {
            match action {
                Action::Transmit => {
                    if let Some((status, body)) = response.take() {
                        self.transmit_reliable(turn, status, body);
                    }
                }
                Action::Enqueue => {
                    if self.reliable.queue.len() < RELIABLE_QUEUED.max {
                        self.reliable.queue.extend(response.take());
                    }
                }
                Action::Again => {
                    if let (Some((status, wire)), Some(context)) =
                        (self.reliable.wire.clone(), self.served)
                    {
                        turn.repeat(context, status, wire);
                    }
                    self.reliable.gap *= 2;
                    let at = turn.now + self.reliable.gap;
                    turn.stack.alarms.set(self.id, Alarm::RepeatReliable, at);
                }
                Action::Disarm => {
                    turn.stack.alarms.stop(self.id, Alarm::RepeatReliable);
                    turn.stack.alarms.stop(self.id, Alarm::NoPrack);
                    self.reliable.wire = None;
                }
                Action::TransmitNext => {
                    self.reliable.has_body = false;
                    if let Some(next) = self.reliable.queue.pop_front() {
                        self.reliable(turn, Event::Send, Some(next));
                    }
                }
                Action::Reject => {
                    self.ended = (EndedBy::NoPrack, None);
                    self.callee(turn, callee::Event::NoPrack);
                }
            }
        }
    }

    fn transmit_reliable(&mut self, turn: &mut Turn<'_>, status: u16, body: Option<Body>) {
        let Some(context) = self.served else { return };
        if self.reliable.rseq == 0 {
            self.reliable.rseq = 1 + turn.stack.mint.below((1 << 31) - 1) as u32;
        } else {
            self.reliable.rseq += 1;
        }
        self.reliable.open = Some(self.reliable.rseq);
        self.reliable.has_body = body.is_some();
        let body = self.describe(0, body);
        let mut answer = self.invite_answer(turn, status);
        answer.lines.push("Require", "100rel");
        answer.lines.push("RSeq", self.reliable.rseq);
        answer.body = body;
        self.reliable.wire = turn.respond(context, &answer).map(|wire| (status, wire));
        let Self { id, .. } = *self;
        let t1 = turn.settings.timers.t1;
        self.reliable.gap = t1;
        turn.stack.alarms.set(id, Alarm::RepeatReliable, turn.now + t1);
        turn.stack.alarms.set(id, Alarm::NoPrack, turn.now + t1 * 64);
        let minute = turn.now + Duration::from_secs(60);
        turn.stack.alarms.set(id, Alarm::StillRinging, minute);
    }

    /// A PRACK to us (RFC 3262 §3).
    pub(super) fn pracked(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        context: ContextId,
        request: &Request,
    ) {
        let invite = self.legs.get(leg).map(|leg| leg.invite_cseq);
        let open = self.reliable.open.zip(invite);
        // "If the PRACK request does not match any unacknowledged reliable provisional response, the UAS MUST respond to
        // the PRACK with a 481 response."
        if open.is_none() || reliable::rack(request) != open {
            turn.respond(context, &Answer::new(481));
            return;
        }
        self.reliable.open = None;
        let body = headers::body(request);
        let negotiation = self.legs.get(leg).map(|leg| leg.negotiation);
        match (body, negotiation) {
            (Some(body), Some(Negotiation::Sent)) => {
                self.offer(leg, Offer::PeerAnswers);
                turn.respond(context, &Answer::new(200));
                turn.tell(Told::OfferAnswered { call: self.id, body });
            }
            // "If the PRACK contained a session description": an offer of its own, answered in its 2xx (§5).
            (Some(body), Some(Negotiation::Stable)) if self.waiting.is_none() => {
                self.offer(leg, Offer::PeerOffers);
                self.waiting = Some(Waiting::Prack(context));
                turn.tell(Told::Offered { call: self.id, body: Some(body) });
            }
            _ => {
                turn.respond(context, &Answer::new(200));
            }
        }
        self.reliable(turn, Event::Prack, None);
        // RFC 3262 §3: "the UAS MUST NOT send the 2xx until the provisional response is acknowledged", if that carried a
        // description.
        if self.reliable.state == reliable::State::Idle
            && let Some(body) = self.postponed.take()
        {
            self.answer(turn, body);
        }
    }

    pub(super) fn offer(&mut self, leg: usize, event: Offer) -> Verdict {
        self.legs.get_mut(leg).map_or(Verdict::Misfit, |leg| leg.offer(event))
    }
}
