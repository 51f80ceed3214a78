//! Transfer (RFC 3515, RFC 3891, RFC 3892): a REFER of ours and what its NOTIFYs say; a REFER of the peer and the NOTIFYs
//! that go out as the new call proceeds. `refer` decides, this file acts. One REFER at a time and call.

use sip_message::{Name, Request};

use crate::time::Duration;
use crate::transaction::ContextId;

use super::refer::{
    self, Notifier, NotifierAction, NotifierEvent, Subscriber, SubscriberAction, SubscriberEvent,
};
use super::{Call, inside};
use crate::ua::alarm::Alarm;
use crate::ua::command::Body;
use crate::ua::draft::name_addr;
use crate::ua::event::{Event, Failure};
use crate::ua::exchange::{Outcome, Purpose};
use crate::ua::headers::text;
use crate::ua::served::Answer;
use crate::ua::stack::Turn;

/// How long a referred call may take (RFC 3515 §2.4.4: "long enough").
const LASTS: Duration = Duration::from_secs(180);

/// A REFER that we sent.
pub(super) struct Referral {
    state: Subscriber,
    status: u16,
}

/// A REFER that we received.
pub(super) struct Referred {
    state: Notifier,
    context: ContextId,
    target: refer::Target,
    by: Option<Box<str>>,
    /// RFC 3515 §2.4.6: which REFER of the dialog it is; the first needs no `id`.
    id: Option<u32>,
    status: u16,
    reason: Box<str>,
}

impl Call {
    /// The value of Replaces that names this call to its peer (RFC 3891 §3): seen from there our tag is the remote one.
    pub fn replaces_value(&self) -> Option<String> {
        let id = self.legs.get(self.current()?)?.dialog.id();
        Some(format!(
            "{};to-tag={};from-tag={}",
            text(&id.call_id),
            text(&id.remote_tag),
            text(&id.local_tag)
        ))
    }

    /// Where the peer of this call is.
    pub fn peer_target(&self) -> Option<Box<str>> {
        Some(text(self.legs.get(self.current()?)?.dialog.remote_target()))
    }

    /// RFC 3515 §2.4.1; `replaces`: in place of that other call of ours (RFC 3891).
    pub fn refer(&mut self, turn: &mut Turn<'_>, to: &str, replaces: Option<&str>) {
        let leg = self.leg.filter(|_| self.is_standing());
        let is_busy = self.referral.is_some();
        let target = super::place::target(turn.settings, to);
        let (leg, target) = match (leg, target) {
            (Some(leg), Ok(target)) if !is_busy => (leg, target),
            (_, Err(why)) => return self.refer_failed(turn, why),
            (None, _) => {
                let why = Failure::NotPossible { why: "the call is not answered" };
                return self.refer_failed(turn, why);
            }
            _ => {
                let why = Failure::NotPossible { why: "another transfer is under way" };
                return self.refer_failed(turn, why);
            }
        };
        let mut lines = self.dialog_lines(turn);
        match replaces {
            Some(replaces) => {
                let replaces = refer::escaped(replaces);
                lines.push("Refer-To", format_args!("<{target}?Replaces={replaces}>"));
            }
            None => lines.push("Refer-To", format_args!("<{target}>")),
        }
        let us = name_addr(turn.settings.display.as_deref(), &turn.settings.aor);
        lines.push("Referred-By", us);
        self.referral = Some(Referral { state: Subscriber::Sent, status: 0 });
        self.send(turn, leg, Purpose::Refer, lines, None);
    }

    fn refer_failed(&self, turn: &mut Turn<'_>, why: Failure) {
        turn.tell(Event::ReferDone { call: self.id, outcome: Err(why) });
    }

    pub(super) fn refer_answered(&mut self, turn: &mut Turn<'_>, outcome: Outcome<'_>) {
        match inside::result(outcome) {
            Ok(()) => self.subscriber(turn, SubscriberEvent::Accepted, "".into(), None),
            Err(why) => {
                self.subscriber(turn, SubscriberEvent::Refused, "".into(), Some(why));
            }
        }
    }

    /// A NOTIFY to us: only of a REFER, only while one is open (RFC 3265 §3.1.4.4: 481 else).
    pub(super) fn notified(&mut self, turn: &mut Turn<'_>, context: ContextId, request: &Request) {
        let event = request.header(Name::Event).unwrap_or_default();
        let event = event.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if !event.eq_ignore_ascii_case(b"refer") {
            turn.respond(context, &Answer::new(489).with("Allow-Events", "refer"));
            return;
        }
        let (Some(referral), Some((status, reason))) =
            (&mut self.referral, refer::sipfrag(request.body()))
        else {
            let status = if self.referral.is_none() { 481 } else { 400 };
            turn.respond(context, &Answer::new(status));
            return;
        };
        referral.status = status;
        turn.respond(context, &Answer::new(200));
        let state = request.header(Name::SubscriptionState).unwrap_or_default();
        let state = state.trim_ascii_start().to_ascii_lowercase();
        let is_last = state.starts_with(b"terminated") || status >= 200;
        let event = if is_last { SubscriberEvent::NotifyLast } else { SubscriberEvent::Notify };
        self.subscriber(turn, event, reason, None);
    }

