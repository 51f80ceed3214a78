//! Next hops that are names (RFC 3263): asked for, tried one after the other, each with a branch of its own; and what must
//! not happen: loops, forged refusals, a name server that stops calls which do not need it.

use sip_message::Name;

use super::world::*;
use crate::input::{Answer, Input};
use crate::locate::tests::Zone;
use crate::locate::{Resolution, Why};
use crate::output::{Event, Question};
use crate::time::Duration;
use crate::transaction::Branch;

const THREE: &str = "_sip._udp.example.org SRV 1 0 5060 a.example.org
    _sip._udp.example.org SRV 2 0 5060 b.example.org
    _sip._udp.example.org SRV 3 0 5070 c.example.org
    a.example.org A 192.0.2.101
    b.example.org A 192.0.2.102
    c.example.org A 192.0.2.103";

fn outbound() -> World {
    let mut world = World::open();
    world.reconfigure(|config| config.allow_outbound = true);
    world
}

fn request_to(method: &str, uri: &str, branch: &str) -> String {
    request(method, uri, "sip:alice@example.com", "sip:bob@example.org", ALICE, branch)
}

/// An INVITE to three servers, of which the first has it.
fn offered() -> (World, Zone, Sent) {
    let (mut world, zone) = (outbound(), Zone::new(THREE));
    let sent = world.from(ALICE, &request_to("INVITE", "sip:bob@example.org", "a1"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060"]);
    let sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["INVITE 192.0.2.101:5060"]);
    (world, zone, sent[0].clone())
}

fn branch(sent: &Sent) -> String {
    let via = sent.header(Name::Via);
    via.split("branch=").nth(1).unwrap().split([';', ',']).next().unwrap().to_owned()
}

/// The ICMP error about a request of ours: to its node, by its branch.
fn unreachable(world: &World, sent: &Sent, remote: &str) -> Input {
    let parts = Branch::quoted(&world.shared.branch_seal, sent.text.as_bytes()).unwrap();
    Input::Unreachable { token: parts.token(), remote: remote.parse().unwrap() }
}

fn ends(world: &World) -> Vec<Why> {
    let end = |event: &Event| match event {
        Event::Unresolved { why, .. } => Some(*why),
        _ => None,
    };
    world.events.iter().filter_map(end).collect()
}

/// RFC 3263 §4.3: silence, and the next; each try is a request of its own.
#[test]
fn silence_and_the_next() {
    let (mut world, zone, first) = offered();
    let mut sent = world.pass(Duration::from_millis(2_999));
    assert_eq!(lines(&sent), ["INVITE 192.0.2.101:5060"; 2]);
    world.pass(Duration::from_millis(1));
    sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["INVITE 192.0.2.102:5060"]);
    let second = sent[0].clone();
    assert_ne!(branch(&first), branch(&second));
    sent = world.pass(Duration::from_secs(3));
    assert!(sent.iter().all(|sent| sent.to() == "192.0.2.102:5060"), "{:?}", lines(&sent));
    sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["INVITE 192.0.2.103:5070"]);
    let sent =
        world.from("192.0.2.103:5070", &sent[0].reply(200, "b", "Contact: <sip:b@192.0.2.103>\n"));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 3263 §4.3: a 503 is a failure of the server; the caller hears nothing of it, and the server gets its ACK.
