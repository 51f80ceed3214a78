//! A user agent alone: messages as text in, messages as text out. What needs an odd peer is here; what needs two
//! phones and a network is in the simulation.

mod caller;
mod hostile;
mod inside;
mod registrar;
mod server;

use bytes::Bytes;
use sip_message::{Message, Name};

use super::*;
use crate::config::Listener;
use crate::flow::{Flow, ListenerId, Transport};
use crate::time::{Duration, Instant};

pub const PEER: &str = "192.0.2.2:5060";

pub struct Lab {
    pub ua: UserAgent,
    pub now: Instant,
    pub sent: Vec<(Flow, String)>,
    pub events: Vec<Event>,
}

pub fn flow_of(peer: &str) -> Flow {
    Flow::udp(ListenerId(0), peer.parse().unwrap())
}

pub fn settings() -> Settings {
    let listener = Listener {
        transport: Transport::Udp,
        address: "192.0.2.1:5060".parse().unwrap(),
        advertised: "192.0.2.1:5060".into(),
    };
    let mut settings =
        Settings::new("sip:alice@192.0.2.2", "sip:alice@192.0.2.1:5060", vec![listener], None);
    settings.credentials = vec![Credentials {
        user: "alice".into(),
        realm: "".into(),
        secret: Secret::Password("secret".into()),
    }];
    settings
}

impl Lab {
    pub fn new(settings: Settings) -> Self {
        let ua = UserAgent::new(settings, [5; 16]);
        Self { ua, now: Instant::from_secs(1_000), sent: Vec::new(), events: Vec::new() }
    }

    pub fn input(&mut self, input: Input) {
        let mut out = Outbox::default();
        self.ua.handle(self.now, input, &mut out);
        for transmit in out.transmits {
            let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
            self.sent.push((transmit.flow, text));
        }
        self.events.extend(out.events);
        // No name leads anywhere here.
        for Resolve { ask, .. } in out.resolves {
            let flows = Err(ResolveFailure { why: "no such name".into() });
            self.input(Input::Resolved { ask, flows });
        }
    }

    pub fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    pub fn hear_from(&mut self, peer: &str, text: &str) {
        let bytes = Bytes::from(text.to_owned());
        self.input(Input::Message { flow: flow_of(peer), bytes });
    }

    pub fn hear(&mut self, text: &str) {
        self.hear_from(PEER, text);
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.ua.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    /// The first lines of what was sent since it was last asked.
    pub fn said(&mut self) -> Vec<String> {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        self.sent.drain(..).map(|(_, text)| first(&text)).collect()
    }

    /// The last message sent, whole.
    pub fn last(&self) -> String {
        self.sent.last().map(|(_, text)| text.clone()).unwrap_or_default()
    }

    /// Answers the last request that was sent with this method. `lines` end with CRLF.
    pub fn answer(&mut self, method: &str, status: u16, tag: &str, lines: &str, body: &str) {
        let request = self.sent.iter().rev().find(|(_, text)| text.starts_with(method));
        let text = request.map(|(_, text)| text.clone()).unwrap_or_default();
        self.answer_to(&text, status, tag, lines, body);
    }

    pub fn answer_to(&mut self, request: &str, status: u16, tag: &str, lines: &str, body: &str) {
        let text = response(request, status, tag, lines, body);
        self.hear(&text);
    }

    pub fn is_empty(&self) -> bool {
        self.ua.sizes() == Sizes::default()
    }
}

pub fn header(text: &str, name: Name) -> String {
    let message = Message::parse(Bytes::from(text.to_owned())).unwrap();
    String::from_utf8(message.header(name).unwrap_or_default().to_vec()).unwrap()
}

fn response(request: &str, status: u16, tag: &str, lines: &str, body: &str) -> String {
    let to = header(request, Name::To);
    let to = if to.contains(";tag=") { to } else { format!("{to};tag={tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status} Said\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         {lines}{kind}Content-Length: {}\r\n\r\n{body}",
        header(request, Name::Via),
        header(request, Name::From),
        header(request, Name::CallId),
        header(request, Name::CSeq),
        body.len()
    )
}

/// A request of the peer. `to` with its tag.
pub fn request(method: &str, branch: &str, to: &str, cseq: u32, lines: &str, body: &str) -> String {
    format!(
        "{method} sip:alice@192.0.2.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PEER};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@192.0.2.2>;tag=bobs\r\nTo: {to}\r\nCall-ID: bobs-call\r\n\
         CSeq: {cseq} {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>\r\n";
pub const SDP: &str = "Content-Type: application/sdp\r\n";
