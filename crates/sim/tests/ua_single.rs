//! Requests of real user agents outside dialogs: MESSAGE (RFC 3428), OPTIONS (RFC 3261 §11).

use sim::{Softphone, ms, play, secs};
use sip_core::ua::{Body, Command, Event};

fn request(from: &Softphone, method: &str, to: &str, body: Option<&str>) {
    let request = sip_core::ua::RequestId(7);
    from.after(
        secs(0),
        Command::Request {
            request,
            method: method.into(),
            to: to.into(),
            body: body.map(|text| Body::new("text/plain", text.as_bytes().to_vec())),
            headers: Vec::new(),
        },
    );
}

#[test]
fn a_message() {
    play("ua_single/a_message", |w| {
        let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
        w.require_passwords();
        request(&alice, "MESSAGE", "bob", Some("hello"));
        w.run();
        assert_eq!(alice.told(), "Challenged/407/SHA-256 Response/200");
        let events = bob.events();
        let [(_, Event::MessageReceived { from, body: Some(body), .. })] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(from.contains("sip:alice@example.com"), "{from}");
        assert_eq!((&*body.content_type, &body.bytes[..]), ("text/plain", &b"hello"[..]));
    });
}

#[test]
fn options() {
    play("ua_single/options", |w| {
        let (alice, _bob) = (w.softphone("alice"), w.softphone("bob"));
        request(&alice, "OPTIONS", "bob", None);
        w.run();
        let events = alice.events();
        let [(_, Event::Response { status: 200, headers, took, .. })] = &events[..] else {
            panic!("{events:?}")
        };
        let allow = headers.iter().find(|(name, _)| &**name == "Allow").map(|(_, v)| &**v);
        assert!(allow.is_some_and(|a| a.contains("INVITE") && a.contains("REFER")), "{allow:?}");
        assert_eq!(*took, ms(4));
    });
}

/// RFC 3261 §8.1.3.1: nobody answers, and nobody is there.
#[test]
fn nobody_answers() {
    play("ua_single/nobody_answers", |w| {
        let alice = w.softphone("alice");
        w.kill_server(0);
        request(&alice, "OPTIONS", "bob", None);
        w.run();
        assert_eq!(alice.told(), "RequestFailed(no answer to OPTIONS from udp:10.0.0.1:5060)");
    });
}
