//! One forwarder and the text of messages in and out.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::config::tests::config;
use crate::config::{Config, Network};
use crate::dispatcher::hash::Member;
use crate::flow::{ConnectionId, ListenerId};
use crate::output::{Outbox, Transmit};
use crate::shared::Shared;
use crate::time::Instant;

const CALLER: &str = "203.0.113.9:5060";
const CALLEE: &str = "203.0.113.20:5070";

struct Edge {
    forwarder: Forwarder,
    config: Config,
    shared: Arc<Shared>,
    draining: bool,
}

/// What was sent: where to, and the text.
#[derive(Debug)]
struct Sent {
    flow: Flow,
    text: String,
}

fn core(n: usize) -> String {
    format!("192.0.2.{}:5060", 100 + n)
}

fn settings(cores: &[usize], record_route: bool) -> Settings {
    let member = |n: &usize| {
        let flow = Flow::udp(ListenerId(0), core(*n).parse().unwrap());
        let hop = Hop::new(flow, false);
        Member::new(&format!("core-{n}"), 1, hop)
    };
    Settings::new(HashedSet::new(cores.iter().map(member).collect()), record_route)
}

impl Edge {
    fn new(cores: &[usize], record_route: bool) -> Self {
        let seal = Seal::new([9; 16]);
        let mut config = config();
        config.limits.trusted = vec![Network { address: [203, 0, 113, 0].into(), prefix: 24 }];
        Self {
            forwarder: Forwarder::new(Arc::new(settings(cores, record_route)), seal.clone()),
            config,
            shared: Arc::new(Shared::new(seal, Instant::from_secs(1_800_000_000))),
            draining: false,
        }
    }

    fn by(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let mut out = Outbox::default();
        let mut turn = Turn {
            now: Instant::from_secs(1_800_000_000),
            config: &self.config,
            shared: &self.shared,
            draining: self.draining,
            out: &mut out,
        };
        self.forwarder.handle(&mut turn, &flow, Bytes::from(text));
        let sent = |transmit: Transmit| {
            let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
            assert!(Message::parse(transmit.bytes.clone()).is_ok(), "unreadable:\n{text}");
            Sent { flow: transmit.flow, text }
        };
        out.transmits.into_iter().map(sent).collect()
    }

    fn from(&mut self, peer: &str, text: &str) -> Vec<Sent> {
        self.by(Flow::udp(ListenerId(0), peer.parse().unwrap()), text)
    }

    fn one(&mut self, peer: &str, text: &str) -> Sent {
        let mut sent = self.from(peer, text);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }
}

fn request(method: &str, call: &str, extra: &str) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK{call};rport
From: <sip:alice@example.org>;tag=a
To: <sip:bob@example.com>
Call-ID: {call}
CSeq: 1 {method}
Max-Forwards: 70
{extra}Content-Length: 0

"
    )
}

fn line<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn response(status: &str, sent: &Sent) -> String {
    let copied = sent.text.lines().filter(|line| {
        ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    });
    let copied: Vec<&str> = copied.collect();
    format!(
        "SIP/2.0 {status}\n{}\nTo: <sip:bob@example.com>;tag=b\nContent-Length: 0\n\n",
        copied.join("\n")
    )
}

/// RFC 3261 §16.11: retransmissions, CANCEL and ACK go the way of their INVITE, with its branch.
#[test]
fn what_belongs_together_goes_together() {
    let mut edge = Edge::new(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], false);
    for n in 0..50 {
        let call = format!("call-{n}");
        let invite = edge.one(CALLER, &request("INVITE", &call, ""));
        let via = line(&invite.text, "Via").unwrap().to_owned();
        assert!(via.starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{via}");
        assert_eq!(line(&invite.text, "Max-Forwards"), Some("69"));
        for method in ["INVITE", "CANCEL", "ACK"] {
            let again = edge.one(CALLER, &request(method, &call, ""));
            assert_eq!(again.flow, invite.flow);
            assert_eq!(line(&again.text, "Via"), Some(&*via), "{method}");
        }
    }
}

