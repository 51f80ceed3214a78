//! Which transaction a request belongs to: RFC 3261 §17.2.3, §9.2.

use super::*;

fn from_2543(method: &str, via: &str, to: &str, cseq: u32) -> Request {
    request(&format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {via}\r\n\
         From: <sip:alice@example.com>;tag=a1\r\n\
         To: <sip:bob@example.com>{to}\r\n\
         Call-ID: one@example.com\r\n\
         CSeq: {cseq} {method}\r\n\
         Content-Length: 0\r\n\r\n"
    ))
}

#[test]
fn branch_sent_by_and_method_make_the_key() {
    let mut world = World::new();
    let invite = request(&request_text("INVITE", "z9hG4bKi1", ""));
    world.accept(&invite, Transport::Udp);
    assert_eq!(world.receive(&invite, Transport::Udp), Matched::Retransmission);
    let text = request_text("INVITE", "z9hG4bKi1", "");
    // The same sent-by in other letters, and the port that goes without saying.
    let same = request(&text.replace("proxy.example:5060", "PROXY.example"));
    assert_eq!(world.receive(&same, Transport::Udp), Matched::Retransmission);
    for other in [
        text.replace("proxy.example:5060", "proxy.example:5070"),
        text.replace("proxy.example", "proxy2.example"),
        text.replace("z9hG4bKi1", "z9hG4bKI1"),
        request_text("OPTIONS", "z9hG4bKi1", ""),
    ] {
        assert!(
            matches!(world.receive(&request(&other), Transport::Udp), Matched::New(_)),
            "{other}"
        );
    }
}

#[test]
fn ipv6_sent_by_is_compared_as_an_address() {
    let mut world = World::new();
    let text = request_text("INVITE", "z9hG4bKi1", "");
    let invite = request(&text.replace("proxy.example", "[2001:db8::1]"));
    world.accept(&invite, Transport::Udp);
    let same = request(&text.replace("proxy.example", "[2001:DB8:0::1]"));
    assert_eq!(world.receive(&same, Transport::Udp), Matched::Retransmission);
}

/// RFC 3261 §9.2: "as if its method were that of the request it cancels".
#[test]
fn a_cancel_finds_its_invite_and_nothing_else() {
    let mut world = World::new();
    let invite = request(&request_text("INVITE", "z9hG4bKi1", ""));
    let server = world.accept(&invite, Transport::Udp);
    let cancel = request(&request_text("CANCEL", "z9hG4bKi1", ""));
    let found = Matched::Cancel { server, context: CONTEXT };
    assert_eq!(world.receive(&cancel, Transport::Udp), found);
    assert_eq!(world.receive(&cancel, Transport::Udp), found);
    world.respond(server, &invite, 487);
    assert_eq!(world.receive(&cancel, Transport::Udp), found);
    let other = request(&request_text("CANCEL", "z9hG4bKi2", ""));
    assert_eq!(world.receive(&other, Transport::Udp), Matched::CancelUnmatched);

    let bye = request(&request_text("BYE", "z9hG4bKb1", ""));
    world.accept(&bye, Transport::Udp);
    let cancel = request(&request_text("CANCEL", "z9hG4bKb1", ""));
    assert_eq!(world.receive(&cancel, Transport::Udp), Matched::CancelUnmatched);
}

#[test]
fn an_ack_that_nothing_waits_for_is_for_a_2xx() {
    let mut world = World::new();
    let invite = request(&request_text("INVITE", "z9hG4bKi1", ""));
    let server = world.accept(&invite, Transport::Udp);
    world.respond(server, &invite, 486);
    let ack = request(&request_text("ACK", "z9hG4bKother", ""));
    assert_eq!(world.receive(&ack, Transport::Udp), Matched::AckForTwoXx);
}

/// RFC 3261 §17.2.3, the second half: no branch, an old branch, or the bare cookie.
#[test]
fn rfc_2543_peers_are_matched_by_their_headers() {
    for branch in ["", ";branch=1", ";branch=z9hG4bK"] {
        let via = &format!("192.0.2.1{branch}");
        let mut world = World::new();
        let invite = from_2543("INVITE", via, "", 1);
        let server = world.accept(&invite, Transport::Udp);
        assert_eq!(world.receive(&invite, Transport::Udp), Matched::Retransmission);
        let cancel = from_2543("CANCEL", via, "", 1);
        let found = Matched::Cancel { server, context: CONTEXT };
        assert_eq!(world.receive(&cancel, Transport::Udp), found);
        for other in [
            from_2543("INVITE", via, "", 2),
            from_2543("INVITE", "192.0.2.7;branch=1", "", 1),
            from_2543("OPTIONS", via, "", 1),
        ] {
            assert!(matches!(world.receive(&other, Transport::Udp), Matched::New(_)));
        }
        world.respond(server, &invite, 486);
        // The ACK must carry the tag of our response, "b1".
        let ack = from_2543("ACK", via, ";tag=b2", 1);
        assert_eq!(world.receive(&ack, Transport::Udp), Matched::AckForTwoXx);
        for _ in 0..2 {
            let ack = from_2543("ACK", via, ";tag=b1", 1);
            assert_eq!(world.receive(&ack, Transport::Udp), Matched::Ack);
        }
    }
}

#[test]
fn two_bare_cookies_are_two_transactions() {
    let mut world = World::new();
    let first = from_2543("OPTIONS", "192.0.2.1;branch=z9hG4bK", "", 1);
    world.accept(&first, Transport::Udp);
    let second = from_2543("OPTIONS", "192.0.2.1;branch=z9hG4bK", "", 2);
    assert!(matches!(world.receive(&second, Transport::Udp), Matched::New(_)));
    let in_dialog = from_2543("OPTIONS", "192.0.2.1;branch=z9hG4bK", ";tag=b1", 1);
    assert!(matches!(world.receive(&in_dialog, Transport::Udp), Matched::New(_)));
    assert_eq!(world.receive(&first, Transport::Udp), Matched::Retransmission);
}

#[test]
fn without_a_readable_via_there_is_no_key() {
    let mut world = World::new();
    let text = request_text("OPTIONS", "z9hG4bKo1", "").replace("SIP/2.0/UDP proxy", "SIP proxy");
    assert!(matches!(world.receive(&request(&text), Transport::Udp), Matched::Unreadable(_)));
}