#[test]
fn service_unavailable_and_the_next() {
    let (mut world, zone, first) = offered();
    let sent = world.from("192.0.2.101:5060", &first.reply(503, "x", "Retry-After: 60\n"));
    assert_eq!(lines(&sent), ["ACK 192.0.2.101:5060"]);
    let sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["INVITE 192.0.2.102:5060"]);
    let sent = world.from("192.0.2.102:5060", &sent[0].reply(486, "y", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.102:5060", "486 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 5393 §5.3: one request never becomes more than its Max-Breadth, whoever is tried: a server that spoke keeps its part,
/// one that was not reached has used nothing.
#[test]
fn the_breadth_is_shared_by_all_tries() {
    let (mut world, zone, first) = offered();
    assert_eq!(first.header(Name::MaxBreadth), "30");
    world.from("192.0.2.101:5060", &first.reply(503, "x", ""));
    let second = world.resolve(&zone)[0].clone();
    assert_eq!(second.header(Name::MaxBreadth), "15");
    let told = unreachable(&world, &second, "192.0.2.102:5060");
    world.handle(told);
    let third = world.resolve(&zone)[0].clone();
    assert_eq!(third.header(Name::MaxBreadth), "15", "30 are left, and there may be TCP");

    let (mut world, zone) = (outbound(), Zone::new(THREE));
    let narrow = request_to("INVITE", "sip:bob@example.org", "a1");
    world.from(ALICE, &narrow.replace("Contact", "Max-Breadth: 1\nContact"));
    let first = world.resolve(&zone)[0].clone();
    assert_eq!(first.header(Name::MaxBreadth), "1");
    let sent = world.from("192.0.2.101:5060", &first.reply(503, "x", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.101:5060", "500 192.0.2.10:5060"]);
}

/// All say 503: the caller hears 500 (RFC 3261 §16.7 step 6), once.
#[test]
fn nobody_is_available() {
    let (mut world, zone, mut try_) = offered();
    let mut last = Vec::new();
    for _ in 0..3 {
        last = world.from(&try_.to(), &try_.reply(503, "x", ""));
        let sent = world.resolve(&zone);
        last.extend(sent.iter().cloned());
        if let Some(next) = sent.iter().find(|sent| sent.status() == 0) {
            try_ = next.clone();
        }
    }
    assert_eq!(lines(&last), ["ACK 192.0.2.103:5070", "500 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 3261 §18.4, RFC 3263 §4.3: ICMP, and the next at once. A forged one must name the request and its target.
#[test]
fn unreachable_and_the_next() {
    let (mut world, zone, first) = offered();
    let forged = unreachable(&world, &first, "192.0.2.102:5060");
    assert_eq!(lines(&world.handle(forged)), [""; 0], "another address");
    let told = unreachable(&world, &first, "192.0.2.101:5060");
    assert_eq!(lines(&world.handle(told)), [""; 0]);
    let sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["INVITE 192.0.2.102:5060"]);
    // The first is given up by its transaction too.
    let again = unreachable(&world, &first, "192.0.2.101:5060");
    assert_eq!(lines(&world.handle(again)), [""; 0]);
    let again = world.pass(Duration::from_secs(2));
    assert!(again.iter().all(|sent| sent.to() == "192.0.2.102:5060"));
}

/// RFC 3261 §16.7 step 5: whoever was silent too long answers after all: its 200 counts, and the second is cancelled.
#[test]
fn the_first_answers_after_all() {
    let (mut world, zone, first) = offered();
    world.pass(Duration::from_secs(3));
    let second = world.resolve(&zone)[0].clone();
    let sent = world.from("192.0.2.102:5060", &second.reply(180, "b", ""));
    assert_eq!(lines(&sent), ["180 192.0.2.10:5060"]);
    let sent = world.from("192.0.2.101:5060", &first.reply(180, "a", ""));
    assert_eq!(lines(&sent), ["CANCEL 192.0.2.101:5060"], "and its 180 goes nowhere");
    let ok = first.reply(200, "a", "Contact: <sip:b@192.0.2.101>\n");
    let sent = world.from("192.0.2.101:5060", &ok);
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060", "CANCEL 192.0.2.102:5060"]);
    assert!(world.is_at_rest());
}

/// RFC 3263 §4.3: whoever speaks is well, however late.
#[test]
fn who_speaks_is_forgiven() {
    let (mut world, zone, first) = offered();
    world.pass(Duration::from_secs(3));
    world.resolve(&zone);
    assert_eq!(world.shared.hops.counts().1, 1);
    world.from("192.0.2.101:5060", &first.reply(180, "a", ""));
    assert_eq!(world.shared.hops.counts().1, 0);
}

/// Who was given up refuses late: nobody cares.
#[test]
fn the_first_refuses_after_all() {
    let (mut world, zone, first) = offered();
    world.pass(Duration::from_secs(3));
    let second = world.resolve(&zone)[0].clone();
    let sent = world.from("192.0.2.101:5060", &first.reply(404, "a", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.101:5060"]);
    let sent = world.from("192.0.2.102:5060", &second.reply(486, "b", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.102:5060", "486 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// The only one there is has its 32 seconds, whatever its name server might still have said.
#[test]
fn the_only_one_has_its_full_time() {
    let (mut world, zone) = (outbound(), Zone::new("only.example.org A 192.0.2.101"));
    world.from(ALICE, &request_to("INVITE", "sip:bob@only.example.org:5060", "a1"));
    let mut sent = world.resolve(&zone);
    for _ in 0..40 {
        sent.extend(world.pass(Duration::from_secs(1)));
        sent.extend(world.resolve(&zone));
    }
    let invites = sent.iter().filter(|sent| sent.line() == "INVITE 192.0.2.101:5060").count();
    assert_eq!(invites, 7);
    let answers = sent.iter().map(Sent::status).filter(|status| *status >= 200);
    assert_eq!(answers.collect::<Vec<_>>(), [408; 5], "one, repeated as nobody acknowledges it");
    assert!(world.is_at_rest());
}

/// RFC 3263 §4.3, and no further: who has failed is tried last by others too, for half a minute; an answer forgives.
#[test]
fn a_failure_is_remembered_and_forgiven() {
    let (mut world, zone, first) = offered();
    let told = unreachable(&world, &first, "192.0.2.101:5060");
    world.handle(told);
    world.resolve(&zone);
    let first_of = |world: &mut World, branch: &str| {
        let text = request_to("OPTIONS", "sip:example.org;transport=udp", branch)
            .replace("call-1", &format!("call-{branch}"));
        let mut sent = world.from(ALICE, &text);
        sent.extend(world.resolve(&zone));
        find(&sent, "OPTIONS").clone()
    };
    let other = first_of(&mut world, "o1");
    assert_eq!(other.to(), "192.0.2.102:5060");
    assert_eq!(first_of(&mut world, "o2").to(), "192.0.2.102:5060");
    world.from("192.0.2.102:5060", &other.reply(200, "x", ""));
    world.pass(Duration::from_secs(31));
    world.asks.clear();
    assert_eq!(first_of(&mut world, "o3").to(), "192.0.2.101:5060", "its half minute is over");
}

/// RFC 3261 §16.3 step 4, in effect: a name that leads back to us would be a loop.
#[test]
fn a_name_that_leads_to_us() {
    let mut world = outbound();
    world.from(ALICE, &request_to("INVITE", "sip:bob@us.example.org", "a1"));
    let sent = world.resolve(&Zone::new("us.example.org A 192.0.2.1"));
    assert_eq!(lines(&sent), ["482 192.0.2.10:5060"]);
    assert_eq!(ends(&world), [Why::Ourselves]);
    assert!(world.is_at_rest());
}

/// Whoever owns a name cannot make us talk to this machine.
#[test]
fn a_name_that_leads_to_this_machine() {
    let mut world = outbound();
    world.from(ALICE, &request_to("INVITE", "sip:bob@evil.example.org:25", "a1"));
    let sent = world.resolve(&Zone::new("evil.example.org A 127.0.0.1"));
    assert_eq!(lines(&sent), ["478 192.0.2.10:5060"]);
    assert_eq!(ends(&world), [Why::Local]);
}

/// RFC 3261 §16.6 step 7: no such name. It is known from then on, for half a minute.
#[test]
fn a_name_that_is_not_there() {
    let mut world = outbound();
    for (branch, asked) in [("a1", 4), ("a2", 0)] {
        let mut sent = world.from(ALICE, &request_to("INVITE", "sip:bob@gone.example.org", branch));
        let mut questions = 0;
        while let Some((ask, Question::Resolve { .. })) = world.asks.pop() {
            questions += 1;
            let nothing = Resolution::Nothing { ttl: Duration::from_secs(60) };
            let answer = Answer::Resolved(nothing);
            sent.extend(world.handle(Input::Answer { ask, answer }));
        }
        assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "478 192.0.2.10:5060"]);
        assert_eq!(questions, asked, "NAPTR, two SRV, A; we have no IPv6");
    }
    assert!(world.is_at_rest());
}

/// RFC 3261 §9.2: given up while the name was being asked for. The answer comes, and nobody is called.
#[test]
fn cancelled_while_asking() {
    let mut world = outbound();
    let text = request_to("INVITE", "sip:bob@example.org", "a1");
    world.from(ALICE, &text);
    let sent = world.from(ALICE, &text.replace("INVITE", "CANCEL"));
    assert_eq!(lines(&sent), ["487 192.0.2.10:5060", "200 192.0.2.10:5060"]);
    let sent = world.resolve(&Zone::new(THREE));
    assert_eq!(lines(&sent), [""; 0]);
    let sent = world.from(ALICE, &text);
    assert_eq!(lines(&sent), ["487 192.0.2.10:5060"], "as ever for a repetition");
}

/// Given up while the second was being looked for: the first has not said a word, and will be told when it does.
#[test]
fn cancelled_between_two() {
    let (mut world, zone, first) = offered();
    let text = request_to("INVITE", "sip:bob@example.org", "a1");
    world.pass(Duration::from_secs(3));
    let sent = world.from(ALICE, &text.replace("INVITE", "CANCEL"));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060"]);
    assert_eq!(lines(&world.resolve(&zone)), [""; 0]);
    let sent = world.from("192.0.2.101:5060", &first.reply(180, "a", ""));
    assert_eq!(lines(&sent), ["CANCEL 192.0.2.101:5060", "180 192.0.2.10:5060"]);
    let sent = world.from("192.0.2.101:5060", &first.reply(487, "a", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.101:5060", "487 192.0.2.10:5060"]);
}

/// Repeated while the name is asked for: it is asked for once, and the 100 is repeated.
#[test]
fn a_retransmission_asks_nothing() {
    let mut world = outbound();
    let text = request_to("INVITE", "sip:bob@example.org", "a1");
    world.from(ALICE, &text);
    assert_eq!(world.asks.len(), 1);
    assert_eq!(lines(&world.from(ALICE, &text)), ["100 192.0.2.10:5060"]);
    assert_eq!(world.asks.len(), 1);
    let sent = world.resolve(&Zone::new(THREE));
    assert_eq!(lines(&sent), ["INVITE 192.0.2.101:5060"]);
}

/// RFC 3261 §16.12, §13.2.2.4: ACK and BYE follow a Route that is a name, the way the INVITE went (RFC 3263 §4.4).
#[test]
fn requests_within_a_dialog_to_a_name() {
    let (mut world, zone, first) = offered();
    let told = unreachable(&world, &first, "192.0.2.101:5060");
    world.handle(told);
    let second = world.resolve(&zone)[0].clone();
    let record = "Record-Route: <sip:example.org;lr>\nContact: <sip:bob@192.0.2.200>\n";
    world.from("192.0.2.102:5060", &second.reply(200, "bob1", record));
    let within = |method: &str, branch: &str| {
        format!(
            "{method} sip:bob@192.0.2.200 SIP/2.0
Via: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}
Max-Forwards: 70
Route: {}, <sip:example.org;lr>
From: <sip:alice@example.com>;tag=from1
To: <sip:bob@example.org>;tag=bob1
Call-ID: call-1
CSeq: 2 {method}
Content-Length: 0

",
            second.header(Name::RecordRoute)
        )
    };
    let sent = world.from(ALICE, &within("ACK", "k1"));
    assert_eq!(lines(&sent), ["ACK 192.0.2.102:5060"], "known already: no question");
    world.pass(Duration::from_secs(120));
    world.asks.clear();
    let sent = world.from(ALICE, &within("ACK", "k1"));
    assert_eq!(lines(&sent), [""; 0], "what was known is old");
    let sent = world.resolve(&zone);
    assert_eq!(lines(&sent), ["ACK 192.0.2.101:5060"], "and the first may be well again");
    let sent = world.from(ALICE, &within("BYE", "b1"));
    assert_eq!(lines(&sent), ["BYE 192.0.2.101:5060"]);
    assert_eq!(sent[0].header(Name::Route), "<sip:example.org;lr>");
}

/// A request that is no INVITE fails over too; its late answer is good.
#[test]
fn message_and_the_next() {
    let (mut world, zone) = (outbound(), Zone::new(THREE));
    world.from(ALICE, &request_to("MESSAGE", "sip:bob@example.org", "m1"));
    let first = world.resolve(&zone)[0].clone();
    assert_eq!(first.line(), "MESSAGE 192.0.2.101:5060");
    world.pass(Duration::from_secs(3));
    let second = world.resolve(&zone)[0].clone();
    assert_eq!(second.line(), "MESSAGE 192.0.2.102:5060");
    let sent = world.from("192.0.2.101:5060", &first.reply(200, "x", ""));
    assert_eq!(lines(&sent), ["200 192.0.2.10:5060"]);
    assert!(world.is_at_rest());
}

/// The way to the second is a TCP connection: Via and Record-Route say so.
#[test]
fn the_next_may_be_on_another_transport() {
    let zone = "example.org NAPTR 10 10 SIP+D2U _sip._udp.example.org
        example.org NAPTR 10 20 SIP+D2T _sip._tcp.example.org
        _sip._udp.example.org SRV 1 0 5060 a.example.org
        _sip._tcp.example.org SRV 1 0 5060 b.example.org
        a.example.org A 192.0.2.101
        b.example.org A 192.0.2.102";
    let (mut world, zone) = (outbound(), Zone::new(zone));
    world.from(ALICE, &request_to("INVITE", "sip:bob@example.org", "a1"));
    let first = world.resolve(&zone)[0].clone();
    assert!(first.header(Name::Via).starts_with("SIP/2.0/UDP "));
    let told = unreachable(&world, &first, "192.0.2.101:5060");
    world.handle(told);
    let second = world.resolve(&zone)[0].clone();
    assert_eq!(second.flow.transport, crate::flow::Transport::Tcp);
    assert!(second.header(Name::Via).starts_with("SIP/2.0/TCP "), "{}", second.text);
    assert!(second.text.contains("transport=tcp;lr;rw="), "{}", second.text);
    let gone = world.pass(Duration::from_secs(40));
    assert!(gone.iter().any(|sent| sent.status() == 408));
}
