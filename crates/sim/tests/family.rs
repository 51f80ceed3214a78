//! IPv4 and IPv6 phones of one domain: a Record-Route for each side (RFC 5658 §3, RFC 6157).

use sim::{ms, play, secs};

#[test]
fn ipv4_to_ipv6() {
    play("family/ipv4_to_ipv6", |w| {
        let alice = w.phone("alice");
        let bob = w.ipv6_phone("bob");
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

#[test]
fn ipv6_to_ipv4() {
    play("family/ipv6_to_ipv4", |w| {
        let alice = w.ipv6_phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "407 100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

#[test]
fn ipv6_only() {
    play("family/ipv6_only", |w| {
        let alice = w.ipv6_phone("alice");
        let bob = w.ipv6_phone("bob");
        w.lose("proxy -> bob", "INVITE", &[1]);
        alice.invite("bob").cancel_after(secs(3));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// The callee has a phone of each family.
#[test]
fn fork_to_both() {
    play("family/fork_to_both", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let six = w.ipv6_phone("six");
        w.bind("bob", &six.contact());
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50));
        six.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}
