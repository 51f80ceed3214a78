//! R-14 `fd_exhaust`: without descriptors for strangers, everybody else goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::world::{Folder, PATIENCE, Phone, Server, status};

fn options(stream: &mut TcpStream, n: u32) -> u16 {
    try_options(stream, n).expect("an answer")
}

fn try_options(stream: &mut TcpStream, n: u32) -> std::io::Result<u16> {
    let local = stream.local_addr().expect("bound");
    let text = format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bKt{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: tcp-{local}\r\nCSeq: {n} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(text.as_bytes())?;
    let mut buffer = [0; 4_096];
    match stream.read(&mut buffer)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        n => Ok(status(std::str::from_utf8(&buffer[..n]).expect("text"))),
    }
}

/// User and system time so far, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("alive");
    let rest = text.rsplit_once(") ").expect("a name").1;
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

#[test]
fn fd_exhaust() {
    let folder = Folder::new();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=256:256", env!("CARGO_BIN_EXE_ringway"), "run", "--json"]);
    command.args([
        "--listen",
        "udp://127.0.0.1:0",
        "--listen",
        "tcp://127.0.0.1:0",
        "--log",
        "off",
    ]);
    command.current_dir(folder.path("."));
    let mut server = Server::spawn(command);
    let address = server.address("tcp");
    let mut known = TcpStream::connect(address).expect("connected");
    known.set_read_timeout(Some(PATIENCE)).expect("set");
    assert_eq!(options(&mut known, 1), 200);

    let mut crowd = Vec::new();
    for _ in 0..1_000 {
        // The server may refuse, and the backlog may be full: both are its right.
        if let Ok(stream) =
            TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100))
        {
            crowd.push(stream);
        }
    }
    let before = ticks(server.id());
    let begun = std::time::Instant::now();
    let mut phone = Phone::new(&server, "x");
    for n in 2..50 {
        assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
        assert_eq!(options(&mut known, n), 200);
    }
    // It does not spin: what it used is for our 96 requests, far from a whole core.
    let used = ticks(server.id()) - before;
    let elapsed = begun.elapsed().as_millis() as u64 / 10;
    assert!(used <= 30 + elapsed / 2, "{used} ticks of CPU in {elapsed}");
    drop(crowd);
    // It has room again when it has read a thousand farewells, not at once.
    let begun = std::time::Instant::now();
    loop {
        let mut fresh = TcpStream::connect(address).expect("connected");
        fresh.set_read_timeout(Some(PATIENCE)).expect("set");
        match try_options(&mut fresh, 1) {
            Ok(status) => break assert_eq!(status, 200),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    }
    assert!(server.is_running());
}
