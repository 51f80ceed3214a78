//! RFC 3261 §10.3 as a phone sees it: one test per rule, named like the checks other registrars are put through.

use bytes::Bytes;
use sip_message::Message;

use super::*;
use crate::config::tests::config;
use crate::flow::ListenerId;
use crate::output::Removal;
use crate::seal::Seal;

const START: Instant = Instant::from_secs(1_800_000_000);

struct World {
    now: Instant,
    config: Config,
    shared: Shared,
    flow: Flow,
}

impl World {
    fn new() -> Self {
        let flow = Flow::udp(ListenerId(0), "198.51.100.7:5060".parse().unwrap());
        let shared = Shared::new(Seal::new([1; 16]), START);
        Self { now: START, config: config(), shared, flow }
    }

    /// A REGISTER of alice with these extra lines; its answer as "200" and the Contact values, or status and reason.
    fn register(&mut self, cseq: u32, lines: &str) -> Result<Vec<String>, (u16, &'static str)> {
        self.send(&alice("call-1", cseq, lines))
    }

    fn send(&mut self, text: &str) -> Result<Vec<String>, (u16, &'static str)> {
        self.registered(text).map(|r| contacts(&r)).map_err(|r| (r.status, r.reason))
    }

    fn registered(&mut self, text: &str) -> Result<Registered, Rejection> {
        let Ok(Message::Request(request)) = Message::parse(Bytes::from(text.to_owned())) else {
            panic!("not a request: {text}")
        };
        let (uri, to) = (request.uri().unwrap(), request.to().unwrap().uri().unwrap());
        let aor = address_of_record(&uri, &to, &self.config)?;
        register(self.now, aor, &request, &self.flow, &self.config, &self.shared)
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn bindings(&self) -> usize {
        self.shared.location.counts().bindings
    }
}

fn contacts(registered: &Registered) -> Vec<String> {
    let text = std::str::from_utf8(&registered.contacts).unwrap();
    assert!(text.is_empty() || text.ends_with("\r\n"));
    text.lines().map(|line| line.strip_prefix("Contact: ").unwrap().to_owned()).collect()
}

fn alice(call_id: &str, cseq: u32, lines: &str) -> String {
    message("sip:example.com", "sip:alice@example.com", call_id, cseq, lines)
}

fn message(target: &str, to: &str, call_id: &str, cseq: u32, lines: &str) -> String {
    let mut text = format!(
        "REGISTER {target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK{cseq}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=f\r\n\
         To: <{to}>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\n"
    );
    for line in lines.lines() {
        text.push_str(line.trim());
        text.push_str("\r\n");
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

const PHONE: &str = "Contact: <sip:alice@198.51.100.7>";

#[test]
fn basic() {
    let mut world = World::new();
    let answer = world.register(1, &format!("{PHONE}\nExpires: 600\nUser-Agent: phone/1"));
    assert_eq!(answer.unwrap(), ["<sip:alice@198.51.100.7>;expires=600"]);
    let found = world.shared.location.lookup(START, "alice@example.com").unwrap();
    let binding = found.iter().next().unwrap();
    assert_eq!(binding.contact(), "sip:alice@198.51.100.7");
    assert_eq!((binding.call_id(), binding.cseq(), binding.user_agent()), ("call-1", 1, "phone/1"));
    assert_eq!(binding.flow(), world.flow);
}

#[test]
fn multiple_contacts_and_mixed_expires() {
    let mut world = World::new();
    let lines =
        "Contact: <sip:a@198.51.100.7>;expires=100, \"B\" <sip:b@198.51.100.7;transport=tcp>
        m: sip:c@198.51.100.7;expires=99999
        Expires: 200";
    let expected = [
        "<sip:a@198.51.100.7>;expires=100",
        "<sip:b@198.51.100.7;transport=tcp>;expires=200",
        "<sip:c@198.51.100.7>;expires=7200",
    ];
    assert_eq!(world.register(1, lines).unwrap(), expected);
}

/// RFC 3261 §10.2.1.1, §20.10, §20.19.
#[test]
fn expires_details() {
    let mut world = World::new();
    let mut granted = |cseq, lines: &str| world.register(cseq, lines).map(|c| c[0].clone());
    let seconds = |n: u32| Ok(format!("<sip:alice@198.51.100.7>;expires={n}"));
    assert_eq!(granted(1, PHONE), seconds(3600), "our default");
    assert_eq!(granted(2, &format!("{PHONE};expires=7201")), seconds(7200), "our maximum");
    assert_eq!(granted(3, &format!("{PHONE};expires=soon")), seconds(3600), "junk");
    assert_eq!(granted(4, &format!("{PHONE}\nExpires: later")), seconds(3600), "junk");
    assert_eq!(granted(5, &format!("{PHONE};expires=4294967296")), seconds(7200), "no wrap-around");
    assert_eq!(granted(6, &format!("{PHONE};expires=60")), seconds(60), "our minimum");
    assert_eq!(granted(7, &format!("{PHONE};expires=59")), Err((423, "Interval Too Brief")));
    assert_eq!(granted(8, &format!("{PHONE}\nExpires: 59")), Err((423, "Interval Too Brief")));
}

#[test]
fn a_423_names_the_minimum_and_changes_nothing() {
    let mut world = World::new();
    let lines = "Contact: <sip:a@198.51.100.7>, <sip:b@198.51.100.7>;expires=1";
    let rejection = world.registered(&alice("call-1", 1, lines)).unwrap_err();
    assert_eq!((rejection.status, &*rejection.headers), (423, "Min-Expires: 60\r\n"));
    assert_eq!(world.bindings(), 0);
}

#[test]
fn q_value_details() {
    let mut world = World::new();
    let lines = "Contact: <sip:a@198.51.100.7>;q=0.5, <sip:b@198.51.100.7>;q=1.0, <sip:c@198.51.100.7>;q=0.001
        Contact: <sip:d@198.51.100.7>;q=0";
    let expected = [
        "<sip:a@198.51.100.7>;q=0.500;expires=3600",
        "<sip:b@198.51.100.7>;expires=3600",
        "<sip:c@198.51.100.7>;q=0.001;expires=3600",
        "<sip:d@198.51.100.7>;q=0.000;expires=3600",
    ];
    assert_eq!(world.register(1, lines).unwrap(), expected);
    assert_eq!(world.register(2, &format!("{PHONE};q=1.5")).unwrap_err().0, 400);
}

#[test]
fn change_q() {
    let mut world = World::new();
    world.register(1, &format!("{PHONE};q=0.5")).unwrap();
    let answer = world.register(2, &format!("{PHONE};q=0.9")).unwrap();
    assert_eq!(answer, ["<sip:alice@198.51.100.7>;q=0.900;expires=3600"]);
}

#[test]
fn refresh() {
    let mut world = World::new();
    world.register(1, PHONE).unwrap();
    world.pass(3000);
    let answer = world.registered(&alice("call-1", 2, PHONE)).unwrap();
    assert_eq!(contacts(&answer), ["<sip:alice@198.51.100.7>;expires=3600"]);
    assert!(matches!(&answer.events[..], [Event::BindingRefreshed { .. }]));
    world.pass(3599);
    assert!(world.shared.location.lookup(world.now, "alice@example.com").is_some());
    assert_eq!(world.bindings(), 1);
}

/// RFC 3261 §10.3 step 7, §19.1.4: one Contact, spelled differently, is one binding.
#[test]
fn the_same_contact_in_other_words() {
    let mut world = World::new();
    world.register(1, "Contact: <sip:%61lice@phone.example.org;ob>").unwrap();
    let answer = world.register(2, "Contact: <sip:alice@PHONE.example.org>").unwrap();
    assert_eq!(answer, ["<sip:alice@PHONE.example.org>;expires=3600"]);
    let answer = world.register(3, "Contact: <sip:alice@phone.example.org:5060>").unwrap();
    assert_eq!(answer.len(), 2, "a port that is written differs from one that is not");
}

/// RFC 3261 §10.2.3.
#[test]
fn fetch() {
    let mut world = World::new();
    assert!(world.register(1, "").unwrap().is_empty(), "nobody there: 200 without Contact");
    world.register(2, PHONE).unwrap();
    world.pass(100);
    assert_eq!(world.register(1, "Expires: 0").unwrap(), ["<sip:alice@198.51.100.7>;expires=3500"]);
    assert_eq!(world.bindings(), 1);
}

#[test]
fn set_then_remove_one() {
    let mut world = World::new();
    world.register(1, "Contact: <sip:a@198.51.100.7>, <sip:b@198.51.100.7>").unwrap();
    let answer =
        world.registered(&alice("call-1", 2, "Contact: <sip:a@198.51.100.7>;expires=0")).unwrap();
    assert_eq!(contacts(&answer), ["<sip:b@198.51.100.7>;expires=3600"]);
    assert!(matches!(
        &answer.events[..],
        [Event::BindingRemoved { why: Removal::Unregistered, .. }]
    ));
}

#[test]
fn set_then_remove_all() {
    let mut world = World::new();
    world.register(1, "Contact: <sip:a@198.51.100.7>, <sip:b@198.51.100.7>").unwrap();
    assert!(world.register(2, "Contact: *\nExpires: 0").unwrap().is_empty());
    assert_eq!(world.bindings(), 0);
}

/// RFC 3261 §10.3 step 6.
#[test]
fn star_only_alone_and_with_expires_0() {
    let mut world = World::new();
    world.register(1, PHONE).unwrap();
    for lines in [
        "Contact: *",
        "Contact: *\nExpires: 60",
        "Contact: *\nExpires: never",
        "Contact: *;expires=0",
        "Contact: *, <sip:b@198.51.100.7>\nExpires: 0",
        "Contact: *\nContact: <sip:b@198.51.100.7>\nExpires: 0",
    ] {
        assert_eq!(world.register(2, lines).unwrap_err().0, 400, "{lines}");
    }
    assert_eq!(world.bindings(), 1);
}

#[test]
fn unregister_what_has_expired_or_never_was() {
    let mut world = World::new();
    assert!(world.register(1, &format!("{PHONE};expires=0")).unwrap().is_empty());
    world.register(2, &format!("{PHONE};expires=60")).unwrap();
    world.pass(60);
    assert!(world.register(3, &format!("{PHONE};expires=0")).unwrap().is_empty());
    assert!(world.register(4, "Contact: *\nExpires: 0").unwrap().is_empty());
}

#[test]
fn expiry_cleanup() {
    let mut world = World::new();
    world.register(1, &format!("{PHONE};expires=60")).unwrap();
    world.pass(60);
    assert!(
        world.shared.location.lookup(world.now, "alice@example.com").is_none(),
        "before the sweep"
    );
    let changed = world.shared.location.expire(world.now, 100, false);
    assert!(matches!(&changed.events[..], [Event::BindingRemoved { why: Removal::Expired, .. }]));
    assert_eq!(world.bindings(), 0);
}

#[test]
fn simultaneous_set_and_remove() {
    let mut world = World::new();
    world.register(1, "Contact: <sip:a@198.51.100.7>").unwrap();
    let answer =
        world.register(2, "Contact: <sip:a@198.51.100.7>;expires=0, <sip:b@198.51.100.7>").unwrap();
    assert_eq!(answer, ["<sip:b@198.51.100.7>;expires=3600"]);
}

#[test]
fn out_of_sequence_cseq() {
    let mut world = World::new();
    world.register(5, PHONE).unwrap();
    assert_eq!(world.register(4, PHONE), Err((500, "CSeq Out Of Order")));
    assert_eq!(world.register(5, "Contact: *\nExpires: 0"), Err((500, "CSeq Out Of Order")));
    assert_eq!(world.bindings(), 1);
}

#[test]
fn new_call_id_with_the_same_or_a_lower_cseq() {
    let mut world = World::new();
    world.register(5, PHONE).unwrap();
    world.pass(10);
    let rebooted = alice("call-2", 1, PHONE);
    assert_eq!(world.send(&rebooted).unwrap(), ["<sip:alice@198.51.100.7>;expires=3600"]);
    assert_eq!(world.register(6, PHONE).unwrap().len(), 1, "the other Call-ID is a stranger now");
}

#[test]
fn client_retransmits() {
    let mut world = World::new();
    world.config.durable = true;
    let text = alice("call-1", 1, PHONE);
    let first = world.registered(&text).unwrap();
    world.now = world.now + Duration::from_millis(500);
    let again = world.registered(&text).unwrap();
    assert_eq!(again.contacts, first.contacts, "the same answer");
    assert!(again.events.is_empty());
    assert_eq!(again.writes, first.writes, "which waits for the store like the first");
}

#[test]
fn no_user_in_to() {
    let mut world = World::new();
    let text = message("sip:example.com", "sip:example.com", "c", 1, PHONE);
    assert_eq!(world.send(&text), Err((404, "Not Found")));
}

/// RFC 3261 §10.2: it should not be there, and it does not matter.
#[test]
fn user_in_request_uri() {
    let mut world = World::new();
    let text = message("sip:bob@example.com", "sip:alice@example.com", "c", 1, PHONE);
    world.send(&text).unwrap();
    assert!(world.shared.location.lookup(START, "alice@example.com").is_some());
}

/// RFC 3261 §10.3 step 5: To must be in the domain of the Request-URI; ours go by several names.
#[test]
fn unknown_aor_host() {
    let mut world = World::new();
    let mut status = |target: &str, to: &str| {
        world.send(&message(target, to, "c", 1, PHONE)).map(|_| 200).unwrap_or_else(|e| e.0)
    };
    assert_eq!(status("sip:example.com", "sip:alice@example.org"), 404);
    assert_eq!(
        status("sip:example.com", "sip:alice@example.net"),
        404,
        "served, but another domain"
    );
    assert_eq!(status("sip:example.org", "sip:alice@example.org"), 403);
    assert_eq!(status("sip:192.0.2.1", "sip:alice@EXAMPLE.COM"), 200);
    assert_eq!(status("sips:example.com", "sips:alice@192.0.2.1"), 200);
    assert_eq!(status("sip:example.com", "tel:+15551234"), 400);
    assert_eq!(world.bindings(), 1, "all the same alice");
}

#[test]
fn oversize_call_id_and_contact() {
    let mut world = World::new();
    let call_id = "c".repeat(CALL_ID_MAX + 1);
    assert_eq!(world.send(&alice(&call_id, 1, PHONE)), Err((400, "Call-ID Too Long")));
    let contact = format!("Contact: <sip:{}@198.51.100.7>", "a".repeat(CONTACT_MAX));
    assert_eq!(world.register(1, &contact), Err((400, "Contact Too Long")));
    let many: Vec<String> = (0..17).map(|n| format!("Contact: <sip:{n}@198.51.100.7>")).collect();
    assert_eq!(world.register(1, &many.join("\n")).unwrap_err().0, 400);
    assert_eq!(world.bindings(), 0);
}

#[test]
fn ten_contacts_a_user_then_503_until_one_ends() {
    let mut world = World::new();
    for n in 1..=10 {
        world.register(n, &format!("Contact: <sip:{n}@198.51.100.7>;expires={}", 100 * n)).unwrap();
    }
    let rejection = world.registered(&alice("call-1", 11, PHONE)).unwrap_err();
    assert_eq!((rejection.status, rejection.reason), (503, "Too Many Contacts"));
    assert_eq!(rejection.headers, "Retry-After: 101\r\n");
    assert_eq!(world.bindings(), 10);
    world.pass(101);
    assert_eq!(world.register(12, PHONE).unwrap().len(), 10);
}

#[test]
fn hijack_contact_is_refused_and_nothing_changes() {
    let mut world = World::new();
    let lines = "Contact: <sip:a@198.51.100.7>, <sip:x@192.0.2.1:5060>";
    assert_eq!(world.register(1, lines), Err((403, "Contact Points To This Server")));
    assert_eq!(world.bindings(), 0);
}

#[test]
fn the_store_refuses_an_addition() {
    let mut world = World::new();
    world.config.durable = true;
    let registered = world.registered(&alice("call-1", 1, PHONE)).unwrap();
    assert!(matches!(&registered.writes[..], [BindingWrite::Put(_)]));
    registered.undo(world.now, &world.shared);
    assert_eq!(world.bindings(), 0);
}

#[test]
fn the_store_refuses_a_removal() {
    let mut world = World::new();
    world.config.durable = true;
    world.register(1, PHONE).unwrap();
    let registered = world.registered(&alice("call-1", 2, "Contact: *\nExpires: 0")).unwrap();
    assert!(matches!(&registered.writes[..], [BindingWrite::Remove { .. }]));
    registered.undo(world.now, &world.shared);
    assert_eq!(world.bindings(), 1);
}

#[test]
fn in_memory_nothing_waits_for_a_store() {
    let mut world = World::new();
    let registered = world.registered(&alice("call-1", 1, PHONE)).unwrap();
    assert!(registered.writes.is_empty() && !registered.events.is_empty());
}

#[test]
fn a_user_agent_is_kept_as_far_as_it_can_be_shown() {
    assert_eq!(printable(b"phone/1 (x)"), "phone/1 (x)");
    assert_eq!(printable(b"phone\r\n fold"), "phone");
    assert_eq!(printable(b"phone\xff"), "phone");
}

#[test]
fn numbers() {
    for number in [0, 9, 10, 7200, u64::MAX] {
        let mut text = Vec::new();
        push_number(number, &mut text);
        assert_eq!(text, number.to_string().as_bytes());
    }
}