    fn subscriber(
        &mut self,
        turn: &mut Turn<'_>,
        event: SubscriberEvent,
        reason: Box<str>,
        why: Option<Failure>,
    ) {
        let Some(referral) = &mut self.referral else { return };
        let (state, actions) = referral.state.on_event(event);
        referral.state = state;
        let status = referral.status;
        let call = self.id;
        for action in actions {
            turn.tell(match action {
                SubscriberAction::Progress => {
                    Event::ReferProgress { call, status, reason: reason.clone() }
                }
                SubscriberAction::Done => Event::ReferDone { call, outcome: Ok(status) },
                SubscriberAction::Failed => {
                    let over = Failure::NotPossible { why: "the call ended before the transfer" };
                    Event::ReferDone { call, outcome: Err(why.clone().unwrap_or(over)) }
                }
            });
        }
        if state == Subscriber::Done {
            self.referral = None;
        }
    }

    /// A REFER to us.
    pub(super) fn refer_received(
        &mut self,
        turn: &mut Turn<'_>,
        context: ContextId,
        request: &Request,
    ) {
        let Some(target) = refer::target(request) else {
            let mut answer = Answer::new(400);
            answer.reason = Some("exactly one Refer-To is needed".into());
            turn.respond(context, &answer);
            return;
        };
        if self.referred.as_ref().is_some_and(|r| r.state != Notifier::Done) {
            turn.respond(context, &Answer::new(491));
            return;
        }
        let id = request.cseq().ok().map(|cseq| cseq.number).filter(|_| self.referred.is_some());
        let by = request.header(Name::ReferredBy).map(text);
        let attended = target.replaces.is_some();
        let to = target.uri.clone();
        self.referred = Some(Referred {
            state: Notifier::Asked,
            context,
            target,
            by: by.clone(),
            id,
            status: 100,
            reason: "Trying".into(),
        });
        turn.tell(Event::Referred { call: self.id, to, by, attended });
    }

    /// Target, Replaces and Referred-By of the REFER that was accepted.
    pub fn referred_target(&self) -> Option<(&refer::Target, Option<Box<str>>)> {
        self.referred.as_ref().map(|referred| (&referred.target, referred.by.clone()))
    }

    pub fn accept_refer(&mut self, turn: &mut Turn<'_>) {
        self.notifier(turn, NotifierEvent::Accept, 202);
    }

    pub fn refuse_refer(&mut self, turn: &mut Turn<'_>, status: u16) {
        let status = if (300..700).contains(&status) { status } else { 603 };
        self.notifier(turn, NotifierEvent::Refuse, status);
    }

    /// How the call stands that we were asked to place.
    pub fn refer_progress(&mut self, turn: &mut Turn<'_>, status: u16, reason: &str) {
        let Some(referred) = &mut self.referred else { return };
        (referred.status, referred.reason) = (status, reason.into());
        let event = if status < 200 { NotifierEvent::Progress } else { NotifierEvent::Final };
        self.notifier(turn, event, 0);
    }

    pub(super) fn referral_expired(&mut self, turn: &mut Turn<'_>) {
        self.notifier(turn, NotifierEvent::Expired, 0);
    }

    pub(super) fn notify_answered(&mut self, turn: &mut Turn<'_>, outcome: Outcome<'_>) {
        if inside::result(outcome).is_err() {
            self.notifier(turn, NotifierEvent::Deaf, 0);
        }
    }

    fn notifier(&mut self, turn: &mut Turn<'_>, event: NotifierEvent, status: u16) {
        let Some(referred) = &mut self.referred else { return };
        let (state, actions) = referred.state.on_event(event);
        referred.state = state;
        let context = referred.context;
        for action in actions {
            match action {
                NotifierAction::SendAccepted => {
                    let mut answer = Answer::new(202);
                    answer.lines = self.dialog_lines(turn);
                    turn.respond(context, &answer);
                }
                NotifierAction::SendRefusal => {
                    turn.respond(context, &Answer::new(status));
                }
                NotifierAction::ArmExpiry => {
                    turn.stack.alarms.set(self.id, Alarm::ReferEnds, turn.now + LASTS);
                }
                NotifierAction::Disarm => turn.stack.alarms.stop(self.id, Alarm::ReferEnds),
                NotifierAction::Notify => {
                    let state = format!("active;expires={}", LASTS.as_secs());
                    self.notify(turn, &state);
                }
                NotifierAction::NotifyLast => {
                    let is_late = event == NotifierEvent::Expired;
                    let reason = if is_late { "timeout" } else { "noresource" };
                    self.notify(turn, &format!("terminated;reason={reason}"));
                }
            }
        }
    }

    /// RFC 3515 §2.4.4, §2.4.5.
    fn notify(&mut self, turn: &mut Turn<'_>, state: &str) {
        let (Some(referred), Some(leg)) = (&self.referred, self.leg) else { return };
        let fragment = format!("SIP/2.0 {} {}\r\n", referred.status, referred.reason);
        let mut lines = self.dialog_lines(turn);
        match referred.id {
            Some(id) => lines.push("Event", format_args!("refer;id={id}")),
            None => lines.push("Event", "refer"),
        }
        lines.push("Subscription-State", state);
        let body = Body::new("message/sipfrag;version=2.0", fragment.into_bytes());
        self.send(turn, leg, Purpose::Notify, lines, Some(body));
    }

    /// The dialog is ending: nobody listens, nobody reports.
    pub(super) fn end_referrals(&mut self, turn: &mut Turn<'_>) {
        self.subscriber(turn, SubscriberEvent::Over, "".into(), None);
        turn.stack.alarms.stop(self.id, Alarm::ReferEnds);
        if let Some(referred) = self.referred.take()
            && referred.state == Notifier::Asked
        {
            turn.respond(referred.context, &Answer::new(487));
        }
    }
}
