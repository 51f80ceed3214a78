//! Client transactions: RFC 3261 §17.1, §9.1, RFC 6026 §8.4.

use super::*;

const TIMEOUT: Happening = Happening::ClientTimeout { context: CONTEXT, fork: 2 };
const CANCELLED: Happening = Happening::ClientCancelled { context: CONTEXT, fork: 2 };
const TRANSPORT_ERROR: Happening = Happening::TransportError { context: CONTEXT, fork: 2 };
const GONE: Happening = Happening::ClientGone { context: CONTEXT, fork: 2 };

fn delivered(client: ClientId) -> Received {
    Received::Delivered(Delivered { context: CONTEXT, fork: 2, client })
}

/// RFC 3261 §17.1.1.2: A doubles from T1, B ends it after 64*T1.
#[test]
fn invite_is_repeated_seven_times_over_udp() {
    let mut world = World::new();
    world.send("INVITE", Transport::Udp);
    let sent = world.run_until(31_999);
    assert_eq!(sent, repeated("INVITE", &[0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]));
    assert_eq!(world.told(), []);
    assert_eq!(world.run_until(32_000), []);
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

#[test]
fn invite_is_sent_once_over_tcp() {
    let mut world = World::new();
    world.send("INVITE", Transport::Tcp);
    assert_eq!(world.run_until(32_000), repeated("INVITE", &[0]));
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

/// RFC 3261 §17.1.2.2: E doubles from T1 up to T2, F ends it after 64*T1.
#[test]
fn other_requests_are_repeated_at_t2_at_the_latest() {
    let mut world = World::new();
    world.send("BYE", Transport::Udp);
    let times = [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(world.run_until(31_999), repeated("BYE", &times));
    world.run_until(32_000);
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

#[test]
fn other_requests_are_sent_once_over_tcp() {
    let mut world = World::new();
    world.send("BYE", Transport::Tcp);
    assert_eq!(world.run_until(32_000), repeated("BYE", &[0]));
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

/// RFC 3261 §17.1.2.2: in Proceeding, E runs on and is reset to T2; F runs on.
#[test]
fn a_provisional_slows_other_requests_down() {
    let mut world = World::new();
    let (client, bye) = world.send("BYE", Transport::Udp);
    world.run_until(100);
    assert_eq!(world.answer(&bye, 100), delivered(client));
    assert_eq!(world.answer(&bye, 183), delivered(client));
    let times = [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500];
    assert_eq!(world.run_until(31_999), repeated("BYE", &times));
    world.run_until(32_000);
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

/// RFC 3261 §17.1.2.2: one final response, its repetitions absorbed until K.
#[test]
fn a_final_is_delivered_once_and_k_lasts_t4() {
    let mut world = World::new();
    let (client, bye) = world.send("BYE", Transport::Udp);
    world.run_until(10);
    assert_eq!(world.answer(&bye, 200), delivered(client));
    assert_eq!(world.answer(&bye, 200), Received::Absorbed);
    assert_eq!(world.answer(&bye, 100), Received::Absorbed);
    assert_eq!(world.layer.live_len(), 0);
    assert_eq!(world.run_until(5_009), []);
    assert_eq!(world.layer.len(), 1);
    world.run_until(5_020);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
    assert_eq!(world.answer(&bye, 200), Received::Unmatched);
}

#[test]
fn over_tcp_k_and_d_are_zero() {
    let mut world = World::new();
    let (client, bye) = world.send("BYE", Transport::Tcp);
    assert_eq!(world.answer(&bye, 200), delivered(client));
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();

    let (client, invite) = world.send("INVITE", Transport::Tcp);
    assert_eq!(world.answer(&invite, 486), delivered(client));
    assert_eq!(world.sent(), ["BYE", "INVITE", "ACK"]);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

/// RFC 3261 §17.1.1.2: provisional responses stop A and B, and all reach the TU.
#[test]
fn a_ringing_invite_waits_for_its_tu() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    world.run_until(499);
    for status in [100, 180, 183, 180] {
        assert_eq!(world.answer(&invite, status), delivered(client));
    }
    assert_eq!(world.run_until(600_000), []);
    assert_eq!(world.layer.timers_len(), 0);
    assert_eq!(world.layer.len(), 1);
    assert_eq!(world.answer(&invite, 200), delivered(client));
    world.run_until(632_020);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

/// RFC 6026 §8.4: every 2xx until M is the TU's; a later one is a stray.
#[test]
fn every_2xx_is_delivered_for_64_t1() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new();
        let (client, invite) = world.send("INVITE", transport);
        assert_eq!(world.answer(&invite, 200), delivered(client));
        assert_eq!(world.layer.live_len(), 0);
        assert_eq!(world.answer(&invite, 180), Received::Absorbed);
        assert_eq!(world.answer(&invite, 486), Received::Absorbed);
        world.run_until(31_999);
        assert_eq!(world.answer(&invite, 200), delivered(client));
        world.run_until(32_000);
        assert_eq!(world.told(), [GONE]);
        world.assert_empty();
        assert_eq!(world.answer(&invite, 200), Received::Stray);
        assert_eq!(world.answer(&invite, 486), Received::Unmatched);
    }
}

/// RFC 3261 §17.1.1.3: the ACK to a failure is the transaction's, hop by hop, as often as the failure comes.
#[test]
fn a_failure_is_acknowledged_each_time_and_delivered_once() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    assert_eq!(world.answer(&invite, 180), delivered(client));
    world.sent();
    assert_eq!(world.answer(&invite, 486), delivered(client));
    let [transmit] = &world.out.transmits[..] else { panic!("one ACK") };
    assert_eq!(transmit.flow, flow(Transport::Udp, 2));
    let first = world.sent_whole().remove(0);
    let text = core::str::from_utf8(&first).unwrap();
    assert!(text.starts_with("ACK sip:bob@example.com SIP/2.0\r\n"), "{text}");
    assert!(text.contains("CSeq: 31 ACK\r\n") && text.contains(";tag=b1"), "{text}");
    assert_eq!(text.matches("Via:").count(), 1);
    assert_eq!(text.matches("Route: <sip:next.example;lr>\r\n").count(), 1);

    assert_eq!(world.layer.live_len(), 0);
    world.run_until(31_000);
    assert_eq!(world.answer(&invite, 486), Received::Absorbed);
    let again = world.sent_whole().remove(0);
    assert_eq!(sorted_lines(&again), sorted_lines(&first));

    world.run_until(32_000);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

fn sorted_lines(wire: &Bytes) -> Vec<&str> {
    let mut lines: Vec<_> = core::str::from_utf8(wire).unwrap().split("\r\n").collect();
    lines.sort_unstable();
    lines
}

/// RFC 3261 §9.1: no CANCEL before a provisional response.
#[test]
fn cancel_waits_for_the_first_provisional() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    world.layer.cancel(world.now, client, &mut world.out);
    assert_eq!(world.run_until(600), repeated("INVITE", &[0, 500]));
    assert_eq!(world.answer(&invite, 180), delivered(client));
    let sent = world.sent_whole();
    let [cancel] = &sent[..] else { panic!("one CANCEL") };
    let Ok(Message::Request(cancel)) = Message::parse(cancel.clone()) else { panic!("readable") };
    assert_eq!(cancel.method(), sip_message::Method::Cancel);
    assert_eq!(cancel.uri_bytes(), invite.uri_bytes());
    assert_eq!(cancel.via().unwrap().branch, invite.via().unwrap().branch);
    assert_eq!(cancel.cseq().unwrap().number, 31);
    // Asked twice, sent once.
    world.layer.cancel(world.now, client, &mut world.out);
    assert_eq!(world.sent(), [""; 0]);

    assert_eq!(world.answer(&cancel, 200), Received::Absorbed);
    assert_eq!(world.answer(&cancel, 200), Received::Absorbed);
    assert_eq!(world.answer(&invite, 487), delivered(client));
    assert_eq!(world.run_until(40_000), repeated("ACK", &[600]));
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

/// RFC 3261 §9.1: the CANCEL is a non-INVITE transaction; 64*T1 without a final response and the INVITE is over.
#[test]
fn an_unanswered_cancel_is_repeated_and_ends_the_invite() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    assert_eq!(world.answer(&invite, 100), delivered(client));
    world.sent();
    world.layer.cancel(world.now, client, &mut world.out);
    let times = [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(world.run_until(31_999), repeated("CANCEL", &times));
    assert_eq!(world.told(), []);
    world.run_until(32_000);
    assert_eq!(world.told(), [CANCELLED, GONE]);
    world.assert_empty();
    assert_eq!(world.answer(&invite, 200), Received::Stray);
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_delivered() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    assert_eq!(world.answer(&invite, 180), delivered(client));
    world.layer.cancel(world.now, client, &mut world.out);
    assert_eq!(world.answer(&invite, 200), delivered(client));
    assert_eq!(world.answer(&invite, 200), delivered(client));
    let cancel = request(&request_text("CANCEL", branch_of(&invite), ""));
    assert_eq!(world.answer(&cancel, 481), Received::Absorbed);
    world.sent();
    assert_eq!(world.run_until(40_000), []);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

#[test]
fn a_final_before_any_provisional_needs_no_cancel() {
    for status in [200, 486] {
        let mut world = World::new();
        let (client, invite) = world.send("INVITE", Transport::Udp);
        world.layer.cancel(world.now, client, &mut world.out);
        assert_eq!(world.answer(&invite, status), delivered(client));
        assert!(!world.sent().contains(&"CANCEL".to_owned()));
        world.layer.cancel(world.now, client, &mut world.out);
        assert_eq!(world.sent(), [""; 0]);
        world.run_until(40_000);
        assert_eq!(world.told(), [GONE]);
        world.assert_empty();
    }
}

/// Over TCP the INVITE ends with its 487, before its CANCEL is answered: the CANCEL must find its own end.
#[test]
fn a_cancel_may_outlive_its_invite() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Tcp);
    assert_eq!(world.answer(&invite, 180), delivered(client));
    world.layer.cancel(world.now, client, &mut world.out);
    assert_eq!(world.answer(&invite, 487), delivered(client));
    assert_eq!(world.sent(), ["INVITE", "CANCEL", "ACK"]);
    assert_eq!(world.told(), [GONE]);
    assert_eq!(world.layer.len(), 1);
    world.run_until(32_000);
    assert_eq!(world.told(), []);
    world.assert_empty();
}

/// RFC 3261 §17.1.4, §18.4.
#[test]
fn a_transport_error_ends_what_waits_and_is_told() {
    for method in ["INVITE", "BYE"] {
        let mut world = World::new();
        let (client, _) = world.send(method, Transport::Tcp);
        let token = world.out.transmits[0].token.unwrap();
        assert_eq!(token, client.token());
        world.layer.send_failed(world.now, token, &mut world.out);
        assert_eq!(world.told(), [TRANSPORT_ERROR, GONE]);
        // The name of one that is gone does nothing, not even to the next in its place.
        world.send(method, Transport::Tcp);
        world.layer.send_failed(world.now, token, &mut world.out);
        assert_eq!(world.told(), []);
        world.run_until(32_000);
        assert_eq!(world.told(), [TIMEOUT, GONE]);
        world.assert_empty();
    }
}

#[test]
fn an_error_after_an_answer_is_nothing() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    assert_eq!(world.answer(&invite, 180), delivered(client));
    world.layer.send_failed(world.now, client.token(), &mut world.out);
    assert_eq!(world.told(), []);
    assert_eq!(world.answer(&invite, 200), delivered(client));
}

const SILENT: Happening = Happening::ClientSilent { context: CONTEXT, fork: 2 };

/// RFC 3263 §4.3: silence is told of once, and changes nothing by itself.
#[test]
fn silence_is_told_when_that_was_asked_for() {
    for method in ["INVITE", "OPTIONS"] {
        let mut world = World::new();
        let (client, _) = world.send(method, Transport::Udp);
        world.layer.expect_soon(world.now, client);
        assert_eq!(world.run_until(2_999), repeated(method, &[0, 500, 1_500]));
        assert_eq!(world.told(), []);
        world.run_until(3_000);
        assert_eq!(world.told(), [SILENT]);
        assert!(world.run_until(31_999).len() > 3, "it goes on");
        world.run_until(32_000);
        assert_eq!(world.told(), [TIMEOUT, GONE]);
        world.assert_empty();
    }
}

#[test]
fn whoever_has_spoken_is_not_silent() {
    for method in ["INVITE", "OPTIONS"] {
        for status in [100, 200, 486] {
            let mut world = World::new();
            let (client, request) = world.send(method, Transport::Udp);
            world.layer.expect_soon(world.now, client);
            world.run_until(2_000);
            world.answer(&request, status);
            world.run_until(31_000);
            assert!(!world.told().contains(&SILENT), "{method} {status}");
        }
    }
}

/// RFC 3263 §4.3, RFC 3261 §9.1: nothing is repeated any more, but what still comes is heard: a 180 is answered with a
/// CANCEL, a 200 is delivered.
#[test]
fn who_was_given_up_may_still_answer() {
    let mut world = World::new();
    let (client, invite) = world.send("INVITE", Transport::Udp);
    world.run_until(3_000);
    world.sent();
    world.layer.give_up(world.now, client, &mut world.out);
    assert_eq!(world.run_until(20_000), []);
    world.answer(&invite, 180);
    assert_eq!(world.sent(), ["CANCEL"]);
    assert_eq!(world.answer(&invite, 200), delivered(client));

    let mut world = World::new();
    let (client, _) = world.send("OPTIONS", Transport::Udp);
    world.run_until(3_000);
    world.layer.give_up(world.now, client, &mut world.out);
    assert_eq!(world.run_until(34_999), []);
    world.run_until(35_000);
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
}

/// RFC 3261 §18.4: an ICMP error that says unreachable is a transport error; but anybody can forge one.
#[test]
fn unreachable_is_believed_of_the_silent_one_that_was_asked() {
    let there = flow(Transport::Udp, 2).remote;
    let elsewhere = flow(Transport::Udp, 3).remote;
    for method in ["INVITE", "OPTIONS"] {
        let mut world = World::new();
        let (client, request) = world.send(method, Transport::Udp);
        let unreachable = |world: &mut World, remote| {
            world.layer.unreachable(world.now, client.token(), remote, &mut world.out);
            world.told()
        };
        assert_eq!(unreachable(&mut world, elsewhere), [], "of another address");
        assert_eq!(unreachable(&mut world, there), [TRANSPORT_ERROR, GONE]);
        assert_eq!(unreachable(&mut world, there), [], "it is gone");

        let mut world = World::new();
        let (client, _) = world.send(method, Transport::Udp);
        world.answer(&request, 100);
        let mut stale = client.token();
        stale.generation += 1;
        world.layer.unreachable(world.now, stale, there, &mut world.out);
        assert_eq!(world.told(), [], "of another transaction");

        let mut world = World::new();
        let (client, request) = world.send(method, Transport::Udp);
        world.answer(&request, 100);
        world.layer.unreachable(world.now, client.token(), there, &mut world.out);
        assert_eq!(world.told(), [], "it has spoken");

        let mut world = World::new();
        let (client, _) = world.send(method, Transport::Tcp);
        world.layer.unreachable(world.now, client.token(), there, &mut world.out);
        assert_eq!(world.told(), [], "no datagram");
    }
}

#[test]
fn what_was_reserved_can_be_given_back() {
    let mut world = World::new();
    let (client, _) = world.layer.reserve(Kind::Invite, CONTEXT, 0, 0).unwrap();
    world.layer.release(client);
    world.assert_empty();
    let (client, _) = world.send("INVITE", Transport::Udp);
    world.layer.release(client);
    assert_eq!(world.layer.len(), 1);
    let forks = crate::limits::FORKS_IN_ALL.max as u16;
    assert!(world.layer.reserve(Kind::Invite, CONTEXT, forks - 1, 0).is_ok());
    let refused = world.layer.reserve(Kind::Invite, CONTEXT, forks, 0);
    assert_eq!(refused, Err(crate::limits::LimitReached { limit: crate::limits::FORKS_IN_ALL }));
}

/// RFC 3261 §17.1.3, and what only we can have written.
#[test]
fn responses_that_nobody_asked_for_are_refused() {
    let mut world = World::new();
    let (_, invite) = world.send("INVITE", Transport::Udp);
    let (_, bye) = world.send("BYE", Transport::Udp);
    let branch = branch_of(&invite).to_owned();
    let mut forged = branch.clone().into_bytes();
    forged[12] = if forged[12] == b'a' { b'b' } else { b'a' };
    let forged = String::from_utf8(forged).unwrap();
    for (branch, method) in [
        (&*forged, "INVITE"),
        ("z9hG4bKsomebody", "INVITE"),
        ("z9hG4bK", "INVITE"),
        // Ours, and of another method.
        (&*branch, "BYE"),
        (branch_of(&bye), "INVITE"),
        (branch_of(&bye), "CANCEL"),
    ] {
        let request = request(&request_text(method, branch, ""));
        assert_eq!(world.answer(&request, 200), Received::Unmatched, "{branch} {method}");
    }
    // Ours, and of a node with the same seal.
    let mut other = TransactionLayer::new(4, Seal::new(SEAL), &Timers::default());
    let response = response(response_to(&invite, 200, ""));
    assert_eq!(other.receive_response(world.now, &response, &mut world.out), Received::Unmatched);
    // A CANCEL that was never sent.
    let cancel = request(&request_text("CANCEL", &branch, ""));
    assert_eq!(world.answer(&cancel, 200), Received::Absorbed);
}

fn branch_of(request: &Request) -> &str {
    core::str::from_utf8(request.via().unwrap().branch.unwrap()).unwrap()
}

/// RFC 6026 §7.1, RFC 3261 §16.7 step 5: an answered INVITE needs no context for the 2xx that come again.
#[test]
fn what_was_handed_over_names_its_server() {
    let mut world = World::new();
    let caller = request(&request_text("INVITE", "z9hG4bKi1", ""));
    let server = world.accept(&caller, Transport::Udp);
    let (client, invite) = world.send("INVITE", Transport::Udp);
    // Too early: nothing happens.
    world.layer.hand_over(client, server);
    assert_eq!(world.answer(&invite, 180), delivered(client));
    world.layer.cancel(world.now, client, &mut world.out);
    assert_eq!(world.answer(&invite, 200), delivered(client));
    world.layer.hand_over(client, server);
    assert_eq!(world.answer(&invite, 200), Received::Repeated { server });
    assert_eq!(world.answer(&invite, 180), Received::Absorbed);
    let cancel = request(&request_text("CANCEL", branch_of(&invite), ""));
    assert_eq!(world.answer(&cancel, 481), Received::Absorbed);
    world.respond(server, &caller, 200);
    world.run_until(32_000);
    assert_eq!(world.told(), [Happening::ServerGone { context: CONTEXT }]);
    world.assert_empty();
}
