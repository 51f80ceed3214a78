//! The layer as a TU and a network see it: what leaves, when, and that nothing stays (RFC 3261 §17, §9.1, RFC 6026).

use bytes::Bytes;
use sip_message::{Message, Request, Response};

use super::*;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::time::Duration;

mod client;
mod matching;
mod server;
mod size;

const CONTEXT: ContextId = ContextId(7);
const SEAL: [u8; 16] = [9; 16];

const fn at(millis: u64) -> Instant {
    Instant(1_000_000 + millis * 1_000)
}

fn flow(transport: Transport, host: u8) -> Flow {
    let connection = match transport {
        Transport::Udp => ConnectionId::NONE,
        Transport::Tcp => ConnectionId(host.into()),
    };
    Flow {
        transport,
        listener: ListenerId(0),
        connection,
        remote: ([192, 0, 2, host], 5060).into(),
    }
}

/// A layer with a clock, an outbox and what it told its TU.
struct World {
    layer: TransactionLayer,
    out: Outbox,
    told: Vec<Happening>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let layer = TransactionLayer::new(3, Seal::new(SEAL), &Timers::default());
        Self { layer, out: Outbox::default(), told: Vec::new(), now: at(0) }
    }

    /// Lets time pass, stopping wherever the layer wants to be woken; when and what it sent then.
    fn run_until(&mut self, millis: u64) -> Vec<(u64, String)> {
        let mut sent = Vec::new();
        loop {
            self.layer.tick(self.now, &mut self.out, &mut self.told);
            let elapsed = (self.now.0 - at(0).0) / 1_000;
            sent.extend(self.sent().into_iter().map(|line| (elapsed, line)));
            match self.layer.next_deadline().filter(|&deadline| deadline <= at(millis)) {
                Some(deadline) => {
                    assert!(deadline > self.now, "woken for nothing");
                    self.now = deadline;
                }
                None => break,
            }
        }
        self.now = at(millis);
        sent
    }

    /// First words of what was sent since the last look.
    fn sent(&mut self) -> Vec<String> {
        self.sent_whole().iter().map(|wire| words(wire)).collect()
    }

    fn sent_whole(&mut self) -> Vec<Bytes> {
        self.out.transmits.drain(..).map(|transmit| transmit.bytes).collect()
    }

    fn told(&mut self) -> Vec<Happening> {
        self.layer.tick(self.now, &mut self.out, &mut self.told);
        core::mem::take(&mut self.told)
    }

    fn assert_empty(&self) {
        assert_eq!(self.layer.len(), 0, "transactions left");
        assert_eq!(self.layer.live_len(), 0, "messages left");
        assert_eq!(self.layer.timers_len(), 0, "timers left");
        assert!(self.layer.index.is_empty(), "keys left");
        assert_eq!(self.layer.acks.len(), 0, "ACKs left");
        assert_eq!(self.layer.residues.len() + self.layer.flows.len(), 0, "remains left");
    }

    fn receive(&mut self, request: &Request, transport: Transport) -> Matched {
        self.layer.receive_request(self.now, request, &flow(transport, 1), &mut self.out)
    }

    fn accept(&mut self, request: &Request, transport: Transport) -> ServerId {
        let Matched::New(key) = self.receive(request, transport) else { panic!("not new") };
        self.layer.accept(key, request, &flow(transport, 1), CONTEXT).unwrap()
    }

    fn respond(&mut self, server: ServerId, request: &Request, status: u16) -> Bytes {
        let wire = response_to(request, status, "");
        self.layer.respond(self.now, server, status, wire.clone(), &mut self.out);
        wire
    }

    /// Sends a request of ours; its id and the request as sent.
    fn send(&mut self, method: &str, transport: Transport) -> (ClientId, Request) {
        let kind = if method == "INVITE" { Kind::Invite } else { Kind::NonInvite };
        let (client, branch) = self.layer.reserve(kind, CONTEXT, 2, 0xabcd).unwrap();
        let branch = core::str::from_utf8(branch.as_bytes()).unwrap();
        let wire = request_text(method, branch, "Route: <sip:next.example;lr>\r\n");
        let request = request(&wire);
        self.layer.send(self.now, client, flow(transport, 2), wire.into(), &mut self.out);
        (client, request)
    }

    fn answer(&mut self, request: &Request, status: u16) -> Received {
        let response = response(response_to(request, status, ""));
        self.layer.receive_response(self.now, &response, &mut self.out)
    }
}

fn words(wire: &[u8]) -> String {
    let line = wire.split(|&byte| byte == b'\r').next().unwrap();
    let line = String::from_utf8(line.to_vec()).unwrap();
    let mut words = line.split(' ');
    match words.next().unwrap() {
        "SIP/2.0" => words.next().unwrap().to_owned(),
        method => method.to_owned(),
    }
}

fn request_text(method: &str, branch: &str, headers: &str) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP proxy.example:5060;branch={branch}\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller\r\n\
         From: <sip:alice@example.com>;tag=a1\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: one@example.com\r\n\
         CSeq: 31 {method}\r\n\
         {headers}\
         Content-Length: 0\r\n\r\n"
    )
}

fn request(text: &str) -> Request {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

fn response(wire: Bytes) -> Response {
    match Message::parse(wire) {
        Ok(Message::Response(response)) => response,
        other => panic!("no response: {other:?}"),
    }
}

fn response_to(request: &Request, status: u16, headers: &str) -> Bytes {
    let mut wire = Vec::new();
    let tag = (status > 100).then_some(&b"b1"[..]);
    let reason = if status == 200 { "OK" } else { "Whatever Else" };
    let headers = headers.as_bytes();
    sip_message::write::response(request, status, reason.as_bytes(), tag, headers, b"", &mut wire);
    wire.into()
}

fn repeated(word: &str, times: &[u64]) -> Vec<(u64, String)> {
    times.iter().map(|&time| (time, word.to_owned())).collect()
}

#[test]
fn other_timers_are_obeyed() {
    let t1 = Duration::from_millis(100);
    let timers = Timers { t1, t2: Duration::from_millis(400), ..Timers::default() };
    let mut world = World::new();
    world.layer = TransactionLayer::new(0, Seal::new(SEAL), &timers);
    world.send("OPTIONS", Transport::Udp);
    let sent = world.run_until(1_200);
    assert_eq!(sent, repeated("OPTIONS", &[0, 100, 300, 700, 1_100]));
    world.run_until(6_400);
    assert!(matches!(
        world.told()[..],
        [Happening::ClientTimeout { .. }, Happening::ClientGone { .. }]
    ));
    world.assert_empty();
}
