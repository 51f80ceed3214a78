//! What a session timer does to its call (RFC 4028). `session_timer` decides, this file sets alarms and speaks.

use sip_message::Response;

use super::Call;
use super::session_timer::{self, Action, Answer, Event, State, Wish};
use crate::ua::alarm::Alarm;
use crate::ua::draft::Lines;
use crate::ua::event::{EndedBy, Event as Told};
use crate::ua::stack::Turn;

impl Call {
    /// A 2xx to a request of ours that refreshes (RFC 4028 §7.2).
    pub(super) fn session_agreed(&mut self, turn: &mut Turn<'_>, response: &Response) {
        match session_timer::read(response) {
            Some(Wish { interval, by_uac }) if !interval.is_zero() => {
                self.interval = interval;
                let is_ours = by_uac.unwrap_or(true);
                self.timer(turn, if is_ours { Event::AgreedOurs } else { Event::AgreedTheirs });
            }
            _ => self.timer(turn, Event::AgreedNone),
        }
    }

    /// A 2xx of ours (RFC 4028 §9).
    pub(super) fn callee_agreed(&mut self, turn: &mut Turn<'_>, agreed: Option<Answer>) {
        match agreed {
            Some(Answer::Agreed { wish, .. }) => {
                self.interval = wish.interval;
                let is_theirs = wish.by_uac == Some(true);
                self.timer(turn, if is_theirs { Event::AgreedTheirs } else { Event::AgreedOurs });
            }
            Some(Answer::None) => self.timer(turn, Event::AgreedNone),
            Some(Answer::TooSmall(_)) | None => {}
        }
    }

    /// RFC 4028 §9: Session-Expires goes into the 2xx, and Require where the caller has to obey.
    pub(super) fn write_agreed(&self, agreed: Option<Answer>, lines: &mut Lines) {
        let Some(Answer::Agreed { wish, require }) = agreed else { return };
        let refresher = if wish.by_uac == Some(true) { "uac" } else { "uas" };
        let seconds = wish.interval.as_secs();
        lines.push("Session-Expires", format_args!("{seconds};refresher={refresher}"));
        if require {
            lines.push("Require", "timer");
        }
    }

    pub(super) fn timer(&mut self, turn: &mut Turn<'_>, event: Event) {
        let was = (self.timer, self.interval);
        let (state, actions) = self.timer.on_event(event);
        self.timer = state;
        let alarms = &mut turn.stack.alarms;
        for action in actions {
            match action {
                Action::ArmRefresh => {
                    alarms.set(self.id, Alarm::Refresh, turn.now + self.interval / 2);
                }
                Action::ArmEnd => {
                    let lives = self.interval - session_timer::margin(self.interval);
                    alarms.set(self.id, Alarm::SessionEnds, turn.now + lives);
                }
                Action::Disarm => {
                    alarms.stop(self.id, Alarm::Refresh);
                    if state == State::Off {
                        alarms.stop(self.id, Alarm::SessionEnds);
                    }
                }
                Action::Refresh => return self.refresh(turn),
                Action::EndSession => return self.over(turn, EndedBy::SessionTimer),
                Action::Tell => {
                    let ours = state == State::Ours;
                    let is_news = was.0 == State::Off;
                    if is_news {
                        let (call, interval) = (self.id, self.interval);
                        turn.out.events.push(Told::SessionTimer { call, interval, ours });
                    }
                }
            }
        }
    }
}
