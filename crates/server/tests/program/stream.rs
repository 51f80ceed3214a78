//! TCP: whole messages out of pieces, several in one, keep-alives, broken streams, strangers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use crate::world::{Folder, PATIENCE, Phone, Server, header, status};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address("tcp")).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

fn options(n: u32) -> String {
    format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bKs{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: stream-{n}\r\nCSeq: {n} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Reads until `count` answers with 200 have come.
fn answers(stream: &mut TcpStream, count: usize) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4_096]);
    while text.matches("SIP/2.0 200").count() < count || !text.ends_with("\r\n\r\n") {
        let n = stream.read(&mut buffer).expect("in time");
        assert_ne!(n, 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).expect("text"));
    }
    text
}

fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("closed in time");
    text
}

#[test]
fn pieces_and_several_at_once() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--store", "memory:"]);
    let mut stream = connect(&server);
    for byte in options(1).as_bytes() {
        stream.write_all(&[*byte]).expect("written");
    }
    answers(&mut stream, 1);
    let many: String = (2..102).map(options).collect();
    stream.write_all(many.as_bytes()).expect("written");
    let text = answers(&mut stream, 100);
    for n in 2..102 {
        assert!(text.contains(&format!("CSeq: {n} OPTIONS")), "{n}");
    }
}

#[test]
fn a_ping_gets_a_pong() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--store", "memory:"]);
    let mut stream = connect(&server);
    stream.write_all(b"\r\n\r\n").expect("written");
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).expect("in time");
    assert_eq!(&pong, b"\r\n");
}

#[test]
fn a_broken_stream_is_answered_and_closed() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--store", "memory:"]);
    let mut stream = connect(&server);
    let broken = options(1).replace("Content-Length: 0", "Content-Length: many");
    stream.write_all(broken.as_bytes()).expect("written");
    let text = until_closed(&mut stream);
    assert!(text.starts_with("SIP/2.0 400"), "{text}");
}

#[test]
fn a_message_that_does_not_end_is_not_waited_for() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--store", "memory:"]);
    let mut stream = connect(&server);
    stream.write_all(b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: ").expect("written");
    assert_eq!(until_closed(&mut stream), "");
}

/// A laboratory: nobody needs a password.
fn open_server(folder: &Folder) -> Server {
    folder.write("ringway.toml", "[sip]\ndomains = [\"127.0.0.1\"]\n[auth]\nenabled = false\n");
    Server::start(folder, &["--store", "memory:", "--admin", "admin.sock"])
}

/// One whole message without a body, off a stream.
fn read_message(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a message in time");
        text.push(byte[0]);
    }
    let length =
        text_of(&text).lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).expect("its body");
    text.extend(body);
    text_of(&text).to_owned()
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

