//! The subscription that a REFER makes (RFC 3515 §2.4), both sides as machines: who was asked to call somebody and reports
//! about it, and who asked and listens. And what their messages say. It sends nothing.

use sip_message::{Head, Name, Uri, uri};

use super::super::headers::text;

/// Of who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Notifier {
    /// The REFER waits for our user's word.
    Asked,
    /// 202 was sent; the new call is reported on.
    Active,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum NotifierEvent {
    Accept,
    Refuse,
    /// The new call rings.
    Progress,
    /// The new call was answered, refused, or given up.
    Final,
    /// The time of the subscription is over.
    Expired,
    /// The NOTIFY was refused: the peer does not listen any more.
    Deaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum NotifierAction {
    SendAccepted,
    SendRefusal,
    ArmExpiry,
    Disarm,
    /// NOTIFY with the state of the new call.
    Notify,
    /// The same, as the last one.
    NotifyLast,
}

impl Notifier {
    pub const fn on_event(self, event: NotifierEvent) -> (Self, &'static [NotifierAction]) {
        use Notifier::*;
        use NotifierAction::*;
        use NotifierEvent::*;
        match (self, event) {
            // RFC 3515 §2.4.2: 202, and §2.4.4: "MUST immediately send a NOTIFY".
            (Asked, Accept) => (Active, &[SendAccepted, ArmExpiry, Notify]),
            (Asked, Refuse) => (Done, &[SendRefusal]),
            (Active, Progress) => (Active, &[Notify]),
            // §2.4.7: "Each NOTIFY [...] with a final response [...] MUST [...] terminated".
            (Active, Final | Expired) => (Done, &[Disarm, NotifyLast]),
            (Active, Deaf) => (Done, &[Disarm]),
            (state, _) => (state, &[]),
        }
    }
}

/// Of who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Subscriber {
    /// REFER was sent.
    Sent,
    /// 2xx came, or a NOTIFY before it.
    Active,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum SubscriberEvent {
    Accepted,
    Refused,
    Notify,
    /// A NOTIFY that ends the subscription.
    NotifyLast,
    /// The dialog is over.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum SubscriberAction {
    // What our user is told.
    Progress,
    Done,
    Failed,
}

impl Subscriber {
    pub const fn on_event(self, event: SubscriberEvent) -> (Self, &'static [SubscriberAction]) {
        use Subscriber::*;
        use SubscriberAction as Tell;
        use SubscriberEvent::*;
        match (self, event) {
            (Sent, Accepted) => (Active, &[]),
            (Sent, Refused) => (Done, &[Tell::Failed]),
            // RFC 3515 §2.4.4: a NOTIFY may overtake the 202.
            (Sent | Active, Notify) => (Active, &[Tell::Progress]),
            (Sent | Active, NotifyLast) => (Done, &[Tell::Progress, Tell::Done]),
            (Sent | Active, Over) => (Done, &[Tell::Failed]),
            (state, _) => (state, &[]),
        }
    }
}

/// RFC 3515 §2.4.5: `SIP/2.0 180 Ringing`, the first line of the body.
pub(in crate::ua) fn sipfrag(body: &[u8]) -> Option<(u16, Box<str>)> {
    let line = body.split(|b| *b == b'\r' || *b == b'\n').next()?;
    let rest = line.strip_prefix(b"SIP/2.0 ")?;
    let (code, reason) = rest.split_at_checked(3)?;
    let code = core::str::from_utf8(code).ok()?.parse().ok().filter(|c| (100..700).contains(c))?;
    Some((code, text(reason.trim_ascii())))
}

/// What a Refer-To asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ua) struct Target {
    /// Without the headers it brought.
    pub uri: Box<str>,
    /// RFC 3891: the Replaces it brought, unescaped.
    pub replaces: Option<Box<str>>,
}

/// RFC 3515 §2.4.1: exactly one Refer-To, of a scheme that we can call.
pub(in crate::ua) fn target(head: &Head) -> Option<Target> {
    if head.headers(Name::ReferTo).count() != 1 {
        return None;
    }
    let address = head.address(Name::ReferTo).ok()?;
    let parsed = Uri::parse(address.uri_bytes()).ok()?;
    let replaces = parsed.headers.and_then(|headers| {
        headers.split(|b| *b == b'&').find_map(|part| {
            let at = part.iter().position(|b| *b == b'=')?;
            let (name, value) = part.split_at_checked(at)?;
            let is_it = name.eq_ignore_ascii_case(b"Replaces");
            is_it.then(|| text(&uri::unescape(value.get(1..).unwrap_or_default())))
        })
    });
    Some(Target { uri: text(&crate::dialog::request_uri(address.uri_bytes())), replaces })
}

/// A Replaces value as a header of the URI in a Refer-To: what is not plain is escaped (RFC 3261 §19.1.1).
pub(in crate::ua) fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b);
    let mut out = String::new();
    for byte in value.bytes() {
        if plain(byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::table;
    use bytes::Bytes;
    use sip_message::{Message, Request};

    #[test]
    fn every_state_and_event() {
        let text = {
            use Notifier::*;
            use NotifierEvent::*;
            let events = [Accept, Refuse, Progress, Final, Expired, Deaf];
            table::of(&[Asked, Active, Done], &events, |state, event| {
                let (next, actions) = state.on_event(event);
                (next, actions.to_vec())
            })
        };
        insta::assert_snapshot!("notifier", text);
        let text = {
            use Subscriber::*;
            use SubscriberEvent::*;
            let events = [Accepted, Refused, Notify, NotifyLast, Over];
            table::of(&[Sent, Active, Done], &events, |state, event| {
                let (next, actions) = state.on_event(event);
                (next, actions.to_vec())
            })
        };
        insta::assert_snapshot!("subscriber", text);
    }

    fn refer(lines: &str) -> Request {
        let text = format!("REFER sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n{lines}\r\n");
        match Message::parse(Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_refer_to_asks_for() {
        let value = "7@c;to-tag=a;from-tag=b";
        let line = format!("Refer-To: <sip:c@d;x?Subject=s&Replaces={}>\r\n", escaped(value));
        assert!(line.contains("Replaces=7%40c%3Bto-tag%3Da"), "{line}");
        let wanted = Target { uri: "sip:c@d;x".into(), replaces: Some(value.into()) };
        assert_eq!(target(&refer(&line)), Some(wanted));
        let plain = Target { uri: "sip:c@d".into(), replaces: None };
        assert_eq!(target(&refer("r: C <sip:c@d>\r\n")), Some(plain));
        assert_eq!(target(&refer("")), None);
        assert_eq!(target(&refer("Refer-To: <sip:c@d>\r\nRefer-To: <sip:e@d>\r\n")), None);
    }

    #[test]
    fn fragments() {
        assert_eq!(sipfrag(b"SIP/2.0 180 Ringing\r\nTo: x\r\n"), Some((180, "Ringing".into())));
        assert_eq!(sipfrag(b"SIP/2.0 200"), Some((200, "".into())));
        for bad in [&b""[..], b"INVITE sip:x SIP/2.0\r\n", b"SIP/2.0 99 x", b"SIP/2.0 2x0 x"] {
            assert_eq!(sipfrag(bad), None);
        }
    }
}
