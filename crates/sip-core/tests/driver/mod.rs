//! Calls through one node, message by message, as the two phones of a load test make them: what `benches/call.rs` times
//! and `tests/allocation.rs` counts. Building the messages is not part of what is measured.

use std::sync::Arc;

use bytes::Bytes;
use sip_core::config::{Auth, Config, Domains, Limits, Listener, Network, Registrar, Timers};
use sip_core::flow::{Flow, ListenerId, Transport};
use sip_core::input::Input;
use sip_core::node::Node;
use sip_core::output::Outbox;
use sip_core::seal::Seal;
use sip_core::shared::Shared;
use sip_core::time::{Duration, Instant};
use sip_message::{Message, Name, Request, write};

const USERS: u64 = 1_000;
const CALLER: &str = "198.51.100.10:5060";
const CALLEE: &str = "198.51.100.20:5060";

const SDP: &str = "v=0\r\no=- 3934 3934 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n";

pub struct Driver {
    pub node: Node,
    pub out: Outbox,
    pub now: Instant,
}

/// The seven messages that make a call, in order.
pub const STEPS: [&str; 7] = ["INVITE", "180", "200", "ACK", "BYE", "200 BYE", "tick"];

impl Driver {
    pub fn new() -> Self {
        let listener = Listener {
            transport: Transport::Udp,
            address: ([192, 0, 2, 1], 5060).into(),
            advertised: "192.0.2.1:5060".into(),
        };
        let trusted = vec![Network { address: [198, 51, 100, 0].into(), prefix: 24 }];
        let config = Config {
            listeners: vec![listener],
            domains: Domains {
                served: vec!["example.com".into()],
                aliases: vec![("192.0.2.1".into(), 0)],
            },
            registrar: Registrar::default(),
            auth: Auth { enabled: false, ..Auth::default() },
            limits: Limits { trusted, ..Limits::default() },
            forking: sip_core::config::Forking::default(),
            redirect_domains: Vec::new(),
            nat: sip_core::config::Nat::default(),
            allow_inbound: false,
            allow_outbound: false,
            durable: false,
            dns: sip_core::config::Dns::default(),
            timers: Timers::default(),
            dispatcher: Arc::default(),
        };
        let now = Instant::from_secs(1_800_000_000);
        let shared = Arc::new(Shared::new(Seal::new([1; 16]), now));
        let node = Node::new(0, Arc::new(config), shared);
        let mut driver = Self { node, out: Outbox::default(), now };
        for user in 0..USERS {
            driver.handle(CALLEE, register(user));
            assert_eq!(driver.out.transmits.len(), 1);
        }
        driver
    }

    /// One whole call. `around` runs each step that the node takes, and is told its number in [`STEPS`].
    pub fn call(&mut self, n: u64, mut around: impl FnMut(usize, &mut dyn FnMut())) {
        self.now = self.now + Duration::from_millis(1);
        let (invite, call_id) = (invite(n), format!("call-{n}@198.51.100.10"));
        around(0, &mut || self.handle(CALLER, invite.clone()));
        let forwarded = self.sent(1);
        for (step, status) in [(1, 180), (2, 200)] {
            let reply = answer(&forwarded, status);
            around(step, &mut || self.handle(CALLEE, reply.clone()));
            assert_eq!(self.out.transmits.len(), 1);
        }
        let route = forwarded.header(Name::RecordRoute).unwrap_or_default();
        let route = String::from_utf8_lossy(route).into_owned();
        for (step, method) in [(3, "ACK"), (4, "BYE")] {
            let request = within(method, n, &call_id, &route);
            around(step, &mut || self.handle(CALLER, request.clone()));
            assert_eq!(self.out.transmits.len(), 1, "{method}");
        }
        let reply = answer(&self.sent(0), 200);
        around(5, &mut || self.handle(CALLEE, reply.clone()));
        assert_eq!(self.out.transmits.len(), 1);
        around(6, &mut || self.tick());
    }

    /// As the shell does: only when something is due.
    fn tick(&mut self) {
        if self.node.next_deadline().is_some_and(|at| at <= self.now) {
            self.out.clear();
            self.node.handle(self.now, Input::Tick, &mut self.out);
        }
    }

    fn handle(&mut self, peer: &str, bytes: Bytes) {
        let flow = flow(peer);
        self.out.clear();
        self.node.handle(self.now, Input::Message { flow, bytes }, &mut self.out);
    }

    fn sent(&self, at: usize) -> Request {
        match Message::parse(self.out.transmits[at].bytes.clone()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }
}

/// Parsing the address is the shell's work; here it is a constant.
fn flow(peer: &str) -> Flow {
    let last = if peer == CALLER { 10 } else { 20 };
    Flow::udp(ListenerId(0), ([198, 51, 100, last], 5060).into())
}

fn register(user: u64) -> Bytes {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CALLEE};branch=z9hG4bKr{user}\r\n\
         From: <sip:u{user}@example.com>;tag=r\r\nTo: <sip:u{user}@example.com>\r\nCall-ID: r{user}\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:u{user}@{CALLEE}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn invite(n: u64) -> Bytes {
    let callee = n % USERS;
    format!(
        "INVITE sip:u{callee}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK-{n}-1\r\nMax-Forwards: 70\r\n\
         From: \"Caller {n}\" <sip:caller@example.com>;tag=from{n}\r\nTo: <sip:u{callee}@example.com>\r\n\
         Call-ID: call-{n}@198.51.100.10\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{CALLER}>\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE\r\n\
         Supported: replaces, timer\r\nSession-Expires: 1800\r\nUser-Agent: driver\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into()
}

fn within(method: &str, n: u64, call_id: &str, route: &str) -> Bytes {
    let callee = n % USERS;
    let number = if method == "ACK" { 1 } else { 2 };
    format!(
        "{method} sip:u{callee}@{CALLEE} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK-{n}-{method}\r\nMax-Forwards: 70\r\nRoute: {route}\r\n\
         From: \"Caller {n}\" <sip:caller@example.com>;tag=from{n}\r\n\
         To: <sip:u{callee}@example.com>;tag=to\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
         User-Agent: driver\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn answer(request: &Request, status: u16) -> Bytes {
    let mut lines = Vec::new();
    for value in request.headers(Name::RecordRoute) {
        lines.extend_from_slice(b"Record-Route: ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }
    lines
        .extend_from_slice(format!("Contact: <sip:{CALLEE}>\r\nUser-Agent: driver\r\n").as_bytes());
    let with_body = status == 200 && request.header(Name::ContentType).is_some();
    let body = if with_body { SDP.as_bytes() } else { b"" };
    if with_body {
        lines.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    let mut out = Vec::new();
    write::response(request, status, b"OK", Some(b"to"), &lines, body, &mut out);
    out.into()
}