#[test]
fn a_response_goes_where_its_request_came_from() {
    let mut edge = Edge::new(&[0, 1], false);
    let invite = edge.one(CALLER, &request("INVITE", "c1", ""));
    let core = invite.flow.remote.to_string();
    for status in ["100 Trying", "180 Ringing", "200 OK", "486 Busy Here"] {
        let back = edge.one(&core, &response(status, &invite));
        assert_eq!(back.flow.remote.to_string(), CALLER);
        assert!(back.text.starts_with(&format!("SIP/2.0 {status}\r\n")));
        assert_eq!(back.text.matches("Via: ").count(), 1);
        assert!(line(&back.text, "Via").unwrap().starts_with(&format!("SIP/2.0/UDP {CALLER}")));
    }
    // Whatever the Vias below claim, and whoever sends it.
    let bent = response("200 OK", &invite).replace(CALLER, "198.51.100.1:5060");
    assert_eq!(edge.one(&core, &bent).flow.remote.to_string(), CALLER);
}

#[test]
fn a_response_nobody_asked_for_goes_nowhere() {
    let mut edge = Edge::new(&[0], false);
    let invite = edge.one(CALLER, &request("INVITE", "c1", ""));
    let right = response("200 OK", &invite);
    let branch = line(&invite.text, "Via").unwrap().rsplit_once("branch=").unwrap().1;
    let forged = branch.replace(&branch[20..21], if &branch[20..21] == "a" { "b" } else { "a" });
    assert!(edge.from(&core(0), &right.replace(branch, &forged)).is_empty());
    assert!(edge.from(&core(0), &right.replace(branch, "z9hG4bKx")).is_empty());
    let first = right.find("Via: ").unwrap();
    let second = right[first + 1..].find("Via: ").unwrap() + first + 1;
    let end = right[second..].find('\n').unwrap() + second + 1;
    let ours_alone = [&right[..second], &right[end..]].concat();
    assert!(edge.from(&core(0), &ours_alone).is_empty(), "it was for us, and we asked nothing");
}

/// C-3: with record_route, or when the core's address is in its Route, a dialog stays when the set changes.
#[test]
fn a_dialog_never_moves() {
    let all: Vec<usize> = (0..10).collect();
    let mut moved = 0;
    for n in 0..100 {
        let call = format!("call-{n}");
        let mut edge = Edge::new(&all, true);
        let invite = edge.one(CALLER, &request("INVITE", &call, ""));
        let chosen = invite.flow.remote;
        let record = line(&invite.text, "Record-Route").unwrap().to_owned();
        // Five cores are new, so half of the calls would go elsewhere.
        edge = Edge::new(&(0..20).collect::<Vec<_>>(), true);
        let fresh = edge.one(CALLER, &request("INVITE", &call, ""));
        moved += usize::from(fresh.flow.remote != chosen);
        let inside = |route: &str| {
            request("BYE", &call, &format!("Route: {route}\n"))
                .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b")
        };
        let bye = edge.one(CALLER, &inside(&record));
        assert_eq!(bye.flow.remote, chosen, "by our own Record-Route");
        assert_eq!(line(&bye.text, "Route"), None);
        let bye = edge.one(CALLER, &inside(&format!("<sip:{chosen};lr>")));
        assert_eq!(bye.flow.remote, chosen, "by the Record-Route of the core");
        assert!(line(&bye.text, "Route").is_some(), "which is the core's to remove");
        let forged = record.replace("rw=", "rw=0").replace("0>", ">");
        let stray = edge.one(CALLER, &inside(&forged));
        assert_eq!(stray.flow.remote, fresh.flow.remote, "a forged one says nothing");
    }
    assert!(moved > 30, "only {moved} of 100 would have moved");
}

/// Nothing from outside goes anywhere but to a member: not by a preloaded Route, not by a To tag, not by maddr.
#[test]
fn it_is_no_relay() {
    let mut edge = Edge::new(&[0, 1, 2], false);
    let victim = "198.51.100.1:5060";
    let plain = request("INVITE", "c", "");
    let tagged = plain.replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b");
    for text in [
        request("INVITE", "c", &format!("Route: <sip:{victim};lr>\n")),
        request("INVITE", "c", &format!("Route: <sip:192.0.2.1;lr>, <sip:{victim};lr>\n")),
        plain.replace("sip:bob@example.com SIP", &format!("sip:bob@{victim} SIP")),
        plain.replace("sip:bob@example.com SIP", "sip:bob@example.com;maddr=198.51.100.1 SIP"),
        tagged.replace("sip:bob@example.com SIP", &format!("sip:bob@{victim} SIP")),
        tagged.replace("Max-", &format!("Route: <sip:{victim};lr>\nMax-")),
    ] {
        let sent = edge.one(CALLER, &text);
        assert!((0..3).any(|n| sent.flow.remote.to_string() == core(n)), "{sent:?}");
    }
}

