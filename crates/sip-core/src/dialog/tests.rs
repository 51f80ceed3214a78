//! RFC 3261 §12, sentence by sentence.

use bytes::Bytes;
use sip_message::{CSeq, Message, Method, Request, Response};

use super::*;

fn request(text: &str) -> Request {
    match Message::parse(Bytes::from(text.to_owned())) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn response(text: &str) -> Response {
    match Message::parse(Bytes::from(text.to_owned())) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

const INVITE: &str = "INVITE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
    Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nFrom: \"Al \\\"ice\" <sip:alice@a.example>;tag=a\r\n\
    To: <sip:bob@b.example>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nContact: <sip:alice@192.0.2.1>\r\n\
    Content-Length: 0\r\n\r\n";

fn answer(status: u16, more: &str) -> Response {
    response(&format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n{more}\
         From: \"Al \\\"ice\" <sip:alice@a.example>;tag=a\r\nTo: Bob <sip:bob@b.example>;x=y;tag=b\r\n\
         Call-ID: c\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
    ))
}

const ROUTES: &str = "Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nContact: <sip:bob@192.0.2.2>\r\n";

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

fn shown(addressing: &Addressing) -> String {
    let routes: Vec<&str> = addressing.routes.iter().map(|route| text(route)).collect();
    format!("{} [{}] to {}", text(&addressing.uri), routes.join(", "), text(&addressing.next))
}

/// §12.1.2: the caller's route set is the Record-Route of the response in reverse; §12.2.1.1: From, To and CSeq.
#[test]
fn the_callers_side() {
    let mut dialog = Dialog::of_uac(&request(INVITE), &answer(180, ROUTES)).unwrap();
    assert_eq!(dialog.state(), State::Early);
    assert!(dialog.is(b"c", b"a", b"b") && !dialog.is(b"c", b"b", b"a"));
    assert_eq!(
        shown(&dialog.addressing()),
        "sip:bob@192.0.2.2 [<sip:p1;lr>, <sip:p2;lr>] to sip:p1;lr"
    );
    assert_eq!(text(&dialog.from()), "\"Al \\\"ice\" <sip:alice@a.example>;tag=a");
    assert_eq!(text(&dialog.to()), "\"Bob\" <sip:bob@b.example>;tag=b");
    assert_eq!((dialog.next_cseq(), dialog.next_cseq()), (8, 9));
    // §13.2.2.4: the 2xx computes the route set anew.
    dialog.confirm_with(&answer(200, "Contact: <sip:bob@192.0.2.3>\r\n"));
    assert_eq!(shown(&dialog.addressing()), "sip:bob@192.0.2.3 [] to sip:bob@192.0.2.3");
    assert_eq!(dialog.state(), State::Confirmed);
}

/// §12.1.1: the callee's route set is the Record-Route of the request as it stands.
#[test]
fn the_callees_side() {
    let mut dialog = Dialog::of_uas(&request(INVITE), b"b").unwrap();
    assert!(dialog.is(b"c", b"b", b"a"));
    assert_eq!(
        shown(&dialog.addressing()),
        "sip:alice@192.0.2.1 [<sip:p2;lr>, <sip:p1;lr>] to sip:p2;lr"
    );
    assert_eq!(dialog.next_cseq(), 1);
    // §12.2.2: lower is out of order, higher with a gap is not.
    let cseq = |number| CSeq { number, method: Method::Bye };
    assert_eq!(dialog.receive(cseq(6)).unwrap_err().status, 500);
    assert!(dialog.receive(cseq(7)).is_ok() && dialog.receive(cseq(70)).is_ok());
    assert_eq!(dialog.receive(cseq(69)).unwrap_err().status, 500);
}

/// §12.2.1.2: a target refresh changes the remote target and leaves the route set alone; without Contact nothing changes.
#[test]
fn a_target_refresh() {
    let mut dialog = Dialog::of_uac(&request(INVITE), &answer(200, ROUTES)).unwrap();
    dialog.refresh_target(&answer(200, "Contact: <sip:bob@198.51.100.2>\r\n"));
    dialog.refresh_target(&answer(200, "Record-Route: <sip:p9;lr>\r\n"));
    assert_eq!(
        shown(&dialog.addressing()),
        "sip:bob@198.51.100.2 [<sip:p1;lr>, <sip:p2;lr>] to sip:p1;lr"
    );
}

/// §12.2.1.1: a strict router gets the request as its Request-URI, the remote target travels as the last Route.
#[test]
fn strict_routers() {
    let strict: Vec<Box<[u8]>> =
        vec![b"<sip:p1;method=INVITE;x=1?a=b>".as_slice().into(), b"<sip:p2;lr>".as_slice().into()];
    assert_eq!(
        shown(&Addressing::new(b"sip:bob@h", &strict)),
        "sip:p1;x=1 [<sip:p2;lr>, <sip:bob@h>] to sip:p1;x=1"
    );
    // A loose router first, a strict one behind it: the loose one sees to it (§16.6 step 6).
    let mixed: Vec<Box<[u8]>> =
        vec![b"<sip:p2;lr>".as_slice().into(), b"<sip:p1>".as_slice().into()];
    assert_eq!(
        shown(&Addressing::new(b"sip:bob@h", &mixed)),
        "sip:bob@h [<sip:p2;lr>, <sip:p1>] to sip:p2;lr"
    );
}

/// §12.1: what makes no dialog.
#[test]
fn no_dialog() {
    let invite = request(INVITE);
    let made = |response: &Response| Dialog::of_uac(&invite, response).map(|_| ());
    assert_eq!(made(&answer(200, "")), Err(NoDialog::NoContact));
    let bare = answer(200, ROUTES);
    let untagged = text(bare.bytes()).replace(";tag=b", "");
    assert_eq!(made(&response(&untagged)), Err(NoDialog::NoTag));
    let lame = request(&INVITE.replace("Contact: <sip:alice@192.0.2.1>\r\n", ""));
    assert_eq!(Dialog::of_uas(&lame, b"b").map(|_| ()), Err(NoDialog::NoContact));
}
