//! RFC 3261 §16.3, §16.4, §16.6 and §16.12: which way a request goes, and when it goes no further.

use sim::{World, ms, play, secs};

/// Max-Forwards 0: 483 (§16.3 step 3).
#[test]
fn too_many_hops() {
    play("route/too_many_hops", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").max_forwards(0);
        w.run();
        assert_eq!(alice.heard(), "483");
        assert_eq!(bob.heard(), "");
    });
}

/// Max-Forwards 1 is enough for one proxy.
#[test]
fn last_hop() {
    play("route/last_hop", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").max_forwards(1);
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
    });
}

/// bob's only contact is bob himself at this very server: that is found out without sending anything (RFC 5393 §3).
#[test]
fn contact_of_its_own() {
    play("route/contact_of_its_own", |w| {
        let alice = w.phone("alice");
        w.unregistered("bob");
        w.bind("bob", "sip:bob@10.0.0.1:5060");
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "480");
        assert_eq!(w.sent("proxy", "INVITE"), 0);
    });
}

/// bob forwards to carol and carol to bob: the same.
#[test]
fn contacts_in_a_ring() {
    play("route/contacts_in_a_ring", |w| {
        let alice = w.phone("alice");
        w.unregistered("bob");
        w.unregistered("carol");
        w.bind("bob", "sip:carol@10.0.0.1:5060");
        w.bind("carol", "sip:bob@10.0.0.1:5060");
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "480");
        assert_eq!(w.sent("proxy", "INVITE"), 0);
    });
}

/// Two servers each of which believes that bob is at the other: the request comes back unchanged (§16.3 step 4).
#[test]
fn loop_of_two_servers() {
    play("route/loop_of_two_servers", |w| {
        let alice = w.phone("alice");
        w.add_server("proxy2", "biloxi.example.com");
        for server in 0..2 {
            w.configure_server(server, |c| c.allow_inbound = true);
            w.add_account(server, "bob");
        }
        w.bind_at(0, "bob", "sip:bob@10.0.0.2:5060");
        w.bind_at(1, "bob", "sip:bob@10.0.0.1:5060");
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "100 482");
        assert!(w.sent("proxy", "INVITE") <= 2, "{}", w.sent("proxy", "INVITE"));
    });
}

/// A spiral over two servers is no loop (§6): the request comes through the first one twice, for another user.
#[test]
fn spiral_of_two_servers() {
    play("route/spiral_of_two_servers", |w| {
        let alice = w.phone("alice");
        let carol = w.phone("carol");
        w.add_server("proxy2", "biloxi.example.com");
        for server in 0..2 {
            w.configure_server(server, |c| c.allow_inbound = true);
            w.add_account(server, "bob");
        }
        w.bind_at(0, "bob", "sip:bob@10.0.0.2:5060");
        w.bind_at(1, "bob", "sip:carol@10.0.0.1:5060");
        alice.invite("bob").hang_up_after(secs(2));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(carol.heard(), "INVITE ACK BYE");
    });
}

/// One of our users calls out, and the operator did not say that he may (`sip.allow_outbound`).
#[test]
fn no_outbound() {
    play("route/no_outbound", |w| {
        let alice = w.phone("alice");
        let friend = w.stranger("friend");
        w.configure(|c| c.allow_outbound = false);
        alice.invite(&format!("sip:friend@{}", friend.address()));
        w.run();
        assert_eq!(alice.heard(), "403");
        assert_eq!(friend.heard(), "");
    });
}

/// One of our users calls out, and may.
#[test]
fn outbound() {
    play("route/outbound", |w| {
        let alice = w.phone("alice");
        let friend = w.stranger("friend");
        w.require_passwords();
        alice.invite(&format!("sip:friend@{}", friend.address())).hang_up_after(secs(2));
        friend.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "407 100 180 200 200");
        assert_eq!(friend.heard(), "INVITE ACK BYE");
    });
}

