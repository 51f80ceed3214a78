//! Phones behind NATs: pings and what their answers tell, a mapping that changes, and the way to those who have no binding
//! (RFC 3581, RFC 5626 §5.2, §5.3).

use sip_message::Name;

use super::world::*;
use crate::flow::{ConnectionId, Flow};
use crate::output::Event;
use crate::time::Duration;

const HOME: &str = "198.51.100.7:41000";
const MOVED: &str = "198.51.100.7:41777";
const PRIVATE: &str = "sip:bob@10.0.0.9:5060";

fn world() -> World {
    let mut world = World::open();
    world.reconfigure(|config| config.limits.trusted.clear());
    world
}

fn register(peer: &str, contact: &str, cseq: u32, via: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0
Via: {via};branch=z9hG4bKreg{cseq};rport
From: <sip:bob@example.com>;tag=r
To: <sip:bob@example.com>
Call-ID: register-{peer}
CSeq: {cseq} REGISTER
Max-Forwards: 70
Contact: <{contact}>
Expires: 3600
Content-Length: 0

"
    )
}

/// bob's phone, as it registers from behind its NAT.
fn at_home(world: &mut World, from: &str, cseq: u32) -> Sent {
    let text = register("bob", PRIVATE, cseq, "SIP/2.0/UDP 10.0.0.9:5060");
    let sent = world.from(from, &text);
    assert_eq!(lines(&sent), [format!("200 {from}")]);
    sent[0].clone()
}

fn events(world: &mut World) -> Vec<&'static str> {
    let told = |event: &Event| match event {
        Event::BindingSilent { .. } => Some("silent"),
        Event::BindingAnswers { .. } => Some("answers"),
        Event::PingAnswered => Some("pong"),
        _ => None,
    };
    let words = world.events.iter().filter_map(told).collect();
    world.events.clear();
    words
}

const INTERVAL: Duration = Duration::from_secs(25);

/// RFC 3581 §4, RFC 3261 §18.2.1, §10.3 step 7: the answer goes where the REGISTER came from and says so; it is granted
/// for less than a phone at home would be.
#[test]
fn a_registration_through_a_nat() {
    let mut world = world();
    let ok = at_home(&mut world, HOME, 1);
    let via = ok.header(Name::Via);
    assert!(via.contains(";rport=41000") && via.contains(";received=198.51.100.7"), "{via}");
    assert_eq!(ok.header(Name::Contact), format!("<{PRIVATE}>;expires=120"));
    let six = "[2001:db8::77]:41000";
    let text = register("six", "sip:bob@[2001:db8::8]", 1, "SIP/2.0/UDP [2001:db8::8]:5060");
    let sent = world.by(udp(six), &text);
    let via = sent[0].header(Name::Via);
    assert!(via.contains(";rport=41000") && via.contains(";received=2001:db8::77"), "{via}");
    let text = register("tcp", "sip:bob@10.0.0.8;transport=tcp", 1, "SIP/2.0/TCP 10.0.0.8:5060");
    let sent = world.by(tcp(HOME, 7), &text);
    let via = sent[0].header(Name::Via);
    assert!(via.contains(";rport=41000") && via.contains(";received=198.51.100.7"), "{via}");
    assert!(
        sent[0].text.contains("sip:bob@10.0.0.8;transport=tcp>;expires=3600"),
        "a stream says when it breaks"
    );
    assert_eq!(world.node.watched(), 2, "and needs no ping");
}

#[test]
fn a_phone_at_home_is_not_pinged() {
    let mut world = world();
    let sent = world
        .from(BOB, &register("bob", "sip:bob@192.0.2.20:5060", 1, "SIP/2.0/UDP 192.0.2.20:5060"));
    assert!(sent[0].header(Name::Contact).ends_with(";expires=3600"));
    assert_eq!(world.node.watched(), 0);
    assert_eq!(world.node.next_deadline(), None);
}