#[test]
fn a_member_reaches_the_world_by_route_or_request_uri() {
    let mut edge = Edge::new(&[0, 1], true);
    let text = request("INVITE", "c", "")
        .replace("sip:bob@example.com SIP", &format!("sip:bob@{CALLEE} SIP"))
        .replace(CALLER, &core(1));
    let sent = edge.one(&core(1), &text);
    assert_eq!(sent.flow.remote.to_string(), CALLEE);
    let record = line(&sent.text, "Record-Route").unwrap().to_owned();
    // What the callee sends later comes back to that core.
    let bye = request("BYE", "c", &format!("Route: {record}\n"))
        .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b");
    assert_eq!(edge.one(CALLEE, &bye).flow.remote.to_string(), core(1));
    let routed =
        text.replace("Max-", &format!("Route: <sip:192.0.2.1;lr>, <sip:{CALLEE};lr>\nMax-"));
    let sent = edge.one(&core(1), &routed.replace(&format!("bob@{CALLEE}"), "bob@far.example"));
    assert_eq!(sent.flow.remote.to_string(), CALLEE);
    assert_eq!(line(&sent.text, "Route"), Some(&*format!("<sip:{CALLEE};lr>")));
    // A strict router gets itself in the Request-URI.
    let strict = text.replace("Max-", &format!("Route: <sip:{CALLEE}>\nMax-"));
    let sent = edge.one(&core(1), &strict.replace(&format!("bob@{CALLEE}"), "bob@far.example"));
    assert!(sent.text.starts_with(&format!("INVITE sip:{CALLEE} SIP/2.0\r\n")), "{}", sent.text);
    assert_eq!(line(&sent.text, "Route"), Some("<sip:bob@far.example>"));
    // Back to ourselves, or a name: refused.
    let looped = text.replace(&format!("bob@{CALLEE}"), "bob@example.com");
    assert!(edge.one(&core(1), &looped).text.starts_with("SIP/2.0 482 "));
    let name = text.replace(&format!("bob@{CALLEE}"), "bob@far.example");
    assert!(edge.one(&core(1), &name).text.starts_with("SIP/2.0 478 "));
}

