//! One node and the text of messages in and out. The peers are addresses; nothing happens that a test did not write.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip_message::{Message, Name, Request, Response};

use crate::auth::account::Ha1;
use crate::config::{Auth, Config, Domains, Limits, Listener, Network, Registrar, Timers};
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::forwarding::Forwards;
use crate::input::{Answer, Command, Input};
use crate::locate::tests::Zone;
use crate::node::{Node, Sizes};
use crate::output::{Event, Outbox, Question};
use crate::seal::Seal;
use crate::shared::Shared;
use crate::time::{Duration, Instant};

pub const START: Instant = Instant::from_secs(1_800_000_000);
pub const PROXY: &str = "192.0.2.1:5060";
pub const ALICE: &str = "192.0.2.10:5060";
pub const BOB: &str = "192.0.2.20:5060";
pub const CAROL: &str = "192.0.2.30:5060";
pub const MALLORY: &str = "203.0.113.66:5060";

pub struct World {
    pub node: Node,
    pub now: Instant,
    pub config: Config,
    pub shared: Arc<Shared>,
    pub events: Vec<Event>,
    pub asks: Vec<(crate::output::AskId, Question)>,
}

/// A message the node sent, and to whom.
#[derive(Clone, Debug)]
pub struct Sent {
    pub flow: Flow,
    pub text: String,
}

impl World {
    /// Everybody is believed.
    pub fn open() -> Self {
        let mut config = config();
        config.auth.enabled = false;
        Self::new(config)
    }

    pub fn new(config: Config) -> Self {
        let shared = Arc::new(Shared::new(Seal::new([9; 16]), START));
        let node = Node::new(3, Arc::new(config.clone()), Arc::clone(&shared));
        Self { node, now: START, config, shared, events: Vec::new(), asks: Vec::new() }
    }

    pub fn handle(&mut self, input: Input) -> Vec<Sent> {
        let mut out = Outbox::default();
        self.node.handle(self.now, input, &mut out);
        self.events.append(&mut out.events);
        self.asks.extend(out.asks.drain(..).map(|ask| (ask.id, ask.question)));
        out.transmits
            .iter()
            .map(|transmit| {
                let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
                assert!(Message::parse(transmit.bytes.clone()).is_ok(), "unreadable:\n{text}");
                Sent { flow: transmit.flow, text }
            })
            .collect()
    }

    /// One datagram from `peer`; lines may end in LF.
    pub fn from(&mut self, peer: &str, text: &str) -> Vec<Sent> {
        self.by(udp(peer), text)
    }

    pub fn by(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        self.handle(Input::Message { flow, bytes: wire(text) })
    }

    /// Time passes; everything due on the way fires at its time.
    pub fn pass(&mut self, span: Duration) -> Vec<Sent> {
        let end = self.now + span;
        let mut sent = Vec::new();
        while let Some(at) = self.node.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            sent.extend(self.handle(Input::Tick));
        }
        self.now = end;
        sent
    }

    pub fn answer(&mut self, answer: Answer) -> Vec<Sent> {
        let (ask, _) = self.asks.remove(0);
        self.handle(Input::Answer { ask, answer })
    }

    /// The DNS answers until nothing is asked any more; what follows from that.
    pub fn resolve(&mut self, zone: &Zone) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some((ask, question)) = self.asks.pop() {
            let Question::Resolve { query, .. } = question else { panic!("{question:?}") };
            let answer = Answer::Resolved(zone.resolution(&query));
            sent.extend(self.handle(Input::Answer { ask, answer }));
        }
        sent
    }

    pub fn drain(&mut self) {
        self.handle(Input::Command(Command::Drain));
    }

    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.handle(Input::Config(Arc::new(self.config.clone())));
    }

    /// Binds `user` to `contact`, by a REGISTER from `peer`.
    pub fn register(&mut self, user: &str, contact: &str, peer: &str) {
        self.prefer(user, contact, peer, "1.0");
    }

    /// The same with a preference (RFC 3261 §20.10).
    pub fn prefer(&mut self, user: &str, contact: &str, peer: &str, q: &str) {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP {peer};branch=z9hG4bKreg{user}
From: <sip:{user}@example.com>;tag=r
To: <sip:{user}@example.com>
Call-ID: register-{user}-{contact}
CSeq: 1 REGISTER
Max-Forwards: 70
Contact: <{contact}>;q={q}
Content-Length: 0

"
        );
        let sent = self.from(peer, &text);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        self.events.clear();
    }

    /// An account whose calls go where `forwards` says.
    pub fn account(&mut self, user: &str, forwards: Forwards) {
        let accounts = &self.shared.accounts;
        let aor = format!("{user}@example.com");
        assert!(accounts.set(&aor, Ha1::from_password(user, "example.com", "secret")));
        assert!(accounts.set_forwards(&aor, forwards));
    }

    /// After everything has come to rest, nothing may be left.
    pub fn is_at_rest(&mut self) -> bool {
        self.pass(Duration::from_secs(300));
        assert_eq!(self.node.sizes(), Sizes::default(), "left over");
        true
    }
}