/// RFC 3261 §11: asked with the Contact as the phone wrote it, at the address it came from; any answer will do.
#[test]
fn a_ping_and_its_answer() {
    let mut world = world();
    at_home(&mut world, HOME, 1);
    let sent = world.pass(INTERVAL);
    assert_eq!(lines(&sent), [format!("OPTIONS {HOME}")]);
    let ping = &sent[0];
    assert_eq!(ping.request().uri_bytes(), PRIVATE.as_bytes());
    assert_eq!(ping.header(Name::From).split(';').next(), Some("<sip:example.com>"));
    world.now = world.now + Duration::from_millis(30);
    let asked = world.now;
    assert_eq!(lines(&world.from(HOME, &ping.reply(404, "x", ""))), [""; 0]);
    assert_eq!(events(&mut world), ["pong"]);
    let report = world.shared.location.list(asked).flatten().next().unwrap().health.unwrap();
    assert_eq!((report.answered, report.failed), (1, 0));
    assert!(report.round_trip.unwrap() >= Duration::from_millis(30));
    assert_eq!(lines(&world.pass(INTERVAL)), [format!("OPTIONS {HOME}")]);
    world.pass(Duration::from_secs(120));
    assert_eq!(world.node.watched(), 0, "it has expired");
    assert!(world.is_at_rest());
}

/// Its NAT forgot it and gave it another port: pings and calls follow its next REGISTER.
#[test]
fn a_mapping_that_changes() {
    let mut world = world();
    at_home(&mut world, HOME, 1);
    at_home(&mut world, MOVED, 2);
    assert_eq!(world.node.watched(), 1);
    assert_eq!(lines(&world.pass(INTERVAL)), [format!("OPTIONS {MOVED}")]);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").line(), format!("INVITE {MOVED}"));
}

/// A phone that answered and has stopped is tried last, told of once, and kept until its time is over.
#[test]
fn a_phone_that_falls_silent() {
    let mut world = world();
    world.reconfigure(|config| config.nat.expires_max = Duration::from_secs(3600));
    at_home(&mut world, HOME, 1);
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let ping = world.pass(INTERVAL).remove(0);
    world.from(HOME, &ping.reply(200, "x", ""));
    assert_eq!(events(&mut world), ["pong"]);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(sent.iter().filter(|s| s.line().starts_with("INVITE")).count(), 2, "both ring");
    world.from(ALICE, &invite("a1").replace("INVITE", "CANCEL"));
    let mut pings =
        world.pass(4 * INTERVAL).into_iter().filter(|s| s.line().starts_with("OPTIONS"));
    let last = pings.next_back().unwrap();
    assert_eq!(events(&mut world), ["silent"]);
    let second = invite("a2").replace("call-1", "call-2");
    assert_eq!(
        lines(&world.from(ALICE, &second)),
        ["100 192.0.2.10:5060".to_owned(), format!("INVITE {BOB}")]
    );
    let sent = world.pass(Duration::from_secs(20));
    assert!(lines(&sent).contains(&format!("INVITE {HOME}")), "{:?}", lines(&sent));
    world.from(HOME, &last.reply(200, "x", ""));
    assert_eq!(events(&mut world), ["pong", "answers"]);
}

/// Some phones answer no OPTIONS and ring all the same.
#[test]
fn a_phone_that_never_answers_is_not_blamed() {
    let mut world = world();
    world.reconfigure(|config| config.nat.expires_max = Duration::from_secs(3600));
    at_home(&mut world, HOME, 1);
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.pass(10 * INTERVAL);
    assert_eq!(events(&mut world), [""; 0]);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(sent.iter().filter(|s| s.line().starts_with("INVITE")).count(), 2);
}

/// What nobody asked for tells nothing.
#[test]
fn a_forged_answer() {
    let mut world = world();
    at_home(&mut world, HOME, 1);
    let ping = world.pass(INTERVAL).remove(0);
    let forged = ping
        .reply(200, "x", "")
        .replace("z9hG4bKp0", "z9hG4bKp1")
        .replace("z9hG4bKpf", "z9hG4bKpe");
    let forged = if forged == ping.reply(200, "x", "") {
        forged.replace("z9hG4bKp", "z9hG4bKq")
    } else {
        forged
    };
    world.from(MALLORY, &forged);
    assert_eq!(events(&mut world), [""; 0]);
}

/// A caller without a binding, behind a NAT, over UDP or a stream; the callee hangs up.
fn hangs_up(caller: Flow, contact: &str) -> (World, String, Sent) {
    let mut world = world();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let text = invite("a1").replace(&format!("<sip:{ALICE}>"), &format!("<{contact}>"));
    let sent =
        world.by(caller, &text.replace("SIP/2.0/UDP 192.0.2.10:5060", "SIP/2.0/UDP 10.0.0.5:5060"));
    let at_bob = find(&sent, "INVITE").clone();
    let ok = at_bob.reply(200, "bob1", "Contact: <sip:bob@192.0.2.20:5060>\n");
    world.from(BOB, &ok);
    let contact = at_bob.header(Name::Contact);
    let target = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
    (world, target, at_bob)
}

