//! TCP: whole messages out of pieces, several in one, keep-alives, broken streams, strangers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::world::{Folder, PATIENCE, Server};

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
