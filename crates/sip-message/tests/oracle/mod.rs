//! What must hold for any input whatever, shared by the tests and the fuzz targets: nothing panics, nothing grows
//! beyond its input, what is written is read back the same, and every reader sees the same message.
#![allow(dead_code)] // each user takes its part

pub mod hostile;

use bytes::Bytes;
use sip_message::frame::{Frame, Framer};
use sip_message::write::{self, Patch};
use sip_message::{
    Brief, Contacts, Head, Message, Name, NameAddr, Request, Response, Uri, limit, peek, uri,
};

/// Room for what we add to a message: Via, Record-Route, Max-Forwards, a tag.
const ADDED: usize = 1024;

/// Everything the server could do with one datagram.
pub fn datagram(bytes: &[u8]) {
    let peeked = peek::call_id(bytes);
    match Message::parse(Bytes::copy_from_slice(bytes)) {
        Ok(message) => {
            if let Ok(call_id) = message.call_id() {
                assert_eq!(Some(call_id), peeked, "peek and parse disagree");
            }
            read_everything(&message);
            if let Some(brief) = Brief::of(bytes) {
                same_in_brief(&brief, &message);
            }
            match &message {
                Message::Request(request) => use_request(request),
                Message::Response(response) => use_response(response),
            }
            same_again(&message);
        }
        Err(bad) => {
            assert!(bad.error.offset as usize <= bytes.len(), "{bad}");
            assert!(!bad.error.to_string().is_empty());
            if let Some(request) = bad.request {
                read_everything(&request);
                refuse(&request);
                edit(*request);
            }
        }
    }
}

/// What a hurried reading finds is what a full one finds, or nothing.
fn same_in_brief(brief: &Brief<'_>, message: &Message) {
    let Message::Request(request) = message else { panic!("a response is no request") };
    assert_eq!(brief.method, request.method().as_bytes());
    for (value, name) in [
        (brief.via, Name::Via),
        (brief.from, Name::From),
        (brief.to, Name::To),
        (brief.call_id, Name::CallId),
        (brief.cseq, Name::CSeq),
    ] {
        assert_eq!(Some(value), request.header(name), "{name}");
        let below =
            usize::from(name == Name::Via) * brief.vias_below.split(|b| *b == b'\n').count();
        assert_eq!(request.headers(name).count(), below.max(1), "{name}");
    }
    if let Ok(to) = request.to() {
        assert!(brief.may_have_to_tag() || to.tag().is_none(), "an overlooked tag");
    }
}

/// Reads every typed view there is.
fn read_everything(head: &Head) {
    let _ = (head.via(), head.from(), head.to(), head.call_id(), head.cseq());
    let _ = (head.max_forwards(), head.max_breadth(), head.content_length(), head.expires());
    let vias = head.vias().inspect(|via| {
        if let Ok(via) = via {
            let _ = (via.has_cookie(), via.param("x"), via.host.ip());
            assert!(!via.raw().is_empty());
        }
    });
    assert!(vias.count() <= head.bytes().len());
    for name in [Name::Route, Name::RecordRoute, Name::Path, Name::Contact] {
        head.addresses(name).flatten().for_each(read_address);
    }
    if let Ok(Contacts::List(contacts)) = head.contacts() {
        contacts.flatten().for_each(read_address);
    }
    for name in [Name::Require, Name::ProxyRequire, Name::Supported, Name::Allow, Name::Accept] {
        assert!(head.tokens(name).all(|token| !token.is_empty()));
    }
    for name in [Name::Authorization, Name::ProxyAuthorization] {
        for credentials in head.credentials(name).flatten() {
            let _ = (credentials.param("nonce"), credentials.param("username"));
        }
    }
    assert!(head.lines().all(|(name, _)| !name.is_empty()));
    for (name, value) in head.lines().take(3) {
        assert!(head.headers_named(name).any(|v| v == value));
    }
}

fn read_address(address: NameAddr<'_>) {
    let _ = (address.display(), address.tag(), address.q(), address.expires(), address.param("lr"));
    assert!(!address.uri_bytes().is_empty());
    if let Ok(uri) = address.uri() {
        read_uri(&uri);
    }
}

fn read_uri(u: &Uri<'_>) {
    let _ = (u.param("transport"), u.is_loose(), u.scheme_bytes());
    if let Some(user) = u.user {
        assert!(uri::unescape_user(user).len() <= user.len());
    }
    assert!(uri::equivalent(u, u), "a URI differs from itself: {}", u.raw.escape_ascii());
}

/// A text as a URI and as an address.
pub fn uri(bytes: &[u8]) {
    if let Ok(address) = NameAddr::parse(bytes) {
        read_address(address);
    }
    let (a, b) = match bytes.iter().position(|&b| b == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    if let (Ok(a), Ok(b)) = (Uri::parse(a), Uri::parse(b)) {
        read_uri(&a);
        assert_eq!(uri::equivalent(&a, &b), uri::equivalent(&b, &a));
    }
}

/// Answers a request, however little of it could be read: the answer can be read whole.
fn refuse(request: &Request) -> Request {
    let _ = (request.check(), request.check_stream());
    assert!(request.header(Name::Via).is_some());
    let mut stamped = request.clone();
    stamped.stamp_source(([192, 0, 2, 77], 5099).into());
    let mut out = Vec::new();
    write::response(&stamped, 400, b"Bad Request", Some(b"tag"), b"", b"", &mut out);
    bounded(&out, request);
    fits(&out);
    stamped
}

/// What the proxy does with a request.
fn use_request(request: &Request) {
    if request.header(Name::Via).is_none() {
        assert!(request.check().is_err());
        return;
    }
    let stamped = refuse(request);
    let mut out = Vec::new();
    write::forward(&stamped, &patch(), &mut out);
    bounded(&out, request);
    if let (Ok(_), Some(Message::Request(sent))) = (request.check(), fits(&out)) {
        assert_eq!(sent.vias().count(), request.vias().count() + 1);
        assert_eq!(sent.call_id(), request.call_id());
        assert_eq!(sent.max_forwards(), Ok(Some(69)));
        assert_eq!(sent.body(), request.body());
        use_sent(&sent);
    }
    edit(request.clone());
}

fn patch() -> Patch<'static> {
    Patch {
        via: b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKabc",
        record_routes: &[b"<sip:192.0.2.1;lr>"],
        routes_popped: 1,
        max_forwards: 69,
        ..Patch::default()
    }
}

