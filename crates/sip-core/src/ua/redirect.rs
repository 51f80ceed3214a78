//! Following 3xx (RFC 3261 §8.1.3.4): the Contacts in order of their q, each once, a bounded number of times. A circle is
//! noticed by the URIs already tried.

use std::collections::VecDeque;

use sip_message::{Contacts, Response, Uri, uri};

use crate::dialog::request_uri;
use crate::limits::REDIRECTS;

use super::event::Failure;

#[derive(Debug)]
pub(super) struct Redirects {
    tried: Vec<Box<[u8]>>,
    waiting: VecDeque<Box<[u8]>>,
}

impl Redirects {
    pub fn starting_at(uri: &[u8]) -> Self {
        Self { tried: vec![uri.into()], waiting: VecDeque::new() }
    }

    /// Takes the Contacts of a 3xx into the target set and gives the next target.
    pub fn follow(&mut self, response: &Response) -> Result<Box<[u8]>, Failure> {
        let mut targets: Vec<(u16, Box<[u8]>)> = Vec::new();
        if let Ok(Contacts::List(contacts)) = response.contacts() {
            for contact in contacts.map_while(Result::ok).take(REDIRECTS.max) {
                targets.push((contact.q().unwrap_or(1000), request_uri(contact.uri_bytes())));
            }
        }
        // Stable: equal ones stay in the order they came.
        targets.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
        let circle = targets.first().map(|(_, uri)| String::from_utf8_lossy(uri).into_owned());
        let before = self.waiting.len();
        for (_, target) in targets {
            let known = self.tried.iter().chain(&self.waiting).any(|old| same(old, &target));
            if !known && self.waiting.len() < REDIRECTS.max {
                self.waiting.push_back(target);
            }
        }
        // A better target than those left over from an earlier answer goes first.
        self.waiting.rotate_left(before);
        match (self.next(), circle) {
            (Some(uri), _) => Ok(uri),
            (None, _) if self.tried.len() > REDIRECTS.max => Err(Failure::RedirectsTooMany),
            (None, Some(uri)) => Err(Failure::RedirectLoop { uri: uri.into() }),
            (None, None) => Err(super::outcome::failure(response)),
        }
    }

    /// The next target after one that failed.
    pub fn next(&mut self) -> Option<Box<[u8]>> {
        if self.tried.len() > REDIRECTS.max {
            return None;
        }
        let uri = self.waiting.pop_front()?;
        self.tried.push(uri.clone());
        Some(uri)
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => uri::equivalent(&a, &b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sip_message::Message;

    fn moved(contacts: &str) -> Response {
        let text = format!(
            "SIP/2.0 302 Moved\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n\
             To: <sip:b@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{contacts}\r\n"
        );
        match Message::parse(Bytes::from(text)) {
            Ok(Message::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn best_first_and_each_once() {
        let mut redirects = Redirects::starting_at(b"sip:b@b");
        let first = moved("Contact: <sip:low@x>;q=0.1, <sip:B@x?Subject=evil>, <sip:b@b>\r\n");
        assert_eq!(redirects.follow(&first).as_deref(), Ok(&b"sip:B@x"[..]));
        let second = moved("Contact: <sip:c@y>\r\n");
        assert_eq!(redirects.follow(&second).as_deref(), Ok(&b"sip:c@y"[..]));
        assert_eq!(redirects.next().as_deref(), Some(&b"sip:low@x"[..]));
        assert_eq!(redirects.next(), None);
        let back = moved("Contact: <sip:%62@b>\r\n");
        let circle = Failure::RedirectLoop { uri: "sip:%62@b".into() };
        assert_eq!(redirects.follow(&back), Err(circle));
        assert!(matches!(redirects.follow(&moved("")), Err(Failure::Status { code: 302, .. })));
    }

    #[test]
    fn not_for_ever() {
        let mut redirects = Redirects::starting_at(b"sip:b@b");
        for n in 0..REDIRECTS.max {
            let next = moved(&format!("Contact: <sip:n{n}@x>\r\n"));
            assert!(redirects.follow(&next).is_ok(), "{n}");
        }
        assert_eq!(
            redirects.follow(&moved("Contact: <sip:more@x>\r\n")),
            Err(Failure::RedirectsTooMany)
        );
    }
}
