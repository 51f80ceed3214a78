//! One call to one phone (RFC 3261 §16.6, §16.7, RFC 3665 §3.1) and what may go wrong on the way.

use sip_message::Name;

use super::world::*;
use crate::output::{EndedBy, Event};
use crate::time::Duration;

/// INVITE, 100, forwarded copy: what RFC 3261 §16.6 says about each header.
#[test]
fn an_invite_is_forwarded_and_tried() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
    let copy = sent[1].request();
    assert_eq!(copy.uri_bytes(), b"sip:bob@192.0.2.20:5060", "§16.6 step 2");
    assert_eq!(copy.max_forwards(), Ok(Some(69)), "§16.6 step 3");
    let route = sent[1].header(Name::RecordRoute);
    assert!(route.starts_with("<sip:192.0.2.1:5060;lr;rw="), "§16.6 step 4: {route}");
    assert_eq!(copy.vias().count(), 2, "§16.6 step 8");
    assert!(copy.via().unwrap().has_cookie());
    assert_eq!(copy.max_breadth(), Ok(Some(60)), "RFC 5393 §5.3");
}

/// RFC 3261 §16.6 step 3: 70 when missing, and never more than 70.
#[test]
fn max_forwards_is_added_and_clamped() {
    for (line, expected) in [
        ("", 70),
        ("Max-Forwards: 255\n", 70),
        ("Max-Forwards: 71\n", 70),
        ("Max-Forwards: 1\n", 0),
    ] {
        let mut world = World::open();
        world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
        let sent = world.from(ALICE, &invite("a1").replace("Max-Forwards: 70\n", line));
        assert_eq!(sent[1].request().max_forwards(), Ok(Some(expected)), "{line}");
    }
}