impl Sent {
    pub fn to(&self) -> String {
        self.flow.remote.to_string()
    }

    pub fn request(&self) -> Request {
        match Message::parse(wire(&self.text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("no request: {other:?}"),
        }
    }

    pub fn response(&self) -> Response {
        match Message::parse(wire(&self.text)) {
            Ok(Message::Response(response)) => response,
            other => panic!("no response: {other:?}\n{}", self.text),
        }
    }

    /// 0 for a request.
    pub fn status(&self) -> u16 {
        match Message::parse(wire(&self.text)) {
            Ok(Message::Response(response)) => response.status(),
            _ => 0,
        }
    }

    /// `INVITE 192.0.2.20:5060`, `180 192.0.2.10:5060`.
    pub fn line(&self) -> String {
        let what = match Message::parse(wire(&self.text)) {
            Ok(Message::Response(response)) => response.status().to_string(),
            Ok(Message::Request(request)) => request.method().to_string(),
            Err(error) => panic!("{error}"),
        };
        format!("{what} {}", self.to())
    }

    pub fn header(&self, name: Name) -> String {
        match Message::parse(wire(&self.text)).unwrap().header(name) {
            Some(value) => String::from_utf8(value.to_vec()).unwrap(),
            None => String::new(),
        }
    }

    /// A response to this request, as its receiver would write it.
    pub fn reply(&self, status: u16, to_tag: &str, lines: &str) -> String {
        let mut out = Vec::new();
        let lines = lines.replace('\n', "\r\n");
        let tag = Some(to_tag.as_bytes()).filter(|tag| !tag.is_empty());
        let mut records = String::new();
        for value in self.request().headers(Name::RecordRoute) {
            records += &format!("Record-Route: {}\r\n", String::from_utf8_lossy(value));
        }
        let lines = records + &lines;
        sip_message::write::response(
            &self.request(),
            status,
            b"Text",
            tag,
            lines.as_bytes(),
            b"",
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }
}

pub fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).collect()
}

/// The first message of this kind: a method, or a status.
pub fn find<'a>(sent: &'a [Sent], what: &str) -> &'a Sent {
    let found = sent.iter().find(|sent| sent.line().starts_with(what));
    found.unwrap_or_else(|| panic!("no {what} in {:?}", lines(sent)))
}

pub fn udp(peer: &str) -> Flow {
    Flow::udp(ListenerId(0), peer.parse().unwrap())
}

pub fn tcp(peer: &str, connection: u64) -> Flow {
    let remote: SocketAddr = peer.parse().unwrap();
    let connection = ConnectionId(connection);
    Flow { transport: Transport::Tcp, listener: ListenerId(1), connection, remote }
}

