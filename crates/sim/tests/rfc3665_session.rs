//! RFC 3665 §3: sessions. (§3.6 needs a redirect server.) Where the RFC's proxies find each other by DNS, the callee
//! is named by the second proxy's address.

use sim::{World, ms, play, secs};

/// alice at proxy1 (`example.com`), bob at proxy2 (`biloxi.example.com`), which lets foreign callers in.
fn two_proxies(w: &mut World) -> (sim::Phone, sim::Phone) {
    w.rename_server(0, "proxy1");
    w.add_server("proxy2", "biloxi.example.com");
    w.configure_server(1, |c| c.allow_inbound = true);
    (w.phone("alice"), w.phone_at(1, "bob"))
}

const BOB: &str = "sip:bob@10.0.0.2";

/// §3.1: successful session establishment.
#[test]
fn successful_session() {
    play("rfc3665_session/3_1_successful_session", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(3)).hang_up_after(secs(5));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// §3.2: session establishment through two proxies.
#[test]
fn two_proxies_session() {
    play("rfc3665_session/3_2_two_proxies", |w| {
        let (alice, bob) = two_proxies(w);
        w.require_passwords();
        alice.invite(BOB);
        bob.ring_after(ms(50)).answer_after(secs(3)).hang_up_after(secs(5));
        w.run();
        assert_eq!(alice.heard(), "407 100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// §3.3: session with multiple proxy authentication: each proxy has a realm of its own.
#[test]
fn multiple_proxy_authentication() {
    play("rfc3665_session/3_3_multiple_proxy_authentication", |w| {
        let (alice, bob) = two_proxies(w);
        w.require_passwords();
        w.add_account(1, "alice");
        // For proxy2 alice is one of its own, under another name of its domain.
        w.configure_server(1, |c| {
            c.auth.enabled = true;
            c.domains.aliases.push(("example.com".into(), 0));
        });
        alice.invite(BOB);
        bob.answer_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "407 100 407 100 200");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// §3.4: successful session with proxy failure: seven INVITEs to a dead proxy, then the other one.
#[test]
fn proxy_failure() {
    play("rfc3665_session/3_4_proxy_failure", |w| {
        w.rename_server(0, "proxy1");
        let first = w.servers()[0].address;
        let second = w.add_server("proxy2", "example.com");
        w.kill_server(0);
        w.configure_server(1, |c| c.auth.enabled = true);
        let alice = w.phone_at(1, "alice");
        let bob = w.phone_at(1, "bob");
        alice.invite("bob").via_proxies(&[first, second]);
        bob.ring_after(ms(50)).answer_after(secs(3)).hang_up_after(secs(5));
        w.run();
        assert_eq!(alice.heard(), "timeout 407 100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// §3.5: session through a SIP ALG: everything of the dialog passes the first proxy.
#[test]
fn through_an_alg() {
    play("rfc3665_session/3_5_through_an_alg", |w| {
        let (alice, bob) = two_proxies(w);
        w.rename_server(0, "alg");
        alice.invite(BOB).hang_up_after(secs(5));
        bob.ring_after(ms(50)).answer_after(secs(3));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
    });
}

/// §3.7: session with re-INVITE.
#[test]
fn reinvite() {
    play("rfc3665_session/3_7_reinvite", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(9));
        bob.ring_after(ms(50)).answer_after(secs(3)).reinvite_after(secs(4));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 INVITE ACK 200");
        assert_eq!(bob.heard(), "INVITE ACK 100 200 BYE");
    });
}

/// §3.8: unsuccessful, no answer: the caller gives up.
#[test]
fn no_answer() {
    play("rfc3665_session/3_8_no_answer", |w| {
        let (alice, bob) = two_proxies(w);
        alice.invite(BOB).cancel_after(secs(9));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// §3.9: unsuccessful, busy.
#[test]
fn busy() {
    play("rfc3665_session/3_9_busy", |w| {
        let (alice, bob) = two_proxies(w);
        alice.invite(BOB);
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}

/// §3.10: unsuccessful, no response from the user agent. (The RFC's proxy says 480 after six tries; §16.8 and
/// §17.1.1.2 make it 408 after seven.)
#[test]
fn no_response_from_user_agent() {
    play("rfc3665_session/3_10_no_response_from_user_agent", |w| {
        let (alice, bob) = two_proxies(w);
        alice.invite(BOB);
        bob.silent();
        w.run();
        assert_eq!(alice.heard(), "100 408");
        assert_eq!(w.sent("proxy2", "INVITE"), 7);
    });
}

/// §3.11: unsuccessful, temporarily unavailable.
#[test]
fn temporarily_unavailable() {
    play("rfc3665_session/3_11_temporarily_unavailable", |w| {
        let (alice, bob) = two_proxies(w);
        alice.invite(BOB);
        bob.ring_after(ms(50)).reject_after(secs(8), 480);
        w.run();
        assert_eq!(alice.heard(), "100 180 480");
        assert_eq!(bob.heard(), "INVITE ACK");
    });
}