/// RFC 3665 §3.1: the whole call; the events are its record.
#[test]
fn a_call_from_invite_to_bye() {
    let mut call = Call::established();
    let [Event::CallAnswered { call: record }] = &call.world.events[..] else {
        panic!("{:?}", call.world.events)
    };
    assert_eq!(
        (&*record.call_id, &*record.from, &*record.to, record.status),
        ("call-1", "sip:alice@example.com", "sip:bob@example.com", 200)
    );
    call.world.events.clear();
    call.world.pass(Duration::from_millis(61_250));
    let bye = call.within("BYE", "bye1");
    let sent = call.world.from(ALICE, &bye);
    assert_eq!(lines(&sent), ["BYE 192.0.2.20:5060"], "RFC 4320 §4.1: no 100 for it");
    assert_eq!(sent[0].header(Name::Route), "", "§16.4: our Route is used up");
    assert_eq!(sent[0].header(Name::RecordRoute), "");
    let ok = sent[0].reply(200, "", "");
    assert_eq!(lines(&call.world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
    let [Event::CallEnded { call: record, ended_by: EndedBy::Caller }] = &call.world.events[..]
    else {
        panic!("{:?}", call.world.events)
    };
    assert_eq!(record.duration, Duration::from_millis(61_250), "no table: the Route knows");
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §12.2: the callee's requests go the same way back. A caller and callee change places in From and To.
#[test]
fn the_callee_hangs_up() {
    let mut call = Call::established();
    call.world.events.clear();
    let bye = call.within_by_bob("BYE", "bye2");
    let sent = call.world.from(BOB, &bye);
    assert_eq!(lines(&sent), ["BYE 192.0.2.10:5060"]);
    let ok = sent[0].reply(200, "", "");
    assert_eq!(lines(&call.world.from(ALICE, &ok)), ["200 192.0.2.20:5060"]);
    let [Event::CallEnded { call: record, ended_by: EndedBy::Callee }] = &call.world.events[..]
    else {
        panic!("{:?}", call.world.events)
    };
    assert_eq!((&*record.from, &*record.to), ("sip:alice@example.com", "sip:bob@example.com"));
    assert!(call.world.is_at_rest());
}

/// The 200 of a BYE is lost and the BYE repeated: the proxy absorbs the repeats and answers them itself
/// (RFC 3261 §17.2.2).
#[test]
fn repeats_of_an_answered_bye_end_here() {
    let mut call = Call::established();
    let bye = call.within_by_bob("BYE", "bye3");
    let sent = call.world.from(BOB, &bye);
    let ok = sent[0].reply(200, "", "");
    let first = call.world.from(ALICE, &ok);
    for _ in 0..3 {
        call.world.pass(Duration::from_secs(4));
        let again = call.world.from(BOB, &bye);
        assert_eq!(lines(&again), ["200 192.0.2.20:5060"]);
        assert_eq!(again[0].header(Name::To), first[0].header(Name::To));
    }
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §16.7 step 5, RFC 6026 §7.1: every 2xx goes upstream, also when the context is nearly forgotten, and its
/// ACK goes down again with the same branch.
#[test]
fn a_repeated_200_and_its_ack() {
    let mut call = Call::established();
    let again = call.bob(200);
    assert_eq!(lines(&again), ["200 192.0.2.10:5060"]);
    assert_eq!(again[0].response().vias().count(), 1, "§16.7 step 3");
    let ack = call.within("ACK", "ack1");
    let first = call.world.from(ALICE, &ack);
    let second = call.world.from(ALICE, &ack);
    assert_eq!(first[0].text, second[0].text, "§16.11");
    assert_eq!(call.world.node.sizes().contexts_active, 0);
    assert!(call.world.is_at_rest());
    assert!(call.bob(200).is_empty(), "RFC 6026 §7.3: long after, it matches nothing");
}

/// RFC 3261 §16.7 step 5: a 100 is for us only.
#[test]
fn a_100_is_absorbed() {
    let mut call = Call::offered();
    assert!(call.bob(100).is_empty());
    assert_eq!(lines(&call.bob(183)), ["183 192.0.2.10:5060"]);
}

/// RFC 3261 §16.7 step 5 and 6, §17.2.1: one final failure; hop-by-hop ACKs on both sides.
#[test]
fn a_refusal_goes_upstream() {
    let mut call = Call::ringing();
    let sent = call.bob(486);
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060", "486 192.0.2.10:5060"]);
    assert!(call.acknowledge_failure().is_empty());
    let [Event::CallEnded { call: record, ended_by: EndedBy::Refused }] = &call.world.events[..]
    else {
        panic!("{:?}", call.world.events)
    };
    assert_eq!(record.status, 486);
    assert_eq!(lines(&call.bob(486)), ["ACK 192.0.2.20:5060"], "§17.1.1.2: again, and absorbed");
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §16.7 step 6: a 503 of the next hop is not ours.
#[test]
fn a_503_becomes_500() {
    let mut call = Call::ringing();
    assert_eq!(find(&call.bob(503), "5").status(), 500);
}

/// RFC 3261 §17.1.1.2 Timer B, §16.7 step 6: nobody there is a 408.
#[test]
fn silence_is_408() {
    let mut call = Call::offered();
    let sent = call.world.pass(Duration::from_secs(33));
    let retransmissions = sent.iter().filter(|s| s.line() == "INVITE 192.0.2.20:5060").count();
    assert_eq!(retransmissions, 6, "§17.1.1.2");
    assert!(sent.iter().any(|s| s.line() == "408 192.0.2.10:5060"), "{:?}", lines(&sent));
    let timeout =
        |e: &Event| matches!(e, Event::TransactionTimeout { method, .. } if &**method == "INVITE");
    assert!(call.world.events.iter().any(timeout));
    call.acknowledge_failure();
    assert!(call.world.is_at_rest());
}

/// RFC 4320 §4.2: a request other than INVITE gets no 408; whoever sent it has given up by itself.
#[test]
fn a_bye_into_silence_is_not_answered() {
    let mut call = Call::established();
    let bye = call.within("BYE", "bye1");
    call.world.from(ALICE, &bye);
    let sent = call.world.pass(Duration::from_secs(40));
    assert!(sent.iter().all(|s| s.line() == "BYE 192.0.2.20:5060"), "{:?}", lines(&sent));
    let ended = |e: &Event| matches!(e, Event::CallEnded { call, .. } if call.status == 408);
    assert!(call.world.events.iter().any(ended), "the call is over all the same");
    assert!(call.world.is_at_rest());
}

/// RFC 4320 §4.1: no provisional response to a request other than INVITE goes upstream.
#[test]
fn provisional_answers_to_bye_are_absorbed() {
    let mut call = Call::established();
    let bye = call.within("BYE", "bye1");
    let sent = call.world.from(ALICE, &bye);
    for status in [100, 180] {
        let reply = sent[0].reply(status, "", "");
        assert!(call.world.from(BOB, &reply).is_empty());
    }
    let ok = sent[0].reply(200, "", "");
    assert_eq!(lines(&call.world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
}

/// RFC 3261 §16.9: what cannot be sent counts as a 503, and §16.7 step 6 makes a 500 of that.
#[test]
fn a_transport_error_is_500() {
    use crate::input::Input;
    use crate::output::Outbox;

    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let mut out = Outbox::default();
    let bytes = wire(&invite("a1"));
    world.node.handle(world.now, Input::Message { flow: udp(ALICE), bytes }, &mut out);
    let token = out.transmits[1].token.unwrap();
    let sent = world.handle(Input::SendFailed { token });
    assert_eq!(lines(&sent), ["500 192.0.2.10:5060"]);
    assert!(world.events.iter().any(|e| matches!(e, Event::SendFailed { .. })));
    assert!(world.is_at_rest());
}

/// RFC 3261 §16.7: a response to a request we did not send, or with a branch that we did not write.
#[test]
fn a_forged_response_goes_nowhere() {
    let mut call = Call::ringing();
    let reply = call.invite.reply(200, "evil", "");
    let branch = call.invite.request().via().unwrap().branch.unwrap().to_vec();
    let mut forged = branch.clone();
    forged[20] = if forged[20] == b'a' { b'b' } else { b'a' };
    let (branch, forged) = (String::from_utf8(branch).unwrap(), String::from_utf8(forged).unwrap());
    assert!(call.world.from(MALLORY, &reply.replace(&branch, &forged)).is_empty());
    assert_eq!(lines(&call.bob(200)), ["200 192.0.2.10:5060"]);
}

/// RFC 3261 §12.2.1: a second INVITE inside the dialog follows the Route; it begins no call and needs no Record-Route.
#[test]
fn a_re_invite() {
    let mut call = Call::established();
    call.world.events.clear();
    let again = call.within("INVITE", "re1");
    let sent = call.world.from(ALICE, &again);
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
    assert_eq!(sent[1].header(Name::RecordRoute), "");
    let ok = sent[1].reply(200, "", "");
    assert_eq!(lines(&call.world.from(BOB, &ok)), ["200 192.0.2.10:5060"]);
    assert!(call.world.events.is_empty());
    assert!(call.world.is_at_rest());
}

/// RFC 3261 §16.6 step 4: the two sides speak different transports; each gets a Record-Route it can reach.
#[test]
fn two_transports_two_record_routes() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.by(tcp(ALICE, 4), &invite("a1").replace("2.0/UDP", "2.0/TCP"));
    let copy = find(&sent, "INVITE").request();
    let routes: Vec<String> = copy
        .record_routes()
        .map(|route| String::from_utf8(route.unwrap().uri_bytes().to_vec()).unwrap())
        .collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(routes[0].starts_with("sip:192.0.2.1:5060;lr;rw="));
    assert!(routes[1].starts_with("sip:192.0.2.1:5060;transport=tcp;lr;rw="));
    assert_eq!(find(&sent, "100").flow, tcp(ALICE, 4), "§18.2.2: by the same connection");
    // Both are popped on the way back.
    let ok = find(&sent, "INVITE").reply(200, "bob1", "Contact: <sip:bob@192.0.2.20>\n");
    world.from(BOB, &ok);
    let bye = format!(
        "BYE sip:192.0.2.10:5060;transport=tcp SIP/2.0
Via: SIP/2.0/UDP {BOB};branch=z9hG4bKb
Route: <{}>, <{}>
From: <sip:bob@example.com>;tag=bob1
To: <sip:alice@example.com>;tag=from1
Call-ID: call-1
CSeq: 7 BYE
Content-Length: 0

",
        routes[0], routes[1]
    );
    let sent = world.from(BOB, &bye);
    assert_eq!(lines(&sent), ["BYE 192.0.2.10:5060"]);
    assert_eq!(sent[0].header(Name::Route), "");
    assert!(sent[0].flow.transport.is_reliable());
}

/// RFC 3261 §16.6 step 9, §18.3: a request that came by UDP without Content-Length gets one on a stream.
#[test]
fn a_stream_needs_a_content_length() {
    let mut world = World::open();
    let register = |world: &mut World| {
        let flow = tcp(BOB, 9);
        let text = request(
            "REGISTER",
            "sip:example.com",
            "sip:bob@example.com",
            "sip:bob@example.com",
            BOB,
            "r",
        );
        world.by(flow, &text)
    };
    assert_eq!(lines(&register(&mut world)), ["200 192.0.2.20:5060"]);
    let text = invite("a1").replace("Content-Length: 0\n\n", "Content-Type: text/plain\n\nbody");
    let sent = world.from(ALICE, &text);
    let copy = find(&sent, "INVITE");
    assert_eq!(copy.flow, tcp(BOB, 9), "a binding by TCP is reached by its connection");
    assert_eq!(copy.header(Name::ContentLength), "4");
    assert!(copy.text.ends_with("\r\n\r\nbody"));
}

/// A branch names a place in memory. After a restart the place is somebody else's: an answer that was meant for the
/// earlier run must not reach the call that has it now (RFC 3261 §17.1.3).
#[test]
fn an_answer_to_an_earlier_run_reaches_nobody() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let before = world.from(ALICE, &invite("a1"));

    let restarted_at = START + Duration::from_secs(1);
    world.shared = std::sync::Arc::new(crate::shared::Shared::new(
        crate::seal::Seal::new([9; 16]),
        restarted_at,
    ));
    let config = std::sync::Arc::new(world.config.clone());
    world.node = crate::node::Node::new(3, config, std::sync::Arc::clone(&world.shared));
    world.now = restarted_at;
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let after = world.from(CAROL, &invite("c1").replace("call-1", "call-2"));
    assert_eq!(lines(&after), ["100 192.0.2.30:5060", "INVITE 192.0.2.20:5060"]);

    assert_eq!(lines(&world.from(BOB, &before[1].reply(200, "b", ""))), [""; 0]);
    let answered = world.from(BOB, &after[1].reply(200, "b", ""));
    assert_eq!(lines(&answered), ["200 192.0.2.30:5060"]);
}