#[test]
fn what_is_refused_and_what_is_answered() {
    let mut edge = Edge::new(&[0], false);
    let status = |sent: &Sent| sent.text.get(8..11).map(str::to_owned);
    let mut answer = |text: &str| {
        let sent = edge.one(CALLER, text);
        assert_eq!(sent.flow.remote.to_string(), CALLER);
        status(&sent)
    };
    let invite = request("INVITE", "c", "");
    assert_eq!(
        answer(&invite.replace("Max-Forwards: 70", "Max-Forwards: 0")).as_deref(),
        Some("483")
    );
    assert_eq!(answer(&request("INVITE", "c", "Proxy-Require: x\n")).as_deref(), Some("420"));
    assert_eq!(
        answer(&invite.replace("Max-Forwards: 70", "Max-Forwards: x")).as_deref(),
        Some("400")
    );
    let options =
        request("OPTIONS", "c", "").replace("sip:bob@example.com SIP", "sip:192.0.2.1 SIP");
    assert_eq!(answer(&options).as_deref(), Some("200"));
    // The ACK of a refusal of ours ends here; any other is forwarded.
    let refused = edge.one(CALLER, &invite.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    let to = line(&refused.text, "To").unwrap();
    let ack = request("ACK", "c", "").replace("<sip:bob@example.com>\n", "X");
    let ack = ack.replace("To: X", &format!("To: {to}\n"));
    assert!(edge.from(CALLER, &ack).is_empty());
    assert_eq!(edge.from(CALLER, &ack.replace(";tag=", ";tag=1")).len(), 1);
    let mut nobody = Edge::new(&[], false);
    assert_eq!(status(&nobody.one(CALLER, &invite)).as_deref(), Some("503"));
}

#[test]
fn draining_lets_go_on_what_was_begun() {
    let mut edge = Edge::new(&[0], false);
    edge.draining = true;
    let refused = edge.one(CALLER, &request("INVITE", "c", ""));
    assert!(refused.text.starts_with("SIP/2.0 503 "), "{}", refused.text);
    assert!(line(&refused.text, "Retry-After").is_some());
    for method in ["CANCEL", "ACK", "REGISTER"] {
        let sent = edge.one(CALLER, &request(method, "c", ""));
        assert_eq!(sent.flow.remote.to_string(), core(0), "{method}");
    }
}

/// RFC 3325 §5: from outside nobody asserts identities; from a member they pass.
#[test]
fn identities_from_outside_end_here() {
    let claims =
        "P-Asserted-Identity: <sip:boss@example.com>\nRemote-Party-ID : <sip:boss@example.com>\n";
    let mut edge = Edge::new(&[0], false);
    edge.config.limits.trusted.clear();
    let sent = edge.one(CALLER, &request("INVITE", "c", claims));
    assert!(!sent.text.contains("boss"), "{}", sent.text);
    let text =
        request("INVITE", "c", claims).replace("bob@example.com SIP", &format!("bob@{CALLEE} SIP"));
    assert!(edge.one(&core(0), &text).text.contains("boss"));
}

/// RFC 3261 §18.2.2: over the connection of the request, and if that is gone to the port its sender named.
#[test]
fn over_a_stream() {
    let mut edge = Edge::new(&[0], false);
    let remote: SocketAddr = "203.0.113.9:40000".parse().unwrap();
    let flow = Flow {
        transport: Transport::Tcp,
        listener: ListenerId(1),
        connection: ConnectionId(5),
        remote,
    };
    let text = request("INVITE", "c", "").replace("UDP", "TCP");
    let invite = edge.by(flow, &text).remove(0);
    assert_eq!(invite.flow.transport, Transport::Udp);
    let answer = response("200 OK", &invite).replace("Content-Length: 0\n", "");
    let back = edge.one(&core(0), &answer);
    assert_eq!(back.flow, Flow { connection: ConnectionId::OPEN, ..flow });
    let gone = nat::way_back(back.text.as_bytes(), &back.flow).unwrap();
    assert_eq!((gone.remote.to_string().as_str(), gone.connection), (CALLER, ConnectionId::NONE));
    assert_eq!(line(&back.text, "Content-Length"), Some("0"), "a stream needs it");
    let endless = edge.by(flow, &text.replace("Content-Length: 0\n", "")).remove(0);
    assert!(endless.text.starts_with("SIP/2.0 400 "), "{}", endless.text);
}

#[test]
fn a_stranger_has_a_budget() {
    let mut edge = Edge::new(&[0], false);
    edge.config.limits.trusted.clear();
    let sent: usize =
        (0..200).map(|n| edge.from(CALLER, &request("INVITE", &format!("c{n}"), "")).len()).sum();
    assert_eq!(sent, 60);
}

/// RFC 3261 §18.1.1: what is too large for a datagram goes by a stream, unless that was refused before.
#[test]
fn a_large_request() {
    let mut edge = Edge::new(&[0], false);
    let text = request("INVITE", "c", &format!("X-Large: {}\n", "x".repeat(1_300)));
    let sent = edge.one(CALLER, &text);
    assert_eq!((sent.flow.transport, sent.flow.remote.to_string()), (Transport::Tcp, core(0)));
    assert!(line(&sent.text, "Via").unwrap().starts_with("SIP/2.0/TCP 192.0.2.1:5060;branch="));
    edge.shared.refusals.note(Instant::from_secs(1_800_000_000), sent.flow.remote);
    let again = edge.one(CALLER, &text);
    assert_eq!(again.flow.transport, Transport::Udp);
    let branch =
        |sent: &Sent| line(&sent.text, "Via").unwrap().split_once(";branch=").unwrap().1.to_owned();
    assert_eq!(branch(&sent), branch(&again));
}
