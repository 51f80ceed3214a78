//! Server transactions: RFC 3261 §17.2, RFC 6026 §7.1, §8.5.

use super::*;

const GONE: Happening = Happening::ServerGone { context: CONTEXT };
const TIMEOUT: Happening = Happening::ServerTimeout { context: CONTEXT };

fn invite() -> Request {
    request(&request_text("INVITE", "z9hG4bKi1", ""))
}

fn ack() -> Request {
    request(&request_text("ACK", "z9hG4bKi1", ""))
}

#[test]
fn a_repeated_invite_gets_the_latest_provisional() {
    let mut world = World::new();
    let invite = invite();
    let server = world.accept(&invite, Transport::Udp);
    // Nothing to say yet.
    assert_eq!(world.receive(&invite, Transport::Udp), Matched::Retransmission);
    assert_eq!(world.sent(), [""; 0]);
    for status in [100, 180] {
        world.respond(server, &invite, status);
        assert_eq!(world.receive(&invite, Transport::Udp), Matched::Retransmission);
        assert_eq!(world.sent(), [status.to_string(), status.to_string()]);
    }
    assert_eq!(world.layer.server_context(server), Some(CONTEXT));
}

/// RFC 3261 §17.2.1: G doubles from T1 up to T2, H ends the wait for the ACK.
#[test]
fn a_failure_is_repeated_until_h_over_udp() {
    let mut world = World::new();
    let invite = invite();
    let server = world.accept(&invite, Transport::Udp);
    world.respond(server, &invite, 486);
    let times = [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(world.run_until(31_999), repeated("486", &times));
    world.run_until(32_000);
    assert_eq!(world.told(), [TIMEOUT, GONE]);
    world.assert_empty();
    assert_eq!(world.layer.server_context(server), None);
}

#[test]
fn a_failure_is_sent_once_over_tcp_and_again_when_asked() {
    let mut world = World::new();
    let invite = invite();
    let server = world.accept(&invite, Transport::Tcp);
    world.respond(server, &invite, 486);
    assert_eq!(world.run_until(20_000), repeated("486", &[0]));
    assert_eq!(world.receive(&invite, Transport::Tcp), Matched::Retransmission);
    assert_eq!(world.sent(), ["486"]);
    assert_eq!(world.receive(&ack(), Transport::Tcp), Matched::Ack);
    assert_eq!(world.told(), [GONE]);
    // Over TCP timer I is zero: the next ACK matches nothing and is the TU's to drop.
    assert_eq!(world.receive(&ack(), Transport::Tcp), Matched::AckForTwoXx);
    world.run_until(32_000);
    world.assert_empty();
}

/// RFC 3261 §17.2.1: the ACK stops G, its repetitions are absorbed until I.
#[test]
fn an_ack_ends_the_repetitions_and_i_lasts_t4() {
    let mut world = World::new();
    let invite = invite();
    let server = world.accept(&invite, Transport::Udp);
    world.respond(server, &invite, 404);
    assert_eq!(world.run_until(600), repeated("404", &[0, 500]));
    assert_eq!(world.receive(&ack(), Transport::Udp), Matched::Ack);
    assert_eq!(world.layer.live_len(), 0);
    assert_eq!(world.receive(&ack(), Transport::Udp), Matched::Ack);
    assert_eq!(world.receive(&invite, Transport::Udp), Matched::Retransmission);
    assert_eq!(world.run_until(5_599), []);
    assert_eq!(world.layer.len(), 1);
    world.run_until(5_600);
    assert_eq!(world.told(), [GONE]);
    // The stopped H lies behind nothing.
    world.assert_empty();
}

/// RFC 3261 §17.2.1: "Any other final responses passed by the TU [...] MUST be discarded".
#[test]
fn the_first_final_counts() {
    let mut world = World::new();
    let invite = invite();
    let server = world.accept(&invite, Transport::Udp);
    world.respond(server, &invite, 486);
    world.respond(server, &invite, 200);
    world.respond(server, &invite, 180);
    assert_eq!(world.sent(), ["486"]);
}

/// RFC 6026 §7.1: the INVITE is absorbed in silence, 2xx and their ACKs pass, L ends it, on every transport.
#[test]
fn accepted_absorbs_the_invite_and_lets_2xx_pass() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new();
        let invite = invite();
        let server = world.accept(&invite, transport);
        world.respond(server, &invite, 180);
        world.respond(server, &invite, 200);
        assert_eq!(world.layer.live_len(), 0);
        world.run_until(10_000);
        world.out.clear();
        assert_eq!(world.receive(&invite, transport), Matched::Retransmission);
        assert_eq!(world.sent(), [""; 0]);
        // A peer that wrongly gives the ACK of a 2xx the branch of its INVITE.
        assert_eq!(world.receive(&ack(), transport), Matched::AckForTwoXx);
        world.respond(server, &invite, 486);
        world.respond(server, &invite, 200);
        assert_eq!(world.out.transmits[0].flow, flow(transport, 1));
        assert_eq!(world.sent(), ["200"]);
        assert_eq!(world.run_until(31_999), []);
        assert_eq!(world.layer.len(), 1);
        world.run_until(32_000);
        assert_eq!(world.told(), [GONE]);
        world.assert_empty();
    }
}