pub fn wire(text: &str) -> Bytes {
    Bytes::from(text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

pub fn config() -> Config {
    let listener = |transport| Listener {
        transport,
        address: PROXY.parse().unwrap(),
        advertised: PROXY.into(),
    };
    Config {
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        domains: Domains {
            served: vec!["example.com".into()],
            aliases: vec![("192.0.2.1".into(), 0)],
        },
        registrar: Registrar::default(),
        auth: Auth::default(),
        limits: Limits {
            trusted: vec![Network { address: [192, 0, 2, 0].into(), prefix: 24 }],
            ..Limits::default()
        },
        forking: crate::config::Forking::default(),
        redirect_domains: Vec::new(),
        nat: crate::config::Nat::default(),
        allow_inbound: false,
        allow_outbound: false,
        durable: false,
        dns: crate::config::Dns::default(),
        timers: Timers::default(),
        dispatcher: Arc::default(),
    }
}

/// `METHOD uri` from `from` to `to`, outside any dialog, by UDP from `peer`.
pub fn request(method: &str, uri: &str, from: &str, to: &str, peer: &str, branch: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {peer};branch=z9hG4bK{branch}
Max-Forwards: 70
From: <{from}>;tag=from1
To: <{to}>
Call-ID: call-1
CSeq: 1 {method}
Contact: <sip:{peer}>
Content-Length: 0

"
    )
}

pub fn invite(branch: &str) -> String {
    request(
        "INVITE",
        "sip:bob@example.com",
        "sip:alice@example.com",
        "sip:bob@example.com",
        ALICE,
        branch,
    )
}

/// A call from Alice to Bob as far as it has come.
pub struct Call {
    pub world: World,
    /// The INVITE as Bob got it.
    pub invite: Sent,
}

impl Call {
    /// Bob has the INVITE.
    pub fn offered() -> Self {
        let mut world = World::open();
        world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
        let sent = world.from(ALICE, &invite("a1"));
        assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
        let invite = sent[1].clone();
        Self { world, invite }
    }

    /// Bob's phone rings.
    pub fn ringing() -> Self {
        let mut call = Self::offered();
        assert_eq!(lines(&call.bob(180)), ["180 192.0.2.10:5060"]);
        call
    }

    /// Bob has answered and Alice has acknowledged.
    pub fn established() -> Self {
        let mut call = Self::ringing();
        let sent = call.bob(200);
        assert_eq!(lines(&sent), ["200 192.0.2.10:5060"]);
        let ack = call.within("ACK", "ack1");
        assert_eq!(lines(&call.world.from(ALICE, &ack)), ["ACK 192.0.2.20:5060"]);
        call
    }

    /// Bob answers the INVITE.
    pub fn bob(&mut self, status: u16) -> Vec<Sent> {
        let reply = self.invite.reply(status, "bob1", "Contact: <sip:bob@192.0.2.20:5060>\n");
        self.world.from(BOB, &reply)
    }

    /// Bob answers the CANCEL in `sent`.
    pub fn bob_confirms(&mut self, sent: &[Sent]) -> Vec<Sent> {
        let reply = find(sent, "CANCEL").reply(200, "bob1", "");
        self.world.from(BOB, &reply)
    }

    /// A Record-Route value of ours as the route set of the dialog has it.
    pub fn route(&self) -> String {
        self.invite.header(Name::RecordRoute)
    }

    /// A request of Alice inside the dialog.
    pub fn within(&self, method: &str, branch: &str) -> String {
        let number = if method == "ACK" { 1 } else { 2 };
        format!(
            "{method} sip:bob@192.0.2.20:5060 SIP/2.0
Via: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}
Max-Forwards: 70
Route: {}
From: <sip:alice@example.com>;tag=from1
To: <sip:bob@example.com>;tag=bob1
Call-ID: call-1
CSeq: {number} {method}
Content-Length: 0

",
            self.route()
        )
    }

    /// A request of Bob inside the dialog.
    pub fn within_by_bob(&self, method: &str, branch: &str) -> String {
        format!(
            "{method} sip:{ALICE} SIP/2.0
Via: SIP/2.0/UDP {BOB};branch=z9hG4bK{branch}
Max-Forwards: 70
Route: {}
From: <sip:bob@example.com>;tag=bob1
To: <sip:alice@example.com>;tag=from1
Call-ID: call-1
CSeq: 7 {method}
Content-Length: 0

",
            self.route()
        )
    }

    /// Alice's CANCEL of the INVITE.
    pub fn cancel(&mut self) -> Vec<Sent> {
        let text = invite("a1").replace("INVITE", "CANCEL");
        self.world.from(ALICE, &text)
    }

    /// Alice acknowledges a failure, hop by hop.
    pub fn acknowledge_failure(&mut self) -> Vec<Sent> {
        let text = invite("a1")
            .replace("INVITE", "ACK")
            .replace("example.com>\nCall", "example.com>;tag=bob1\nCall");
        self.world.from(ALICE, &text)
    }
}
