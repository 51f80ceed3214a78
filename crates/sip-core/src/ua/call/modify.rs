//! New offers inside a dialog (RFC 3261 §14, RFC 3311): ours, theirs, and the two of them meeting. `negotiation` decides
//! whose turn it is, this file acts.

use sip_message::{Name, Request, Response};

use crate::time::Duration;
use crate::transaction::ContextId;

use super::negotiation::{Event as Offer, State as Negotiation, Verdict};
use super::serve::TRYING;
use super::session_timer::{self, Wish};
use super::{Call, Repeating, Waiting};
use crate::ua::alarm::Alarm;
use crate::ua::command::{Body, By};
use crate::ua::event::{Event, Failure};
use crate::ua::exchange::{Acknowledged, ExchangeId, Outcome, Purpose};
use crate::ua::headers::{self, number, text};
use crate::ua::outcome::{failure, retry_after};
use crate::ua::served::Answer;
use crate::ua::stack::Turn;

/// RFC 3261 §14.1: the windows of the one who made the Call-ID, and of the other.
const OWNER: (Duration, Duration) = (Duration::from_millis(2_100), Duration::from_millis(4_000));
const OTHER: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(2_000));

impl Call {
    /// A new offer of our user.
    pub fn offer_new(&mut self, turn: &mut Turn<'_>, body: Body, by: By) {
        let refused = |turn: &mut Turn<'_>, call, why| {
            turn.tell(Event::OfferRefused { call, why: Failure::NotPossible { why } });
        };
        let Some(leg) = self.current() else {
            return refused(turn, self.id, "there is no dialog yet");
        };
        let standing = self.is_standing();
        let by_update = by == By::Update || (by == By::Either && !standing);
        if by_update && !self.peer.allows_update {
            return refused(turn, self.id, "the peer does not take UPDATE");
        }
        if !by_update && !standing {
            return refused(turn, self.id, "a re-INVITE needs an answered call");
        }
        // RFC 3261 §14.1: not "while another INVITE transaction is in progress in either direction".
        let is_free = self.retry.is_none() && self.waiting.is_none() && self.modified.is_none();
        let is_described = self.legs.get(leg).is_some_and(|leg| leg.is_described);
        if !is_free || !is_described || self.offer(leg, Offer::WeOffer) != Verdict::Go {
            return refused(turn, self.id, "another offer is not answered yet");
        }
        let purpose = if by_update { Purpose::Update } else { Purpose::Reinvite };
        self.send_offer(turn, leg, purpose, body, by);
    }

    fn send_offer(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        purpose: Purpose,
        body: Body,
        by: By,
    ) {
        let mut lines = self.dialog_lines(turn);
        session_timer::ask(self.wish(), self.min_se, &mut lines);
        if let Some(leg) = self.legs.get_mut(leg).filter(|_| purpose == Purpose::Reinvite) {
            // RFC 3262 §4: the order of RSeq is within one request.
            leg.rseq = None;
        }
        let sent = self.send(turn, leg, purpose, lines, Some(body.clone()));
        self.offered = sent.map(|id| (id, body, by));
    }

    /// RFC 4028 §7.4: a refresh asks for the interval in force, and keeps the refresher.
    fn wish(&self) -> Option<Wish> {
        use session_timer::State::{Off, Ours, Refreshing, Theirs};
        let by_uac = match self.timer {
            Off => return None,
            Ours | Refreshing => true,
            Theirs => false,
        };
        Some(Wish { interval: self.interval, by_uac: Some(by_uac) })
    }

    /// RFC 4028 §7.4: an UPDATE without offer where the peer takes one, or a re-INVITE that repeats the last description.
    pub(super) fn refresh(&mut self, turn: &mut Turn<'_>) {
        let Some(leg) = self.leg else { return };
        if self.peer.allows_update {
            let mut lines = self.dialog_lines(turn);
            session_timer::ask(self.wish(), self.min_se, &mut lines);
            self.send(turn, leg, Purpose::Refresh, lines, None);
            return;
        }
        match self.described.clone() {
            Some(body) if self.offer(leg, Offer::WeOffer) == Verdict::Go => {
                self.send_offer(turn, leg, Purpose::Reinvite, body, By::Reinvite);
            }
            // An offer is open: its 2xx refreshes as well.
            _ => self.timer(turn, session_timer::Event::Failed),
        }
    }

    /// What became of an offer or a refresh of ours.
    pub(super) fn modified_answered(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        purpose: Purpose,
        outcome: Outcome<'_>,
    ) {
        let offered = self.offered.take_if(|(open, ..)| *open == id);
        match outcome {
            Outcome::Response(response) if response.status() < 300 => {
                self.modified_accepted(turn, id, purpose, offered, response);
            }
            Outcome::Response(response) => {
                self.modified_refused(turn, purpose, offered, response);
            }
            Outcome::Failure(why) => {
                self.withdraw(offered.is_some());
                self.timer(turn, session_timer::Event::Failed);
                if offered.is_some() {
                    turn.tell(Event::OfferRefused { call: self.id, why: why.clone() });
                }
            }
        }
    }

    fn withdraw(&mut self, is_open: bool) {
        if let Some(leg) = self.current().filter(|_| is_open) {
            self.offer(leg, Offer::Refused);
        }
    }

    fn modified_accepted(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        purpose: Purpose,
        offered: Option<(ExchangeId, Body, By)>,
        response: &Response,
    ) {
        let Some(leg) = self.current() else { return };
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.dialog.refresh_target(response);
        }
        self.note_peer(response);
        if purpose == Purpose::Reinvite {
            let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default().into();
            if let Some(exchange) = turn.stack.exchanges.get_mut(&id) {
                exchange.acks.push(Acknowledged { tag, sent: None });
            }
            self.send_ack(turn, Some(id), None);
        }
        self.session_agreed(turn, response);
        let Some((_, ours, _)) = offered else { return };
        self.described = Some(ours);
        let call = self.id;
        let is_open = self.legs.get(leg).is_some_and(|l| l.negotiation == Negotiation::Sent);
        match headers::body(response).filter(|_| is_open) {
            Some(body) => {
                self.offer(leg, Offer::PeerAnswers);
                turn.tell(Event::OfferAnswered { call, body });
            }
            None if is_open => {
                self.offer(leg, Offer::Refused);
                let why = Failure::NotPossible { why: "the peer accepted the offer unanswered" };
                turn.tell(Event::OfferRefused { call, why });
            }
            // A reliable provisional response brought it.
            None => {}
        }
    }

    fn modified_refused(
        &mut self,
        turn: &mut Turn<'_>,
        purpose: Purpose,
        offered: Option<(ExchangeId, Body, By)>,
        response: &Response,
    ) {
        self.withdraw(offered.is_some());
        let status = response.status();
        // RFC 4028 §7.3.
        let least = number(response, Name::MinSe).map(|s| Duration::from_secs(s.into()));
        if let Some(least) = least.filter(|least| status == 422 && *least > self.min_se) {
            self.min_se = least;
            match offered {
                Some((_, body, by)) => self.offer_again(turn, purpose, body, by),
                None => self.refresh(turn),
            }
            return;
        }
        // RFC 4028 §7.4: who does not take UPDATE gets a re-INVITE.
        if purpose == Purpose::Refresh && matches!(status, 405 | 420 | 501) {
            self.peer.allows_update = false;
            return self.refresh(turn);
        }
        let wait = match status {
            491 => {
                let is_owner = matches!(self.side, super::Side::Caller(_));
                let (least, most) = if is_owner { OWNER } else { OTHER };
                Some(turn.stack.mint.between(least, most))
            }
            // RFC 3311 §5.3, RFC 3261 §14.2: the peer is answering another one.
            500 => retry_after(response).filter(|wait| *wait <= Duration::from_secs(10)),
            _ => None,
        };
        match (wait, offered) {
            (Some(wait), Some((_, body, by))) => {
                self.retry = Some((body, by));
                turn.stack.alarms.set(self.id, Alarm::Glare, turn.now + wait);
            }
            (Some(wait), None) => {
                self.timer(turn, session_timer::Event::Failed);
                turn.stack.alarms.set(self.id, Alarm::Refresh, turn.now + wait);
            }
            (None, offered) => {
                self.timer(turn, session_timer::Event::Failed);
                if offered.is_some() {
                    let why = failure(response);
                    turn.tell(Event::OfferRefused { call: self.id, why });
                }
            }
        }
    }

    fn offer_again(&mut self, turn: &mut Turn<'_>, purpose: Purpose, body: Body, by: By) {
        let Some(leg) = self.current() else { return };
        if self.offer(leg, Offer::WeOffer) == Verdict::Go {
            self.send_offer(turn, leg, purpose, body, by);
        }
    }

    /// RFC 3261 §14.1: "it SHOULD attempt the re-INVITE once more, if it still desires for that session modification to
    /// take place." If the peer's own offer is being answered just now, after that.
    pub(super) fn try_again(&mut self, turn: &mut Turn<'_>) {
        let Some((body, by)) = self.retry.take() else { return };
        let is_free = self
            .current()
            .and_then(|leg| self.legs.get(leg))
            .is_some_and(|leg| leg.negotiation == Negotiation::Stable && self.modified.is_none());
        if is_free {
            self.offer_new(turn, body, by);
        } else {
            self.retry = Some((body, by));
            let wait = turn.stack.mint.between(OWNER.0, OWNER.1);
            turn.stack.alarms.set(self.id, Alarm::Glare, turn.now + wait);
        }
    }

    /// A re-INVITE of the peer (RFC 3261 §14.2).
    pub(super) fn reinvited(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        context: ContextId,
        request: &Request,
    ) {
        let body = headers::body(request);
        let verdict = match (self.is_standing(), self.side) {
            (true, _) if self.modified.is_some() => Verdict::Busy,
            (true, _) => {
                self.offer(leg, if body.is_some() { Offer::PeerOffers } else { Offer::PeerAsks })
            }
            (false, super::Side::Caller(_)) => Verdict::Pending,
            (false, super::Side::Callee(_)) => Verdict::Busy,
        };
        if self.clashes(turn, context, verdict) {
            return;
        }
        if let session_timer::Answer::TooSmall(least) = session_timer::agree(request, turn.settings)
        {
            self.offer(leg, Offer::Refused);
            turn.respond(context, &Answer::new(422).with("Min-SE", least.as_secs()));
            return;
        }
        self.waiting = Some(Waiting::Reinvite(context));
        turn.stack.alarms.set(self.id, Alarm::Trying, turn.now + TRYING);
        self.note_peer(request);
        turn.tell(Event::Offered { call: self.id, body });
    }

    /// 491, or 500 with a Retry-After of 0 to 10 s.
    fn clashes(&self, turn: &mut Turn<'_>, context: ContextId, verdict: Verdict) -> bool {
        let answer = match verdict {
            Verdict::Go => return false,
            Verdict::Pending => Answer::new(491),
            Verdict::Busy | Verdict::Misfit => {
                let seconds = turn.stack.mint.below(11);
                Answer::new(500).with("Retry-After", seconds)
            }
        };
        turn.respond(context, &answer);
        true
    }

    /// An UPDATE of the peer (RFC 3311 §5.2). Without an offer it only refreshes.
    pub(super) fn updated(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        context: ContextId,
        request: &Request,
    ) {
        let body = headers::body(request);
        let is_waiting = matches!(self.waiting, Some(Waiting::Update(_)));
        let verdict = match &body {
            // "If an UPDATE is received that [comes] before the UAS has generated a final response to a previous UPDATE on
            // the same dialog, the UAS MUST return a 500 response".
            _ if is_waiting => Verdict::Busy,
            Some(_) => self.offer(leg, Offer::PeerOffers),
            None => Verdict::Go,
        };
        if self.clashes(turn, context, verdict) {
            return;
        }
        let agreed = session_timer::agree(request, turn.settings);
        if let session_timer::Answer::TooSmall(least) = agreed {
            if body.is_some() {
                self.offer(leg, Offer::Refused);
            }
            turn.respond(context, &Answer::new(422).with("Min-SE", least.as_secs()));
            return;
        }
        self.note_peer(request);
        match body {
            Some(body) => {
                self.waiting = Some(Waiting::Update(context));
                turn.tell(Event::Offered { call: self.id, body: Some(body) });
            }
            None => {
                self.accept_modification(turn, leg, context, None, Some(request));
            }
        }
    }

    /// The user's answer to `Event::Offered`.
    pub fn answer_offer(&mut self, turn: &mut Turn<'_>, body: Body) {
        let Some(waiting) = self.waiting.take() else { return };
        let Some(leg) = self.current() else { return };
        turn.stack.alarms.stop(self.id, Alarm::Trying);
        match waiting {
            Waiting::Reinvite(context) | Waiting::Update(context) => {
                let body = self.describe(leg, Some(body));
                let wire = self.accept_modification(turn, leg, context, body, None);
                if let (Waiting::Reinvite(_), Some((cseq, wire))) = (waiting, wire) {
                    let gap = turn.settings.timers.t1;
                    self.modified = Some(Repeating { context, cseq, wire, gap });
                    turn.stack.alarms.set(self.id, Alarm::RepeatModified, turn.now + gap);
                    turn.stack.alarms.set(self.id, Alarm::NoModifiedAck, turn.now + gap * 64);
                }
            }
            Waiting::Prack(context) => {
                let answer = Answer { body: self.describe(leg, Some(body)), ..Answer::new(200) };
                turn.respond(context, &answer);
            }
            Waiting::Provisional { rseq, leg } => {
                let cseq = self.legs.get(leg).map_or(0, |leg| leg.invite_cseq);
                let body = self.describe(leg, Some(body));
                self.send_prack(turn, leg, (rseq, cseq), body);
            }
        }
    }

    /// 200 to a re-INVITE or an UPDATE, and what follows from it for the dialog (RFC 3261 §12.2.2: the remote target).
    fn accept_modification(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        context: ContextId,
        body: Option<Body>,
        request: Option<&Request>,
    ) -> Option<(u32, bytes::Bytes)> {
        let request = match request {
            Some(request) => request.clone(),
            None => turn.request(context)?.clone(),
        };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.dialog.refresh_target(&request);
        }
        let mut answer = Answer { body, ..Answer::new(200) };
        answer.lines = self.dialog_lines(turn);
        // Before the call stands its INVITE decides about the timer.
        let agreed =
            Some(session_timer::agree(&request, turn.settings)).filter(|_| self.is_standing());
        self.write_agreed(agreed, &mut answer.lines);
        let wire = turn.respond(context, &answer)?;
        self.callee_agreed(turn, agreed);
        Some((cseq, wire))
    }

    pub fn refuse_offer(&mut self, turn: &mut Turn<'_>, status: u16) {
        let status = if (300..700).contains(&status) { status } else { 488 };
        let Some(waiting) = self.waiting.take() else { return };
        turn.stack.alarms.stop(self.id, Alarm::Trying);
        match waiting {
            Waiting::Reinvite(context) | Waiting::Update(context) | Waiting::Prack(context) => {
                self.withdraw(true);
                turn.respond(context, &Answer::new(status));
            }
            // RFC 3262 §5: an offer in a reliable response cannot be refused; who does not want it ends the call.
            Waiting::Provisional { .. } => {
                self.ended = (crate::ua::event::EndedBy::Us, Some(text(b"offer refused")));
                self.hang_up(turn);
            }
        }
    }

    /// RFC 3261 §15.1.2: requests that wait for an answer are ended with 487.
    pub(super) fn end_waiting(&mut self, turn: &mut Turn<'_>) {
        self.stop_modified(turn);
        if let Some(
            Waiting::Reinvite(context) | Waiting::Update(context) | Waiting::Prack(context),
        ) = self.waiting.take()
        {
            turn.respond(context, &Answer::new(487));
        }
    }

    pub(super) fn stop_modified(&mut self, turn: &mut Turn<'_>) {
        self.modified = None;
        turn.stack.alarms.stop(self.id, Alarm::RepeatModified);
        turn.stack.alarms.stop(self.id, Alarm::NoModifiedAck);
    }
}
