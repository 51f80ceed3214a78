//! What a key or the clock asks for in a call: hold, resume, keys, a transfer, the end.

use media::codec::event::Key;
use sip_core::ua::{By, CallId, CallOptions, Command, Failure};

use super::note::What;
use super::phone::{Consultation, Due, Phone};
use super::plan::{Action, Outgoing};
use crate::failure::{Kind, Trouble};

impl Phone<'_> {
    /// What the clock asks for in this call now, and when it asks next.
    pub(super) fn script(&mut self, call: CallId) {
        let plan = self.plan;
        let Some((at, since)) = self
            .with(call, |leg| (leg.script_at, leg.moments.answered))
            .filter(|(_, s)| s.is_some())
        else {
            return;
        };
        let Some((_, action)) = plan.script.get(at) else { return };
        self.with(call, |leg| leg.script_at += 1);
        if let (Some((next, _)), Some(since)) = (plan.script.get(at + 1), since) {
            self.due.push((since + *next, call, Due::Script));
        }
        self.act(call, action.clone());
    }

    /// What a key asks for, in the call that was answered last.
    pub(super) fn act_now(&mut self, action: Action) {
        let answered = self.legs.iter().rev().find(|(_, leg)| leg.moments.answered.is_some());
        let any = answered.or(self.legs.last());
        if let Some(call) = any.map(|(_, leg)| leg.id) {
            self.act(call, action);
        }
    }

    fn act(&mut self, call: CallId, action: Action) {
        match action {
            Action::Hold => self.hold(call, true),
            Action::Resume => self.hold(call, false),
            Action::ToggleHold => {
                let holding = self.with(call, |leg| leg.is_holding()) == Some(true);
                self.hold(call, !holding);
            }
            Action::Digits(keys) => self.press(call, &keys),
            Action::Transfer { to, attended } => self.transfer(call, &to, attended),
            Action::HangUp => self.hang_up(call),
        }
    }

    /// RFC 3264 §8.4.
    pub(super) fn hold(&mut self, call: CallId, hold: bool) {
        let offer = self.with(call, |leg| {
            if leg.awaits_answer() {
                leg.hold_next = Some(hold);
                return None;
            }
            leg.set_hold(hold);
            Some(leg.offer())
        });
        match offer.flatten() {
            Some(Ok(body)) => {
                self.engine.command(Command::Offer { call, body, by: By::Reinvite });
            }
            Some(Err(error)) => self.say(call, What::HoldRefused { why: error.to_string() }),
            None => {}
        }
    }

    fn press(&mut self, call: CallId, keys: &str) {
        let pressed = self.with(call, |leg| {
            let Some(session) = leg.session() else {
                return Err("there is no audio yet".to_owned());
            };
            for key in keys.chars().filter_map(Key::of_char) {
                session.with(|stream| stream.press(key)).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        match pressed {
            Some(Ok(())) => self.say(call, What::KeysSent { keys: keys.to_owned() }),
            Some(Err(words)) => self.say(call, What::Warning { words }),
            None => {}
        }
    }

    /// Blind: the peer is asked to call `to` (RFC 5589 §6). Attended: we call `to` first, with the peer on hold (§7).
    fn transfer(&mut self, call: CallId, to: &str, attended: bool) {
        self.say(call, What::TransferAsked { to: to.to_owned(), attended });
        if !attended {
            return self.engine.command(Command::Refer { call, to: to.into(), replaces: None });
        }
        self.hold(call, true);
        let name = to.trim_start_matches("sip:").to_owned();
        let whom = self.next_hop(&name);
        let outgoing = Outgoing { uri: to.to_owned(), name, whom };
        match self.place(&outgoing, CallOptions::default()) {
            Ok(with) => {
                self.consultation =
                    Some(Consultation { transferred: call, with, is_referred: false });
            }
            Err(trouble) => {
                self.say(call, What::TransferFailed { why: trouble.to_string() });
                self.blame(trouble);
                self.hold(call, false);
            }
        }
    }

    /// The third party answered: now the peer takes our place there.
    pub(super) fn consulted(&mut self, call: CallId) {
        let Some(Consultation { transferred, with, is_referred }) = &mut self.consultation else {
            return;
        };
        if *with != call {
            return;
        }
        *is_referred = true;
        let (transferred, with) = (*transferred, *with);
        // It is there to be replaced, not to run the script again.
        self.due.retain(|(_, of, due)| !(*of == call && matches!(due, Due::Script | Due::HangUp)));
        let to = self.with(call, |leg| leg.uri.clone()).unwrap_or_default();
        let to = to.into();
        self.engine.command(Command::Refer { call: transferred, to, replaces: Some(with) });
    }

    pub(super) fn refer_done(&mut self, call: CallId, outcome: Result<u16, Failure>) {
        let consultation = self.consultation.take();
        match outcome {
            Ok(code) if (200..300).contains(&code) => {
                self.say(call, What::TransferDone { code });
                // RFC 5589 §6.1, §7.1: the transferor leaves.
                self.hang_up(call);
                if let Some(consultation) = consultation
                    && self.with(consultation.with, |_| ()).is_some()
                {
                    self.hang_up(consultation.with);
                }
            }
            other => {
                let why = match other {
                    Ok(code) => format!("the third party answered {code}"),
                    Err(failure) => failure.to_string(),
                };
                let next = "the first call goes on; -v shows the NOTIFY with the reason";
                let trouble = Trouble::new(Kind::Refused, "transfer", why.clone(), next);
                self.say(call, What::TransferFailed { why });
                self.blame(trouble);
                if let Some(consultation) = consultation {
                    self.hang_up(consultation.with);
                    self.hold(call, false);
                }
            }
        }
    }

    /// A call has ended. If it was one of the two of an attended transfer that was not asked for yet, there is none: the other
    /// one is not left on hold, or alone.
    pub(super) fn consultation_ended(&mut self, call: CallId) {
        let Some(Consultation { transferred, with, is_referred: false }) = self.consultation else {
            return;
        };
        if call == with {
            self.consultation = None;
            let why = "the third party cannot be asked".to_owned();
            self.say(transferred, What::TransferFailed { why });
            self.hold(transferred, false);
        } else if call == transferred {
            self.consultation = None;
            self.hang_up(with);
        }
    }
}
