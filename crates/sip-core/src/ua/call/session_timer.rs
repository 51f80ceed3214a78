//! Session timers (RFC 4028): how long a session may live without a refresh, who refreshes, and when it is given up. The
//! machine decides; `agree` reads and writes the headers. It sends nothing.

use sip_message::{Head, Name};

use crate::time::Duration;

use super::super::draft::Lines;
use super::super::headers::{lists, number};
use super::super::settings::Settings;

/// RFC 4028 §4: "The default value is 90 seconds" of Min-SE, and nothing shorter is ever agreed on.
pub(in crate::ua) const MIN_SE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ua) enum State {
    #[default]
    Off,
    /// We refresh.
    Ours,
    /// We refresh, and a refresh is under way.
    Refreshing,
    /// The peer refreshes.
    Theirs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Event {
    /// A 2xx to an INVITE or UPDATE made us the refresher.
    AgreedOurs,
    AgreedTheirs,
    /// A 2xx without Session-Expires.
    AgreedNone,
    HalfTime,
    /// The refresh failed in a way that does not end the dialog: it is tried once more before the end.
    Failed,
    /// Nobody refreshed in time.
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Action {
    ArmRefresh,
    ArmEnd,
    Disarm,
    Refresh,
    EndSession,
    Tell,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            // RFC 4028 §7.2, §10: the refresher refreshes at half the interval, and both sides end the session when it
            // has passed.
            (_, AgreedOurs) => (Ours, &[ArmRefresh, ArmEnd, Tell]),
            // §10: the other side sends BYE "slightly before" the end: by the lesser of 32 s and a third of the interval.
            (_, AgreedTheirs) => (Theirs, &[Disarm, ArmEnd, Tell]),
            // §7.2: "If the 2xx response did not contain a Session-Expires header field, there is no session expiration."
            (_, AgreedNone) => (Off, &[Disarm]),
            (Ours, HalfTime) => (Refreshing, &[Refresh]),
            (Refreshing, Failed) => (Ours, &[]),
            (Ours | Refreshing | Theirs, Ends) => (Off, &[Disarm, EndSession]),
            (state, _) => (state, &[]),
        }
    }
}

/// RFC 4028 §4: what a Session-Expires header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) struct Wish {
    pub interval: Duration,
    /// The one who sent the request refreshes. `None`: not said.
    pub by_uac: Option<bool>,
}

pub(in crate::ua) fn read(head: &Head) -> Option<Wish> {
    let interval = Duration::from_secs(number(head, Name::SessionExpires)?.into());
    let value = head.header(Name::SessionExpires)?.to_ascii_lowercase();
    let by = |who: &[u8]| {
        value.split(|b| *b == b';').any(|param| {
            let mut words = param.split(|b| *b == b'=').map(<[u8]>::trim_ascii);
            words.next() == Some(b"refresher") && words.next() == Some(who)
        })
    };
    let by_uac = match (by(b"uac"), by(b"uas")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    Some(Wish { interval, by_uac })
}

/// §7.1, §7.4: what our own INVITE or UPDATE asks for.
pub(in crate::ua) fn ask(wish: Option<Wish>, least: Duration, lines: &mut Lines) {
    let Some(Wish { interval, by_uac }) = wish else { return };
    let refresher = match by_uac {
        Some(true) => ";refresher=uac",
        Some(false) => ";refresher=uas",
        None => "",
    };
    let seconds = interval.max(least).as_secs();
    lines.push("Session-Expires", format_args!("{seconds}{refresher}"));
    if least > MIN_SE {
        lines.push("Min-SE", least.as_secs());
    }
}

/// What the callee says to the caller's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Answer {
    /// §9: 422 with this Min-SE.
    TooSmall(Duration),
    /// No timer.
    None,
    /// This goes into the 2xx; `require`: the caller knows timers and must obey (§9: it refreshes).
    Agreed { wish: Wish, require: bool },
}

/// RFC 4028 §9.
pub(in crate::ua) fn agree(request: &Head, settings: &Settings) -> Answer {
    let least = settings.min_se.max(MIN_SE);
    let knows = lists(request, Name::Supported, "timer") || lists(request, Name::Require, "timer");
    match (read(request), settings.session_expires) {
        // "If the Session-Expires interval is [...] less than the interval supported by the UAS": only who knows the
        // extension can be told.
        (Some(wish), _) if wish.interval < least && knows => Answer::TooSmall(least),
        (Some(wish), _) => {
            // Table 2: who does not know the extension cannot refresh.
            let by_uac = knows && wish.by_uac.unwrap_or(true);
            let interval = wish.interval.max(least);
            Answer::Agreed { wish: Wish { interval, by_uac: Some(by_uac) }, require: knows }
        }
        (None, Some(ours)) => {
            // "the UAS MAY insert": whoever wants it does the work.
            let asked = number(request, Name::MinSe).map(|s| Duration::from_secs(s.into()));
            let interval = ours.max(least).max(asked.unwrap_or_default());
            Answer::Agreed { wish: Wish { interval, by_uac: Some(false) }, require: false }
        }
        (None, None) => Answer::None,
    }
}

/// §10: how long before the end of the interval a session is given up.
pub(in crate::ua) fn margin(interval: Duration) -> Duration {
    Duration::from_secs(32).min(interval / 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::table;
    use bytes::Bytes;
    use sip_message::{Message, Request};

    #[test]
    fn every_state_and_event() {
        use Event::*;
        use State::*;
        let events = [AgreedOurs, AgreedTheirs, AgreedNone, HalfTime, Failed, Ends];
        insta::assert_snapshot!(table::of(
            &[Off, Ours, Refreshing, Theirs],
            &events,
            |state, event| {
                let (next, actions) = state.on_event(event);
                (next, actions.to_vec())
            }
        ));
    }

    fn invite(lines: &str) -> Request {
        let text = format!("INVITE sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n{lines}\r\n");
        match Message::parse(Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    /// RFC 4028 §9 Table 2, and 422.
    #[test]
    fn what_the_callee_agrees_to() {
        let mut settings = Settings::new("sip:b@b", "sip:b@b", Vec::new(), None);
        let secs = Duration::from_secs;
        let agreed = |seconds, by_uac, require| Answer::Agreed {
            wish: Wish { interval: secs(seconds), by_uac: Some(by_uac) },
            require,
        };
        let knows = "Supported: timer\r\n";
        for (lines, answer) in [
            (String::new(), Answer::None),
            (format!("{knows}Session-Expires: 60\r\n"), Answer::TooSmall(secs(90))),
            ("Session-Expires: 60\r\n".into(), agreed(90, false, false)),
            (format!("{knows}Session-Expires: 1800\r\n"), agreed(1800, true, true)),
            (format!("{knows}x: 1800; refresher = UAS\r\n"), agreed(1800, false, true)),
            ("Session-Expires: 1800;refresher=uac\r\n".into(), agreed(1800, false, false)),
        ] {
            assert_eq!(agree(&invite(&lines), &settings), answer, "{lines}");
        }
        settings.session_expires = Some(secs(600));
        assert_eq!(agree(&invite("Min-SE: 900\r\n"), &settings), agreed(900, false, false));
        assert_eq!(agree(&invite(knows), &settings), agreed(600, false, false));
    }

    #[test]
    fn the_margin_is_at_most_32_s() {
        assert_eq!(margin(Duration::from_secs(90)), Duration::from_secs(30));
        assert_eq!(margin(Duration::from_secs(1800)), Duration::from_secs(32));
    }
}