fn bye(target: &str, invite: &Sent) -> String {
    format!(
        "BYE {target} SIP/2.0
Via: SIP/2.0/UDP {BOB};branch=z9hG4bKb{}
Max-Forwards: 70
Route: {}
From: <sip:bob@example.com>;tag=bob1
To: <sip:alice@example.com>;tag=from1
Call-ID: call-1
CSeq: 7 BYE
Content-Length: 0

",
        target.len(),
        invite.header(Name::RecordRoute)
    )
}

/// RFC 5626 §5.3: a caller behind a NAT that is not registered is reached the way its INVITE came, and its Contact is
/// left alone.
#[test]
fn a_caller_without_a_binding() {
    let caller = udp("198.51.100.9:50001");
    let (mut world, target, at_bob) = hangs_up(caller, "sip:alice@10.0.0.5:5060");
    assert_eq!(target, "sip:alice@10.0.0.5:5060");
    let sent = world.from(BOB, &bye(&target, &at_bob));
    assert_eq!(lines(&sent), ["BYE 198.51.100.9:50001"]);
    assert_eq!(sent[0].request().uri_bytes(), target.as_bytes());
    // A Contact that is somewhere else in public now: it has moved (RFC 3261 §12.2.1.2), and its word counts.
    let moved = bye("sip:alice@203.0.113.77:5070", &at_bob).replace("z9hG4bKb", "z9hG4bKm");
    assert_eq!(lines(&world.from(BOB, &moved)), ["BYE 203.0.113.77:5070"]);
    // What was not sealed is not believed.
    let route = at_bob.header(Name::RecordRoute);
    let forged = bye(&target, &at_bob).replace(&route, &route.replace("c6336409", "cb007142"));
    assert_ne!(forged, bye(&target, &at_bob));
    let forged = forged.replace("z9hG4bKb", "z9hG4bKf");
    assert_eq!(lines(&world.from(BOB, &forged)), [format!("403 {BOB}")]);
}

#[test]
fn a_caller_without_a_binding_on_a_stream() {
    let caller = tcp("198.51.100.9:50001", 4);
    let (mut world, target, at_bob) = hangs_up(caller, "sip:alice@10.0.0.5:5060;transport=tcp");
    let sent = world.from(BOB, &bye(&target, &at_bob));
    assert_eq!(lines(&sent), ["BYE 198.51.100.9:50001"]);
    let flow = sent[0].flow;
    assert!(flow.transport.is_reliable());
    assert_eq!(flow.connection, ConnectionId::NONE, "whichever connection there is to it");
}

/// A caller that is reached by its Contact has nothing about it in the Route.
#[test]
fn nothing_is_sealed_of_those_at_home() {
    let call = Call::offered();
    let route = call.invite.header(Name::RecordRoute);
    assert_eq!(route.len(), "<sip:192.0.2.1:5060;lr;rw=>".len() + 28, "{route}");
}

/// The callee is behind a NAT and writes another Contact into its 200 than it registered.
#[test]
fn a_callee_with_two_contacts() {
    let mut world = world();
    at_home(&mut world, HOME, 1);
    let sent = world.from(ALICE, &invite("a1"));
    let at_bob = find(&sent, "INVITE").clone();
    assert_eq!(at_bob.to(), HOME);
    world.from(HOME, &at_bob.reply(200, "bob1", "Contact: <sip:x-17@10.0.0.9:49999>\n"));
    let call = Call { world, invite: at_bob };
    let ack =
        call.within("ACK", "k1").replace("sip:bob@192.0.2.20:5060 ", "sip:x-17@10.0.0.9:49999 ");
    let mut world = call.world;
    assert_eq!(lines(&world.from(ALICE, &ack)), [format!("ACK {HOME}")]);
}

