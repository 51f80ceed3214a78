//! What follows from each event of the agent, in a call.

use sip_core::ua::{Body, CallId, CallOptions, Command, EndedBy, Event, Failure, Subject};

use super::note::What;
use super::phone::{Due, Phone, leg_trouble};
use super::plan::Outgoing;
use crate::failure::Trouble;
use crate::target::address;

impl Phone<'_> {
    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Trying { call } => {
                self.forget(call, Due::Silence);
                self.say(call, What::Trying);
            }
            Event::Ringing { call, status, reason, body, early } => {
                self.ringing(call, status, &reason, body, early);
            }
            Event::Answered { call, body, acknowledge, early } => {
                self.peer_answered(call, body, acknowledge, early);
            }
            Event::Failed { call, why } => self.failed(call, &why),
            Event::Ended { call, by, reason } => self.ended(call, by, reason.map(String::from)),
            Event::Incoming { call, from, body, replaces, headers, .. } => {
                let from = address(&from);
                let named =
                    |(name, _): &&(Box<str>, Box<str>)| name.eq_ignore_ascii_case("call-id");
                let call_id = headers.iter().find(named).map(|(_, value)| value.to_string());
                self.incoming(call, from, body, replaces, call_id.unwrap_or_default());
            }
            Event::Offered { call, body } => self.offered(call, body),
            Event::OfferAnswered { call, body } => self.offer_answered(call, body),
            Event::OfferRefused { call, why } => {
                self.with(call, |leg| {
                    leg.withdraw();
                    let held = leg.is_holding();
                    leg.set_hold(!held);
                });
                self.say(call, What::HoldRefused { why: why.to_string() });
                self.hold_what_waited(call);
            }
            Event::Referred { call, to, attended, .. } => self.referred(call, &to, attended),
            Event::ReferProgress { call, status, reason } => {
                let reason = reason.to_string();
                self.say(call, What::TransferProgress { code: status, reason });
            }
            Event::ReferDone { call, outcome } => self.refer_done(call, outcome),
            Event::InfoReceived { call, body } => self.dialled(call, body),
            Event::MessageReceived { from, body, .. } => {
                let text = body.map_or(String::new(), |b| String::from_utf8_lossy(&b.bytes).into());
                let any = self.ids().first().copied().unwrap_or(CallId(0));
                self.say(any, What::Text { from: address(&from).to_owned(), text });
            }
            Event::Challenged { subject: Subject::Call(call), code, algorithm, .. } => {
                let patience = self.engine.now() + self.plan.timeout;
                self.forget(call, Due::Silence);
                self.due.push((patience, call, Due::Silence));
                self.say(call, What::Challenged { code, algorithm });
            }
            Event::Redirected { subject: Subject::Call(call), to } => {
                self.say(call, What::Redirected { to: to.to_string() });
            }
            Event::RegistrationFailed { why, retry } => {
                let trouble = Trouble::of("registration", &why, self.engine);
                let again =
                    retry.map_or(String::new(), |r| format!(" (again in {} s)", r.as_secs()));
                let words = format!("{trouble}{again}");
                let any = self.ids().first().copied().unwrap_or(CallId(0));
                self.say(any, What::Warning { words });
            }
            _ => {}
        }
    }

    fn ringing(&mut self, call: CallId, code: u16, reason: &str, body: Option<Body>, early: usize) {
        self.forget(call, Due::Silence);
        let now = self.engine.now();
        self.with(call, |leg| {
            leg.moments.ringing.get_or_insert(now);
            if let Some(body) = body {
                leg.keep_early(early, body);
            }
        });
        self.say(call, What::Ringing { code, reason: reason.to_owned() });
    }

    fn peer_answered(&mut self, call: CallId, body: Option<Body>, acknowledge: bool, early: usize) {
        self.forget(call, Due::Silence);
        let answered = self.with(call, |leg| {
            if acknowledge {
                // RFC 3264 §4: the 200 was the offer, the ACK is to answer it.
                let offer = body.ok_or(super::leg::LegError::NoBody)?;
                return leg.answer(&offer).map(Some);
            }
            if leg.awaits_answer() {
                let answer = leg.answer_of(body, early).ok_or(super::leg::LegError::NoBody)?;
                leg.answered(&answer)?;
            }
            Ok(None)
        });
        match answered {
            None => {}
            Some(Ok(answer)) => {
                if acknowledge {
                    self.engine.command(Command::Acknowledge { call, body: answer });
                }
                self.answered(call, true);
                self.consulted(call);
            }
            Some(Err(error)) => {
                let peer = self.with(call, |leg| leg.peer.clone()).unwrap_or_default();
                self.blame(leg_trouble(&format!("call to {peer}"), &error));
                if acknowledge {
                    self.engine.command(Command::Acknowledge { call, body: None });
                }
                self.hang_up(call);
            }
        }
    }

    fn failed(&mut self, call: CallId, why: &Failure) {
        let Some(peer) = self.with(call, |leg| leg.peer.clone()) else { return };
        let trouble = Trouble::of(&format!("call to {peer}"), why, self.engine);
        let code = trouble.code;
        self.with(call, |leg| leg.code = code);
        self.end(call, None, Some(why.to_string()), Some(trouble));
    }

    fn ended(&mut self, call: CallId, by: EndedBy, reason: Option<String>) {
        let before = self.with(call, |leg| (leg.moments.answered.is_none(), leg.peer.clone()));
        let Some((unanswered, _)) = before else { return };
        // A caller who gives up before we answer.
        let reason = match (unanswered, by) {
            (true, EndedBy::Peer) => reason.or(Some("the caller gave up".to_owned())),
            _ => reason,
        };
        self.end(call, Some(by), reason, None);
    }

    /// The peer's new offer: answered as we are, on hold or not.
    fn offered(&mut self, call: CallId, body: Option<Body>) {
        let done = self.with(call, |leg| {
            let before = leg.is_held();
            let body = match body {
                Some(offer) => leg.answer(&offer)?,
                None => leg.offer()?,
            };
            Ok::<_, super::leg::LegError>((body, before, leg.is_held()))
        });
        match done {
            None => {}
            Some(Ok((body, before, now))) => {
                self.engine.command(Command::AnswerOffer { call, body });
                self.agreed(call, before, now);
            }
            // RFC 3261 §14.2.
            Some(Err(_)) => self.engine.command(Command::RefuseOffer { call, status: 488 }),
        }
    }

    fn offer_answered(&mut self, call: CallId, body: Body) {
        let done = self.with(call, |leg| {
            if !leg.awaits_answer() {
                return Ok(None);
            }
            let before = leg.is_held();
            leg.answered(&body)?;
            Ok::<_, super::leg::LegError>(Some((before, leg.is_held(), leg.is_holding())))
        });
        match done {
            Some(Ok(Some((before, now, holding)))) => {
                let stands = self.with(call, |leg| leg.moments.answered.is_some()) == Some(true);
                let changed = self.with(call, |leg| {
                    let said = std::mem::replace(&mut leg.said_holding, holding);
                    said != holding
                });
                if stands && changed == Some(true) {
                    let what = if holding {
                        What::Held { by_us: true }
                    } else {
                        What::Resumed { by_us: true }
                    };
                    self.say(call, what);
                }
                self.agreed(call, before, now);
                self.hold_what_waited(call);
            }
            Some(Err(error)) => {
                self.say(call, What::Warning { words: error.to_string() });
                self.hang_up(call);
            }
            _ => {}
        }
    }

    fn hold_what_waited(&mut self, call: CallId) {
        if let Some(hold) = self.with(call, |leg| leg.hold_next.take()).flatten() {
            self.hold(call, hold);
        }
    }

    /// Goes on with the audio as agreed now.
    fn agreed(&mut self, call: CallId, held_before: bool, held_now: bool) {
        let stands = self.with(call, |leg| leg.moments.answered.is_some()) == Some(true);
        if !stands {
            return;
        }
        if let Err(error) = self.run_audio(call) {
            self.say(call, What::Warning { words: error.to_string() });
        }
        match (held_before, held_now) {
            (false, true) => self.say(call, What::Held { by_us: false }),
            (true, false) => self.say(call, What::Resumed { by_us: false }),
            _ => {}
        }
    }

    fn incoming(
        &mut self,
        call: CallId,
        from: &str,
        body: Option<Body>,
        replaces: Option<CallId>,
        call_id: String,
    ) {
        let (answering, transfer) = (self.plan.answer.as_ref(), replaces.is_some());
        if answering.is_none() && !transfer {
            // RFC 3261 §21.4.24: we are in a call of our own.
            return self.engine.command(Command::Reject { call, status: 486, headers: Vec::new() });
        }
        let leg = self.leg(call, from, body.as_ref()).and_then(|mut leg| {
            leg.call_id = call_id;
            let answer = body.map(|offer| leg.answer(&offer)).transpose()?;
            leg.answer = answer;
            Ok(leg)
        });
        let (code, delay) = match answering {
            Some(answering) if !transfer => (answering.code, answering.delay),
            _ => (200, std::time::Duration::ZERO),
        };
        let mut leg = match leg {
            Ok(leg) => leg,
            Err(error) => {
                self.say(
                    call,
                    What::Warning { words: format!("a call from {from} was refused: {error}") },
                );
                let (status, headers) = error.refusal();
                return self.engine.command(Command::Reject { call, status, headers });
            }
        };
        leg.code = Some(code);
        self.add(leg);
        self.say(call, What::Incoming { from: from.to_owned(), replaces: transfer });
        if !transfer && (code < 300 || !delay.is_zero()) {
            self.engine.command(Command::Ring { call, status: 180, body: None });
            let now = self.engine.now();
            self.with(call, |leg| leg.moments.ringing = Some(now));
        }
        self.due.push((self.engine.now() + delay, call, Due::Answer));
    }

    /// Answers an incoming call as planned.
    pub(super) fn answer(&mut self, call: CallId) {
        let Some((code, answer)) = self.with(call, |leg| (leg.code, leg.answer.take())) else {
            return;
        };
        let code = code.unwrap_or(200);
        if code >= 300 {
            let headers = self.plan.answer.as_ref().map_or(Vec::new(), |a| a.headers.clone());
            self.say(call, What::Rejected { code });
            self.engine.command(Command::Reject { call, status: code, headers });
            return self.end(call, Some(EndedBy::Us), None, None);
        }
        // Without an offer in the INVITE ours goes into the 200 (RFC 3261 §13.3.1.4).
        let body = match answer {
            Some(answer) => Some(answer),
            None => self.with(call, |leg| leg.offer().ok()).flatten(),
        };
        self.engine.command(Command::Answer { call, body });
        self.answered(call, false);
    }

    /// Somebody asks us to call somebody else.
    fn referred(&mut self, call: CallId, to: &str, attended: bool) {
        self.say(call, What::Referred { to: to.to_owned(), attended });
        self.engine.command(Command::AcceptRefer { call });
        let bare = to.split('?').next().unwrap_or(to);
        let name = bare.trim_start_matches("sip:").to_owned();
        let whom = self.next_hop(&name);
        let outgoing = Outgoing { uri: to.to_owned(), name, whom };
        let with = CallOptions { referred_by: Some(call), ..CallOptions::default() };
        if let Err(trouble) = self.place(&outgoing, with) {
            self.say(call, What::Warning { words: trouble.to_string() });
        }
    }

    /// RFC 6086: a digit as old phones send it.
    fn dialled(&mut self, call: CallId, body: Option<Body>) {
        let Some(body) = body else { return };
        let text = String::from_utf8_lossy(&body.bytes).into_owned();
        let key = match &*body.content_type {
            "application/dtmf" => text.trim().chars().next(),
            "application/dtmf-relay" => text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                name.trim().eq_ignore_ascii_case("signal").then(|| value.trim().chars().next())?
            }),
            _ => None,
        };
        if let Some(key) = key {
            self.with(call, |leg| leg.keys.push(key));
            self.say(call, What::KeyHeard { key });
        }
    }
}