/// A request that was sent gives its CANCEL, its ACK, and a response that comes back.
fn use_sent(sent: &Request) {
    let mut out = Vec::new();
    write::cancel(sent, &mut out);
    bounded(&out, sent);
    out.clear();
    write::response(sent, 486, b"Busy Here", Some(b"tag"), b"", b"", &mut out);
    let Some(Message::Response(response)) = fits(&out) else { return };
    assert!(response.to().is_ok_and(|to| to.tag().is_some()));
    out.clear();
    write::ack(sent, &response, &mut out);
    bounded(&out, sent);
    out.clear();
    write::response_upstream(&response, &mut out);
    if let Some(Message::Response(upstream)) = fits(&out) {
        assert_eq!(upstream.vias().count() + 1, response.vias().count());
    }
}

fn use_response(response: &Response) {
    let mut out = Vec::new();
    let _ = response.check();
    write::response_upstream(response, &mut out);
    bounded(&out, response);
}

fn edit(mut request: Request) {
    request.set_uri(b"sip:edited@example.com");
    request.set(Name::MaxForwards, b"5");
    request.prepend(Name::Route, b"<sip:edited;lr>");
    request.append(Name::Subject, b"edited");
    request.append_named(b"X-Edited", b"yes");
    while request.pop_first(Name::Route) {}
    request.remove(Name::Contact);
    assert_eq!(request.max_forwards(), Ok(Some(5)));
    assert_eq!(request.header(Name::Contact), None);
    assert_eq!(request.headers_named(b"x-edited").last(), Some(&b"yes"[..]));
    let mut out = Vec::new();
    write::request(&request, &mut out);
    bounded(&out, &request);
}

/// What we write is never much larger than what we read.
fn bounded(out: &[u8], head: &Head) {
    assert!(out.len() <= head.bytes().len() + ADDED, "{} from {}", out.len(), head.bytes().len());
}

/// Reads what we wrote, if our additions left it within the limits.
fn fits(out: &[u8]) -> Option<Message> {
    match Message::parse(Bytes::copy_from_slice(out)) {
        Ok(message) => Some(message),
        Err(_) if out.len() + ADDED > limit::HEAD_BYTES_MAX => None,
        Err(bad) if bad.error.kind == sip_message::ParseErrorKind::HeadersTooMany => None,
        Err(bad) => panic!("we wrote what we cannot read: {bad}: {}", out.escape_ascii()),
    }
}

/// Written and read again it is the same message.
fn same_again(message: &Message) {
    let mut out = Vec::new();
    write::message(message, &mut out);
    let again = match Message::parse(Bytes::copy_from_slice(&out)) {
        Ok(again) => again,
        Err(bad) => panic!("{bad}: {}", out.escape_ascii()),
    };
    assert!(again.lines().eq(message.lines()), "{}", out.escape_ascii());
    assert_eq!(again.body(), message.body());
    match (message, &again) {
        (Message::Request(a), Message::Request(b)) => {
            assert_eq!((a.method(), a.uri_bytes()), (b.method(), b.uri_bytes()));
        }
        (Message::Response(a), Message::Response(b)) => {
            assert_eq!((a.status(), a.reason()), (b.status(), b.reason()));
        }
        _ => panic!("a request became a response"),
    }
}

/// The frames of a stream that arrives in pieces of `step` bytes.
pub fn frames(stream: &[u8], step: usize) -> Vec<Frame> {
    let mut framer = Framer::new();
    let mut out = Vec::new();
    for piece in stream.chunks(step.max(1)) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            out.push(frame);
        }
        assert!(framer.pending() <= limit::MESSAGE_BYTES_MAX + step, "the framer hoards");
    }
    out
}

/// However a stream is cut, its frames are the same, and a message that was framed has the length it says.
pub fn stream(bytes: &[u8], step: usize) {
    let whole = frames(bytes, bytes.len());
    let pieces = frames(bytes, step);
    // A stream broken for its size breaks where the pieces end: only that it broke is the same.
    let kind = |frame: &Frame| match frame {
        Frame::Message(message) => message.clone(),
        Frame::KeepAlive => Bytes::from_static(b"\r\n\r\n"),
        Frame::Broken(_) => Bytes::from_static(b"broken"),
    };
    assert!(whole.iter().map(kind).eq(pieces.iter().map(kind)), "{whole:?}\n{pieces:?}");
    let total: usize = whole.iter().map(|frame| kind(frame).len()).sum();
    assert!(total <= bytes.len() + 6, "more came out than went in");
    for frame in whole {
        if let Frame::Message(message) = frame
            && let Ok(parsed) = Message::parse(message.clone())
        {
            let body = parsed.content_length().ok().flatten().map(|n| n as usize);
            assert_eq!(body, Some(parsed.body().len()), "{}", message.escape_ascii());
            assert!(message.ends_with(parsed.body()));
        }
    }
}