/// A binding that has moved goes before what was sealed when the call began.
#[test]
fn in_a_dialog_the_binding_is_followed() {
    let mut world = world();
    at_home(&mut world, HOME, 1);
    let sent = world.from(ALICE, &invite("a1"));
    let at_bob = find(&sent, "INVITE").clone();
    world.from(HOME, &at_bob.reply(200, "bob1", &format!("Contact: <{PRIVATE}>\n")));
    at_home(&mut world, MOVED, 2);
    let call = Call { world, invite: at_bob };
    let bye = call.within("BYE", "b1").replace("sip:bob@192.0.2.20:5060 ", &format!("{PRIVATE} "));
    let mut world = call.world;
    assert_eq!(lines(&world.from(ALICE, &bye)), [format!("BYE {MOVED}")]);
}

/// `nat.contact_alias`: the way is in the Contact, the phone gets back what it wrote, and a forged one is nobody's.
#[test]
fn a_contact_with_an_alias() {
    let mut world = world();
    world.reconfigure(|config| config.nat.contact_alias = true);
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let caller = "198.51.100.9:50001";
    let text = invite("a1")
        .replace(&format!("<sip:{ALICE}>"), "\"A <b>\" <sip:alice@10.0.0.5:5060;ob>;x=1");
    let sent = world.from(caller, &text);
    let at_bob = find(&sent, "INVITE").clone();
    let contact = at_bob.header(Name::Contact);
    let begins = "\"A <b>\" <sip:alice@10.0.0.5:5060;ob;alias=198.51.100.9~50001~1;rwa=0000";
    assert!(contact.starts_with(begins) && contact.ends_with(">;x=1"), "{contact}");
    world.from(BOB, &at_bob.reply(200, "bob1", "Contact: <sip:bob@192.0.2.20:5060>\n"));
    let target = contact.split('<').next_back().unwrap().split('>').next().unwrap();
    // Its mapping has changed since and its re-INVITE said so: the alias counts, not what was sealed at the beginning.
    let sent = world.from(BOB, &bye(target, &at_bob));
    assert_eq!(lines(&sent), [format!("BYE {caller}")]);
    assert_eq!(sent[0].request().uri_bytes(), b"sip:alice@10.0.0.5:5060;ob");
    let forged = target.replace("198.51.100.9~50001", "203.0.113.66~5060");
    let sent = world.from(BOB, &bye(&forged, &at_bob).replace("z9hG4bKb", "z9hG4bKf"));
    assert_eq!(lines(&sent), [format!("BYE {caller}")], "by the sealed Route, as if it had none");
    assert_eq!(sent[0].request().uri_bytes(), forged.as_bytes(), "and what is not ours stays");
}

/// The same for the callee, whose responses carry the Contact.
#[test]
fn a_response_with_an_alias() {
    let mut world = world();
    world.reconfigure(|config| config.nat.contact_alias = true);
    at_home(&mut world, HOME, 1);
    let at_bob = find(&world.from(ALICE, &invite("a1")), "INVITE").clone();
    let sent = world.from(HOME, &at_bob.reply(200, "bob1", "Contact: sip:q@10.0.0.9:5060;y=2\n"));
    let contact = sent[0].header(Name::Contact);
    assert!(
        contact.starts_with("<sip:q@10.0.0.9:5060;alias=198.51.100.7~41000~1;rwa="),
        "{contact}"
    );
    assert!(contact.ends_with(">;y=2"), "{contact}");
    // One that comes through another proxy is left alone: its way is that proxy's.
    let other = at_bob.reply(200, "bob2", "Contact: <sip:q@10.0.0.9:5060>\n");
    let other = other.replacen("Record-Route: ", "Record-Route: <sip:203.0.113.3;lr>, ", 1);
    let sent = world.from(HOME, &other);
    assert_eq!(sent[0].header(Name::Contact), "<sip:q@10.0.0.9:5060>");
}

/// A phone at home gets no alias, and neither does a Contact that has one already.
#[test]
fn no_alias_without_need() {
    let mut world = world();
    world.reconfigure(|config| config.nat.contact_alias = true);
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(find(&sent, "INVITE").header(Name::Contact), format!("<sip:{ALICE}>"));
    let text = invite("a2")
        .replace("call-1", "call-2")
        .replace(&format!("<sip:{ALICE}>"), "<sip:alice@10.0.0.5;alias=203.0.113.66~5060~1>");
    let sent = world.from("198.51.100.9:50001", &text);
    let contact = find(&sent, "INVITE").header(Name::Contact);
    assert_eq!(contact, "<sip:alice@10.0.0.5;alias=203.0.113.66~5060~1>");
}