/// A spiral is no loop (§6): bob's contact is carol at this very server, and the request comes through twice with
/// another Request-URI.
#[test]
fn spiral() {
    play("route/spiral", |w| {
        let alice = w.phone("alice");
        let carol = w.phone("carol");
        w.unregistered("bob");
        w.bind("bob", "sip:carol@10.0.0.1:5060");
        alice.invite("bob").hang_up_after(secs(2));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(carol.heard(), "INVITE ACK BYE");
    });
}

/// A spiral that is cancelled: the CANCEL goes round the same way.
#[test]
fn spiral_cancelled() {
    play("route/spiral_cancelled", |w| {
        let alice = w.phone("alice");
        let carol = w.phone("carol");
        w.unregistered("bob");
        w.bind("bob", "sip:carol@10.0.0.1:5060");
        alice.invite("bob").cancel_after(secs(2));
        carol.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(carol.heard(), "INVITE CANCEL ACK");
    });
}

/// The element before us is a strict router: our address in the Request-URI, the target at the end of Route (§16.4).
#[test]
fn strict_router_before_us() {
    play("route/strict_router_before_us", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").through_strict_router().hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// The element after us is a strict router (no `lr`): it finds itself in the Request-URI (§16.6 step 6).
#[test]
fn strict_router_behind_us() {
    play("route/strict_router_behind_us", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let old = w.phone("old");
        alice.invite("bob");
        bob.answer_after(ms(50)).record_route("<sip:10.0.1.3:5060>");
        w.run();
        // The old router is only a phone here: it hears the ACK, addressed to itself.
        assert!(old.heard().starts_with("ACK"), "{}", old.heard());
        let ack =
            w.trace.wires.iter().find(|x| x.to == Some(old_place(w)) && x.message.method == "ACK");
        let ack = ack.map(|x| x.message.clone()).unwrap_or_default();
        assert_eq!(ack.uri, "sip:10.0.1.3:5060");
        assert_eq!(ack.routes.last().map(String::as_str), Some("<sip:bob@10.0.1.2:5060>"));
    });
}

/// The same in the other direction: a strict router between us and the callee, whose BYE comes through it.
#[test]
fn strict_router_before_the_callee() {
    play("route/strict_router_before_the_callee", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.answer_after(ms(50)).through_strict_router().hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// UDP on one side and TCP on the other: each has a Record-Route it can reach, for requests of both (§16.7 step 8,
/// RFC 5658 §3).
#[test]
fn transports_both_ways() {
    play("route/transports_both_ways", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone("bob");
        alice.invite("bob").reinvite_after(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(1)).reinvite_after(secs(2)).hang_up_after(secs(4));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 100 200 INVITE ACK BYE");
        assert_eq!(bob.heard(), "INVITE ACK INVITE ACK 100 200 200");
    });
}

/// The same between the families.
#[test]
fn families_both_ways() {
    play("route/families_both_ways", |w| {
        let alice = w.ipv6_phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").reinvite_after(secs(1)).hang_up_after(secs(4));
        bob.ring_after(ms(50)).answer_after(secs(1)).reinvite_after(secs(2));
        w.run();
        assert_eq!(bob.heard(), "INVITE ACK INVITE ACK 100 200 BYE");
    });
}

/// RFC 3327: an edge proxy registered bob through itself. Calls to him go there, with the Path as Route; the Service-Route
/// of an answer is none of ours (RFC 3608 §5).
#[test]
fn path() {
    play("route/path", |w| {
        let alice = w.phone("alice");
        let edge = w.phone_of("edge", "bob", sip_core::flow::Transport::Udp, 0, false);
        let path = format!("<sip:{};lr>", edge.address());
        edge.register()
            .contact("<sip:bob@192.0.2.77:5060>")
            .header(&format!("Path: {path}"))
            .header("Supported: path");
        edge.register().at(secs(1)).contact("<sip:bob@192.0.2.77:5060>").header("Path: <sip:x>");
        w.run_for(secs(2));
        assert_eq!(edge.heard(), "200 420");
        assert!(w.trace.wires.iter().any(|x| {
            let text = String::from_utf8_lossy(&x.bytes);
            x.message.label() == "200 REGISTER" && text.contains(&format!("Path: {path}\r\n"))
        }));
        alice.invite("bob").hang_up_after(secs(1));
        edge.answer_after(ms(50)).header("Service-Route: <sip:edge.example.com;lr>");
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        let invite = w.trace.wires.iter().rev().find(|x| x.message.label() == "INVITE");
        let invite = invite.map(|x| x.message.clone()).unwrap_or_default();
        assert_eq!(invite.uri, "sip:bob@192.0.2.77:5060");
        assert_eq!(invite.routes, [path]);
        let answer = w.last("200 INVITE");
        assert!(answer.contains("Service-Route: <sip:edge.example.com;lr>\r\n"), "{answer}");
    });
}

fn old_place(w: &World) -> sim::network::PlaceId {
    w.trace
        .wires
        .iter()
        .filter_map(|x| x.to)
        .find(|p| w.name(*p) == "old")
        .expect("old heard nothing")
}

/// A foreign caller to a foreign callee: no open relay.
#[test]
fn no_relay() {
    play("route/no_relay", |w| {
        let mallory = w.stranger("mallory");
        let victim = w.stranger("victim");
        w.require_passwords();
        mallory.invite(&format!("sip:victim@{}", victim.address()));
        w.run();
        assert_eq!(mallory.heard(), "403");
        assert_eq!(victim.heard(), "");
    });
}

/// A foreign caller with a preloaded Route behind us: the same.
#[test]
fn no_relay_by_route() {
    play("route/no_relay_by_route", |w| {
        let mallory = w.stranger("mallory");
        let victim = w.stranger("victim");
        w.require_passwords();
        let behind = format!("<sip:{};lr>", victim.address());
        mallory.invite("sip:bob@example.com").route("<sip:10.0.0.1;lr>").route(&behind);
        w.run();
        assert!(!mallory.heard().contains("100"), "{}", mallory.heard());
        assert_eq!(victim.heard(), "");
    });
}

/// A To tag and an invented Route of ours do not make a request in-dialog: the seal is missing.
#[test]
fn forged_route() {
    play("route/forged_route", |w| {
        let mallory = w.stranger("mallory");
        let victim = w.stranger("victim");
        w.require_passwords();
        mallory
            .request("BYE", &format!("sip:victim@{}", victim.address()))
            .to_tag("guess")
            .route("<sip:10.0.0.1:5060;lr;rw=0011223344556677889900aabbccddee>");
        w.run();
        assert!(matches!(mallory.heard().as_str(), "403" | "481"), "{}", mallory.heard());
        assert_eq!(victim.heard(), "");
    });
}

/// Foreign callers may call our users only when the operator said so (`sip.allow_inbound`).
#[test]
fn inbound() {
    play("route/inbound", |w| {
        let mallory = w.stranger("mallory");
        let bob = w.phone("bob");
        w.configure(|c| c.allow_inbound = true);
        mallory.invite("sip:bob@example.com");
        bob.busy();
        w.run();
        assert_eq!(mallory.heard(), "100 486");
    });
}

/// Proxy-Require names something we do not do: 420 (§16.3 step 5).
#[test]
fn proxy_require() {
    play("route/proxy_require", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").header("Proxy-Require: teleport");
        w.run();
        assert_eq!(alice.heard(), "420");
        assert!(w.last("420 INVITE").contains("Unsupported: teleport"), "{}", w.last("420 INVITE"));
        assert_eq!(bob.heard(), "");
    });
}

/// A Request-URI scheme nobody speaks here: 416 (§16.3 step 2).
#[test]
fn unknown_scheme() {
    play("route/unknown_scheme", |w| {
        let alice = w.phone("alice");
        alice.request("OPTIONS", "mailto:bob@example.com").to_uri("sip:bob@example.com");
        w.run();
        assert_eq!(alice.heard(), "416");
    });
}

/// An escaped user part is the same user (§19.1.4).
#[test]
fn escaped_user() {
    play("route/escaped_user", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("sip:%62ob@EXAMPLE.com");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
    });
}