fn reply(request: &str, words: &str) -> String {
    let mut text = format!("SIP/2.0 {words}\r\n");
    for line in request.lines() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if ["via", "record-route", "from", "call-id", "cseq"].contains(&name.as_str()) {
            text.push_str(&format!("{line}\r\n"));
        } else if name == "to" {
            text.push_str(&format!("{line};tag=callee\r\n"));
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn request(method: &str, via: &str, to: &str, call: &str, extra: &str) -> String {
    format!(
        "{method} sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: {call}\r\n\
         CSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

/// Two calls to one destination share a connection, opened once (RFC 3261 §18).
#[test]
fn calls_to_one_peer_share_a_connection() {
    let folder = Folder::new();
    let server = open_server(&folder);
    let bob = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = bob.local_addr().expect("bound");
    let mut alice = Phone::new(&server, "bob");
    let contact = format!("Contact: <sip:bob@{at};transport=tcp>\r\n");
    let register = alice.request("REGISTER", "sip:127.0.0.1", "<sip:bob@127.0.0.1>", "");
    let plain = register.lines().find(|line| line.starts_with("Contact:")).expect("one");
    alice.send(&register.replace(&format!("{plain}\r\n"), &contact));
    assert_eq!(status(&alice.next()), 200);
    let via = format!("UDP {};rport", alice.local());
    for call in ["c1", "c2", "c3"] {
        alice.send(&request("INVITE", &via, "bob", call, ""));
    }
    let mut stream = accepted(&bob);
    let mut calls: Vec<String> = (0..3)
        .map(|_| header(&read_message(&mut stream), "call-id").expect("one").to_owned())
        .collect();
    calls.sort();
    assert_eq!(calls, ["c1", "c2", "c3"]);
    bob.set_nonblocking(true).expect("set");
    assert!(bob.accept().is_err(), "a second connection");
}

/// RFC 3261 §18.2.2: the caller's connection is gone, so the answer opens one to where its Via says it listens.
#[test]
fn an_answer_finds_its_way_when_the_connection_is_gone() {
    let folder = Folder::new();
    let server = open_server(&folder);
    let mut bob = Phone::new(&server, "bob");
    assert_eq!(bob.ask("REGISTER", "sip:127.0.0.1", "").0, 200);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    let mut stream = connect(&server);
    stream
        .write_all(request("INVITE", &format!("TCP {at}"), "bob", "c1", "").as_bytes())
        .expect("sent");
    let invite = bob.wait_for(|m| m.starts_with("INVITE "));
    assert!(read_message(&mut stream).starts_with("SIP/2.0 100 "));
    drop(stream);
    while status_of(&folder)["connections"] != 0 {}
    bob.send(&reply(&invite, "486 Busy Here"));
    let answer = read_message(&mut accepted(&listener));
    assert!(answer.starts_with("SIP/2.0 486 "), "{answer}");
}

fn status_of(folder: &Folder) -> serde_json::Value {
    let text = folder.ok_or_attention(&["status", "--json", "--admin", "admin.sock"]);
    serde_json::from_str(&text).expect("one object")
}

/// RFC 5923: from a trusted network, a peer that says `alias` gets what is for its listener by its own connection.
#[test]
fn a_trusted_peer_is_reached_by_its_own_connection() {
    let folder = Folder::new();
    let server = open_server(&folder);
    // Nobody listens there: without the alias there would be no way.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut stream = connect(&server);
    let via = format!("TCP {free};alias");
    let contact = format!("Contact: <sip:bob@{free};transport=tcp>\r\n");
    let register = request("REGISTER", &via, "bob", "r1", &contact)
        .replace("sip:bob@127.0.0.1 SIP", "sip:127.0.0.1 SIP");
    stream.write_all(register.as_bytes()).expect("sent");
    assert_eq!(status(&read_message(&mut stream)), 200);
    // A second device of his, which registers the same contact by UDP: only the contact leads there.
    let mut other = Phone::new(&server, "bob");
    let again = other.request("REGISTER", "sip:127.0.0.1", "<sip:bob@127.0.0.1>", "");
    let plain = again.lines().find(|line| line.starts_with("Contact:")).expect("one").to_owned();
    other.send(&again.replace(&format!("{plain}\r\n"), &contact));
    assert_eq!(status(&other.next()), 200);
    other.send(&request("INVITE", &format!("UDP {};rport", other.local()), "bob", "c1", ""));
    assert!(read_message(&mut stream).starts_with("INVITE "));
}

/// A phone that listens for datagrams and, perhaps, for streams on the same port.
fn udp_phone(server: &Server) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let at = socket.local_addr().expect("bound");
    let text = request(
        "REGISTER",
        &format!("UDP {at};rport"),
        "bob",
        "r1",
        &format!("Contact: <sip:bob@{at}>\r\n"),
    )
    .replace("sip:bob@127.0.0.1 SIP", "sip:127.0.0.1 SIP");
    socket.send_to(text.as_bytes(), server.address("udp")).expect("sent");
    assert_eq!(status(&received(&socket)), 200);
    (socket, at)
}

fn received(socket: &UdpSocket) -> String {
    let mut buffer = [0; 65_536];
    let n = socket.recv(&mut buffer).expect("in time");
    text_of(&buffer[..n]).to_owned()
}

/// N-8, RFC 3261 §18.1.1: above 1,300 bytes by TCP; when that is refused, as a datagram after all, and the next one at once.
#[test]
fn what_is_too_large_for_a_datagram() {
    let folder = Folder::new();
    folder.write("ringway.toml", "[sip]\ndomains = [\"127.0.0.1\"]\n[auth]\nenabled = false\n");
    let server = Server::start(&folder, &["--store", "memory:"]);
    let (socket, at) = udp_phone(&server);
    let alice = Phone::new(&server, "alice");
    let large = format!("X-Large: {}\r\n", "x".repeat(1_400));
    let via = format!("UDP {};rport", alice.local());
    // Nobody listens for streams there.
    alice.send(&request("INVITE", &via, "bob", "c1", &large));
    let invite = received(&socket);
    assert!(invite.starts_with("INVITE ") && invite.len() > 1_300);
    assert!(header(&invite, "via").expect("one").starts_with("SIP/2.0/UDP "));
    socket
        .send_to(reply(&invite, "486 Busy Here").as_bytes(), server.address("udp"))
        .expect("sent");
    assert_eq!(status(&alice.wait_for(|m| m.starts_with("SIP/2.0 4"))), 486);
    drop((socket, at));
    // This one does.
    let (socket, listener) = loop {
        let (socket, at) = udp_phone(&server);
        if let Ok(listener) = TcpListener::bind(at) {
            break (socket, listener);
        }
    };
    alice.send(&request("INVITE", &via, "bob", "c2", &large));
    let mut stream = accepted(&listener);
    let invite = loop {
        let message = read_message(&mut stream);
        if message.starts_with("INVITE ") {
            break message;
        }
    };
    assert!(header(&invite, "via").expect("one").starts_with("SIP/2.0/TCP "), "{invite}");
    stream.write_all(reply(&invite, "486 Busy Here").as_bytes()).expect("sent");
    assert!(read_message(&mut stream).starts_with("ACK "));
    drop(socket);
}

/// ADV-51: a peer that asks and never reads is closed when 256 KiB wait for it, and nobody else notices.
#[test]
fn a_peer_that_never_reads() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--store", "memory:", "--log", "off"]);
    let mut deaf = connect(&server);
    let mut known = connect(&server);
    deaf.set_write_timeout(Some(PATIENCE)).expect("set");
    let many: String = (0..500).map(options).collect();
    let mut sent = 0;
    // Until the server closes it: its answers wait in the kernel first, then with the server.
    while deaf.write_all(many.as_bytes()).is_ok() {
        sent += 1;
        assert!(sent < 1_000, "still open after {} requests", sent * 500);
        known.write_all(options(sent).as_bytes()).expect("written");
        answers(&mut known, 1);
    }
    known.write_all(options(1).as_bytes()).expect("written");
    answers(&mut known, 1);
}