#[test]
fn accepted_keeps_an_ipv6_flow() {
    let mut world = World::new();
    let invite = invite();
    let mut from = flow(Transport::Tcp, 1);
    from.remote = "[2001:db8::1]:5060".parse().unwrap();
    let Matched::New(key) = world.receive(&invite, Transport::Tcp) else { panic!("new") };
    let server = world.layer.accept(key, &invite, &from, CONTEXT).unwrap();
    world.respond(server, &invite, 200);
    world.respond(server, &invite, 200);
    assert!(world.out.transmits.iter().all(|transmit| transmit.flow == from));
    assert_eq!(world.sent(), ["200", "200"]);
}

/// RFC 3261 §17.2.2: silence, then the provisional, then the final, byte for byte as it was sent, until J.
#[test]
fn other_requests_are_answered_again_until_j() {
    let mut world = World::new();
    let bye = request(&request_text("BYE", "z9hG4bKb1", ""));
    let server = world.accept(&bye, Transport::Udp);
    assert_eq!(world.receive(&bye, Transport::Udp), Matched::Retransmission);
    assert_eq!(world.sent(), [""; 0]);
    world.respond(server, &bye, 100);
    assert_eq!(world.receive(&bye, Transport::Udp), Matched::Retransmission);
    assert_eq!(world.sent(), ["100", "100"]);
    world.respond(server, &bye, 200);
    world.respond(server, &bye, 500);
    assert_eq!(world.sent(), ["200"]);
    assert_eq!(world.layer.live_len(), 0);
    for time in [2_000, 6_000, 10_000, 31_000] {
        world.run_until(time);
        assert_eq!(world.receive(&bye, Transport::Udp), Matched::Retransmission);
        assert_eq!(world.sent(), ["200"]);
    }
    world.run_until(32_000);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
}

#[test]
fn over_tcp_j_is_zero() {
    let mut world = World::new();
    let bye = request(&request_text("BYE", "z9hG4bKb1", ""));
    let server = world.accept(&bye, Transport::Tcp);
    world.respond(server, &bye, 200);
    assert_eq!(world.sent(), ["200"]);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();
    assert!(matches!(world.receive(&bye, Transport::Tcp), Matched::New(_)));
}

/// The final response is rebuilt from the repeated request: whatever it was, it must come out the same.
#[test]
fn a_rebuilt_response_is_the_one_that_was_sent() {
    let in_dialog = request_text("BYE", "z9hG4bKb1", "")
        .replace("bob@example.com>\r\nCall", "bob@example.com>;tag=b1\r\nCall");
    let out_of_dialog = request_text("MESSAGE", "z9hG4bKm1", "");
    let compact = in_dialog.replace("Via:", "v:").replace("From:", "f :").replace("To:", "T:");
    let compact = compact.replace("Call-ID:", "i:").replace("CSeq:", "cseq:");
    let headers = "Contact: <sip:bob@192.0.2.9>\r\n\
                   Subject: one line\r\n  and its fold\r\n\
                   X-Empty:\r\n\
                   Server : spaced\r\n";
    for (text, status, headers, body) in [
        (&in_dialog, 200, "", ""),
        (&in_dialog, 200, headers, ""),
        (&in_dialog, 481, "", ""),
        (&out_of_dialog, 200, "", ""),
        (&compact, 200, headers, ""),
        (&out_of_dialog, 202, headers, "v=0\r\n\r\nnot a header: x\r\n"),
    ] {
        let mut world = World::new();
        let request = request(text);
        let server = world.accept(&request, Transport::Udp);
        let reason = if status == 200 { "OK" } else { "Ünlikely  Reason" };
        let mut wire = Vec::new();
        sip_message::write::response(
            &request,
            status,
            reason.as_bytes(),
            Some(b"b1"),
            headers.as_bytes(),
            body.as_bytes(),
            &mut wire,
        );
        let wire = Bytes::from(wire);
        world.layer.respond(world.now, server, status, wire.clone(), &mut world.out);
        assert_eq!(world.layer.live_len(), 0);
        assert_eq!(world.receive(&request, Transport::Udp), Matched::Retransmission);
        let sent = world.sent_whole();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], wire);
        assert_eq!(sent[1], wire, "{}", sent[1].escape_ascii());
    }
}

/// RFC 4320 §4.2: there are requests that end in silence.
#[test]
fn a_transaction_can_be_abandoned_before_its_final() {
    let mut world = World::new();
    let message = request(&request_text("MESSAGE", "z9hG4bKm1", ""));
    let server = world.accept(&message, Transport::Udp);
    world.layer.abandon(server);
    assert_eq!(world.told(), [GONE]);
    world.assert_empty();

    let server = world.accept(&message, Transport::Udp);
    world.respond(server, &message, 200);
    world.layer.abandon(server);
    assert_eq!(world.told(), []);
    assert_eq!(world.layer.len(), 1);
}
