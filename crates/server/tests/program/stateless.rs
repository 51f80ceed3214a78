//! `mode = "stateless"`: a real balancer between real sockets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use serde_json::Value;

use crate::world::{Folder, PATIENCE, Phone, Server, header, status};

/// A core behind the balancer: it answers what it is asked.
pub struct Core(UdpSocket);

impl Core {
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// What waits now; nothing if nothing does.
    fn take(&self) -> Option<(String, SocketAddr)> {
        let mut buffer = [0; 65_536];
        self.0.set_nonblocking(true).expect("set");
        let got = self.0.recv_from(&mut buffer).ok();
        self.0.set_nonblocking(false).expect("set");
        got.map(|(n, from)| (String::from_utf8(buffer[..n].to_vec()).expect("text"), from))
    }

    pub fn answer(&self, request: &str, to: SocketAddr, status: &str) {
        let copied = request.lines().filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        });
        let copied: Vec<&str> = copied.collect();
        let text = format!(
            "SIP/2.0 {status}\r\n{}\r\nX-Core: {}\r\nContent-Length: 0\r\n\r\n",
            copied.join("\r\n"),
            self.address()
        );
        self.0.send_to(text.as_bytes(), to).expect("sent");
    }
}

pub fn configure(folder: &Folder, cores: &[Core], more: &str) {
    let mut text = format!("[sip]\nmode = \"stateless\"\n{more}");
    for (n, core) in cores.iter().enumerate() {
        text.push_str(&format!(
            "[[gateway]]\nname = \"core-{n}\"\nset = \"core\"\nuri = \"sip:{}\"\n",
            core.address()
        ));
    }
    folder.write("ringway.toml", &text);
}

/// Waits until one of the cores has something.
pub fn arrival(cores: &[Core]) -> (usize, String, SocketAddr) {
    let begun = std::time::Instant::now();
    loop {
        let found = cores.iter().enumerate().find_map(|(n, core)| Some((n, core.take()?)));
        if let Some((n, (text, from))) = found {
            return (n, text, from);
        }
        assert!(begun.elapsed() < PATIENCE, "nothing came to any core");
        std::thread::yield_now();
    }
}

#[test]
fn calls_are_spread_and_each_stays_together() {
    let cores: Vec<Core> = (0..4).map(|_| Core::new()).collect();
    let folder = Folder::new();
    configure(&folder, &cores, "");
    let server = Server::start(&folder, &[]);
    let mut counts = BTreeMap::new();
    for call in 0..100 {
        let mut phone = Phone::new(&server, &format!("p{call}"));
        let mut places = Vec::new();
        for method in ["INVITE", "INVITE", "CANCEL", "ACK"] {
            let text = phone.request(method, "sip:bob@example.com", "<sip:bob@example.com>", "");
            phone.send(&text);
            let (place, request, from) = arrival(&cores);
            assert!(request.starts_with(method), "{request}");
            assert_eq!(request.matches("Via: ").count(), 2);
            places.push(place);
            if method == "INVITE" {
                cores[place].answer(&request, from, "180 Ringing");
                let answer = phone.next();
                assert_eq!(status(&answer), 180);
                assert_eq!(answer.matches("Via: ").count(), 1);
                assert_eq!(header(&answer, "X-Core"), Some(&*cores[place].address().to_string()));
            }
        }
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        *counts.entry(places[0]).or_insert(0) += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|n| *n >= 8), "{counts:?}");
    let status: Value =
        serde_json::from_str(&folder.ok(&["status", "--json"])).expect("one object");
    assert_eq!((&status["mode"], &status["nodes"]), (&"stateless".into(), &1.into()));
    server.stop();
}

/// It answers for itself, and survives being killed: nothing is lost that it would need.
#[test]
fn a_restart_in_the_middle_of_a_call() {
    let cores = [Core::new()];
    let folder = Folder::new();
    configure(&folder, &cores, "");
    let server = Server::start(&folder, &[]);
    let address = server.address("udp");
    let mut phone = Phone::new(&server, "alice");
    assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    let invite = phone.request("INVITE", "sip:bob@example.com", "<sip:bob@example.com>", "");
    phone.send(&invite);
    let (_, invite, _) = arrival(&cores);
    server.signal("KILL");
    server.end();
    let listen = format!("udp://{address}");
    let again = Server::spawn(folder.command(&["run", "--json", "--listen", &listen]));
    cores[0].answer(&invite, address, "200 OK");
    assert_eq!(status(&phone.next()), 200, "its answer finds the way");
    again.stop();
}

/// Both workers read what one sender sends.
#[test]
fn one_busy_sender_can_be_spread_over_the_workers() {
    let cores = [Core::new()];
    let folder = Folder::new();
    configure(&folder, &cores, "workers = 2\nspread = \"random\"\n");
    let server = Server::start(&folder, &[]);
    let mut phone = Phone::new(&server, "x");
    for _ in 0..200 {
        assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    }
    let status: Value =
        serde_json::from_str(&folder.ok(&["status", "--json"])).expect("one object");
    assert_eq!(status["spread"], "random");
    let each: Vec<u64> = status["worker_datagrams"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert!(each.len() == 2 && each.iter().all(|n| *n > 40), "{each:?}");
}

/// Less than 20 MB whatever comes.
#[test]
fn it_stays_small() {
    let cores = [Core::new()];
    let folder = Folder::new();
    configure(&folder, &cores, "");
    let server = Server::start(&folder, &["--log", "off"]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let body = "x".repeat(1_000);
    for n in 0..30_000 {
        let text = format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{n}\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c{n}\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 1000\r\n\r\n{body}"
        );
        socket.send_to(text.as_bytes(), server.address("udp")).expect("sent");
        // What is lost on the way to a core that does not read is no matter.
        let _ = cores[0].take();
    }
    // It may still be busy with what came before, and say so.
    let mut phone = Phone::new(&server, "x");
    while phone.ask("OPTIONS", "sip:127.0.0.1", "").0 == 503 {}
    let file = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("alive");
    let line = file.lines().find(|line| line.starts_with("RssAnon:")).expect("a line");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    assert!(kib < 20 * 1024, "{kib} KiB");
}
