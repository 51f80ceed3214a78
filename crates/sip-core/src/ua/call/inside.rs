//! Requests of the peer inside the dialog, and what becomes of ours there (RFC 3261 §12.2). It decides by method; offers
//! are `modify`'s, REFER and NOTIFY `transfer`'s.

use sip_message::{Method, Name, Request};

use crate::rejection::Rejection;
use crate::transaction::ContextId;

use super::{Call, Side, callee, caller};
use crate::ua::admit;
use crate::ua::command::Body;
use crate::ua::draft::Lines;
use crate::ua::event::{EndedBy, Event, Failure};
use crate::ua::exchange::{ExchangeId, Outcome, Purpose};
use crate::ua::headers::{self, text};
use crate::ua::outcome::failure;
use crate::ua::served::Answer;
use crate::ua::stack::Turn;

impl Call {
    /// RFC 3261 §12.2.2.
    pub fn inside(
        &mut self,
        turn: &mut Turn<'_>,
        leg: usize,
        context: ContextId,
        request: &Request,
    ) {
        let received = match (self.legs.get_mut(leg), request.cseq()) {
            (Some(leg), Ok(cseq)) => leg.dialog.receive(cseq),
            _ => Err(Rejection::does_not_exist()),
        };
        if let Err(rejection) = received {
            turn.respond(context, &Answer::from(&rejection));
            return;
        }
        match request.method() {
            Method::Bye => self.bye_received(turn, context, request),
            Method::Invite => self.reinvited(turn, leg, context, request),
            Method::Update => self.updated(turn, leg, context, request),
            Method::Prack => self.pracked(turn, leg, context, request),
            Method::Refer => self.refer_received(turn, context, request),
            Method::Notify => self.notified(turn, context, request),
            Method::Info => {
                turn.respond(context, &Answer::new(200));
                turn.tell(Event::InfoReceived { call: self.id, body: headers::body(request) });
            }
            Method::Message => {
                turn.respond(context, &Answer::new(200));
                turn.tell(message(request));
            }
            Method::Options => {
                turn.respond(context, &options(turn));
            }
            _ => {
                turn.respond(context, &Answer::from(&Rejection::method_not_allowed(admit::ALLOW)));
            }
        }
    }

    /// RFC 3261 §15.1.2.
    fn bye_received(&mut self, turn: &mut Turn<'_>, context: ContextId, request: &Request) {
        let is_open = match self.side {
            // A callee has no business ending an early dialog with BYE (§15).
            Side::Caller(state) => !matches!(
                state,
                caller::State::Calling | caller::State::Proceeding | caller::State::Cancelling
            ),
            Side::Callee(_) => true,
        };
        if !is_open {
            turn.respond(context, &Answer::from(&Rejection::does_not_exist()));
            return;
        }
        turn.respond(context, &Answer::new(200));
        let is_ours = matches!(
            self.side,
            Side::Caller(caller::State::Terminating) | Side::Callee(callee::State::Terminating)
        );
        if !is_ours {
            self.ended = (EndedBy::Peer, request.header(Name::Reason).map(text));
        }
        match self.side {
            Side::Caller(_) => self.caller(turn, caller::Event::PeerBye),
            Side::Callee(_) => self.callee(turn, callee::Event::PeerBye),
        }
    }

    /// What became of a request of ours inside the dialog.
    pub fn inside_answered(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        purpose: Purpose,
        outcome: Outcome<'_>,
    ) {
        if let Outcome::Response(response) = outcome
            && response.status() < 200
        {
            if purpose == Purpose::Reinvite
                && let Some(leg) = self.current()
            {
                let body = headers::body(response);
                self.take_reliable(turn, leg, response, &body);
            }
            return;
        }
        match purpose {
            Purpose::Bye => self.bye_done(turn),
            Purpose::Reinvite | Purpose::Update | Purpose::Refresh => {
                self.modified_answered(turn, id, purpose, outcome);
            }
            Purpose::Info => {
                let outcome = result(outcome);
                turn.tell(Event::InfoAnswered { call: self.id, outcome });
            }
            Purpose::Refer => self.refer_answered(turn, outcome),
            Purpose::Notify => self.notify_answered(turn, outcome),
            // RFC 3262 §4 says nothing of a PRACK that fails: the callee repeats its response, or gives up.
            Purpose::Prack => {}
        }
        if purpose != Purpose::Bye && is_lost(outcome) && self.is_standing() {
            self.over(turn, EndedBy::Lost);
        }
    }

    pub fn send_digits(&mut self, turn: &mut Turn<'_>, body: Body) {
        let leg = self.leg.filter(|_| self.is_standing());
        let Some(leg) = leg else {
            let outcome = Err(Failure::NotPossible { why: "the call is not answered" });
            return turn.tell(Event::InfoAnswered { call: self.id, outcome });
        };
        self.send(turn, leg, Purpose::Info, Lines::default(), Some(body));
    }
}

/// RFC 3261 §12.2.1.2: "If the response for a request within a dialog is a 481 or a 408, the UAC SHOULD terminate the
/// dialog. A UAC SHOULD also terminate a dialog if no response at all is received for the request".
fn is_lost(outcome: Outcome<'_>) -> bool {
    match outcome {
        Outcome::Response(response) => matches!(response.status(), 408 | 481),
        Outcome::Failure(why) => matches!(why, Failure::Timeout { .. }),
    }
}

pub(super) fn result(outcome: Outcome<'_>) -> Result<(), Failure> {
    match outcome {
        Outcome::Response(response) if response.status() < 300 => Ok(()),
        Outcome::Response(response) => Err(failure(response)),
        Outcome::Failure(why) => Err(why.clone()),
    }
}

/// RFC 3428 §7: what a MESSAGE is to our user.
pub(in crate::ua) fn message(request: &Request) -> Event {
    let address = |name| text(request.header(name).unwrap_or_default());
    Event::MessageReceived {
        from: address(Name::From),
        to: address(Name::To),
        body: headers::body(request),
        call_id: text(request.call_id().unwrap_or_default()),
    }
}

/// RFC 3261 §11.2: what we can do.
pub(in crate::ua) fn options(turn: &Turn<'_>) -> Answer {
    Answer::new(200)
        .with("Allow", admit::ALLOW)
        .with("Accept", admit::ACCEPT)
        .with("Accept-Encoding", "identity")
        .with("Accept-Language", "en")
        .with("Supported", admit::supported(turn.settings.reliable))
}
