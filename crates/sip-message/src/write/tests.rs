//! What is written, to the byte.

use super::*;
use bytes::Bytes;

const INVITE: &str = "INVITE sip:bob@b.example SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport, SIP/2.0/UDP old\r\n\
    Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
    Route: <sip:p3;lr>\r\n\
    max-forwards :  70\r\n\
    X-Odd:   kept \t as is\r\n\
    From: <sip:a@a>;tag=1\r\n\
    To: Bob <sip:b@b>\r\n\
    Call-ID: c\r\n\
    CSeq: 7 INVITE\r\n\
    l: 4\r\n\r\nbody";

fn request(text: &str) -> Request {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Message::Request(r)) => r,
        other => panic!("{other:?}"),
    }
}

fn reply(text: &str) -> Response {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Message::Response(r)) => r,
        other => panic!("{other:?}"),
    }
}

fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    f(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_forwarded_request() {
    let patch = Patch {
        request_uri: Some(b"sip:bob@192.0.2.9"),
        via: b"SIP/2.0/UDP us;branch=z9hG4bKb",
        record_routes: &[b"<sip:us;lr>"],
        routes_popped: 1,
        max_forwards: 69,
        ..Patch::default()
    };
    let expected = "INVITE sip:bob@192.0.2.9 SIP/2.0\r\n\
        Via: SIP/2.0/UDP us;branch=z9hG4bKb\r\n\
        Record-Route: <sip:us;lr>\r\n\
        v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport, SIP/2.0/UDP old\r\n\
        Route: <sip:p2;lr>\r\n\
        Route: <sip:p3;lr>\r\n\
        Max-Forwards: 69\r\n\
        X-Odd:   kept \t as is\r\n\
        From: <sip:a@a>;tag=1\r\n\
        To: Bob <sip:b@b>\r\n\
        Call-ID: c\r\n\
        CSeq: 7 INVITE\r\n\
        l: 4\r\n\r\nbody";
    assert_eq!(written(|out| forward(&request(INVITE), &patch, out)), expected);
    let three = Patch { routes_popped: 3, removed: &[Name::Via], ..patch };
    let text = written(|out| forward(&request(INVITE), &three, out));
    assert!(!text.contains("Route: <sip:p") && !text.contains("v:"), "{text}");
}

#[test]
fn a_stamped_via_and_its_response() {
    let mut invite = request(INVITE);
    invite.stamp_source("198.51.100.7:4321".parse().unwrap());
    assert_eq!(invite.via().unwrap().rport, Some(Some(4321)));
    let expected = "SIP/2.0 404 Not Found\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport=4321;received=198.51.100.7, SIP/2.0/UDP old\r\n\
        From: <sip:a@a>;tag=1\r\n\
        To: Bob <sip:b@b>;tag=t\r\n\
        Call-ID: c\r\n\
        CSeq: 7 INVITE\r\n\
        Retry-After: 3\r\n\
        Content-Length: 0\r\n\r\n";
    let text = written(|out| {
        response(&invite, 404, b"Not Found", Some(b"t"), b"Retry-After: 3\r\n", b"", out)
    });
    assert_eq!(text, expected);
    let upstream = written(|out| response_upstream(&reply(&text), out));
    assert!(
        upstream.contains("\r\nVia: SIP/2.0/UDP old\r\n") && !upstream.contains("4321"),
        "{upstream}"
    );
    let last = written(|out| response_upstream(&reply(&upstream), out));
    assert!(!last.contains("Via"), "{last}");
}

#[test]
fn ack_and_cancel() {
    let invite = request(INVITE);
    let busy = reply("SIP/2.0 486 Busy\r\nVia: x\r\nTo: <sip:b@b>;tag=9\r\nl: 0\r\n\r\n");
    let expected = "ACK sip:bob@b.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport\r\n\
        Max-Forwards: 70\r\n\
        Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
        Route: <sip:p3;lr>\r\n\
        From: <sip:a@a>;tag=1\r\n\
        To: <sip:b@b>;tag=9\r\n\
        Call-ID: c\r\n\
        CSeq: 7 ACK\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(written(|out| ack(&invite, &busy, out)), expected);
    let text = written(|out| cancel(&invite, out));
    assert_eq!(text, expected.replace("ACK", "CANCEL").replace("<sip:b@b>;tag=9", "Bob <sip:b@b>"));
}

#[test]
fn edits_are_read_back_and_written() {
    let mut r = request(INVITE);
    r.set_uri(b"sip:new@x y");
    assert_eq!(r.uri_bytes(), b"sip:new@x");
    r.set(Name::MaxForwards, b"12");
    assert_eq!(r.max_forwards(), Ok(Some(12)));
    r.prepend(Name::Route, b"<sip:p0;lr>");
    assert_eq!(r.routes().count(), 4);
    assert!(r.pop_first(Name::Route) && r.pop_first(Name::Route));
    assert_eq!(r.header(Name::Route), Some(&b"<sip:p2;lr>"[..]));
    assert_eq!(r.remove(Name::Route), 2);
    assert!(r.routes().next().is_none() && !r.pop_first(Name::Route));
    r.append_named(b"X-New", b"one\r\nRoute: <sip:evil>");
    assert_eq!(r.headers_named(b"x-new").next(), Some(&b"one"[..]));
    assert_eq!(r.remove_named(b"x-odd"), 1);
    r.append(Name::Subject, b"s");
    let text = written(|out| super::request(&r, out));
    assert!(text.starts_with("INVITE sip:new@x SIP/2.0\r\nv: "), "{text}");
    assert!(text.ends_with("l: 4\r\nX-New: one\r\nSubject: s\r\n\r\nbody"), "{text}");
    assert!(!text.contains("Route") && !text.contains("X-Odd"), "{text}");
}

#[test]
fn unedited_messages_leave_as_they_came() {
    assert_eq!(written(|out| super::request(&request(INVITE), out)), INVITE);
}
