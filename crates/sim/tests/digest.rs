//! RFC 3261 §22, RFC 7616, RFC 8760: who may call and register.

use sim::{ms, play, secs};

/// A call with 407, and a BYE that needs no password: its sealed Route proves that it belongs to the call.
#[test]
fn call() {
    play("digest/call", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "407 100 180 200 200");
    });
}

/// SHA-256 is offered first, MD5 second (RFC 8760 §2.4); a phone that knows only MD5 gets in too.
#[test]
fn md5_phone() {
    play("digest/md5_phone", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        alice.knows_only_md5();
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "407 100 486");
        let challenge = w.last("407 INVITE");
        let (sha, md5) = (challenge.find("SHA-256"), challenge.find("MD5"));
        assert!(sha.is_some() && sha < md5, "{challenge}");
    });
}

/// The wrong password: asked once more, and no call.
#[test]
fn wrong_password() {
    play("digest/wrong_password", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        alice.password("guess");
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "407 407");
        assert_eq!(bob.heard(), "");
    });
}

/// An unknown user sees the very same as a known one with a wrong password.
#[test]
fn unknown_user() {
    play("digest/unknown_user", |w| {
        let nobody = w.stranger("nobody");
        let bob = w.phone("bob");
        w.require_passwords();
        nobody.password("guess");
        nobody.invite("sip:bob@example.com").from_uri("sip:nobody@example.com");
        w.run();
        assert_eq!(nobody.heard(), "407 407");
        assert_eq!(bob.heard(), "");
    });
}

/// One account may not call in the name of another (§22, From of a served domain belongs to its user).
#[test]
fn borrowed_name() {
    play("digest/borrowed_name", |w| {
        let mallory = w.phone("mallory");
        let bob = w.phone("bob");
        w.phone("alice");
        w.require_passwords();
        mallory.invite("bob").from_uri("sip:alice@example.com");
        w.run();
        assert!(matches!(mallory.heard().as_str(), "407 403" | "407 407"), "{}", mallory.heard());
        assert_eq!(bob.heard(), "");
    });
}

/// The nonce is used again with nc=2, 3: no new challenge.
#[test]
fn nonce_counts() {
    play("digest/nonce_counts", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        for n in 0..3 {
            alice.request("MESSAGE", "bob").at(secs(n));
        }
        w.run();
        assert_eq!(alice.heard(), "407 200 200 200");
        assert_eq!(bob.heard(), "MESSAGE MESSAGE MESSAGE");
    });
}

/// After its lifetime the nonce is stale: a new one with `stale=true`, and the phone asks nobody for the password.
#[test]
fn stale() {
    play("digest/stale", |w| {
        let alice = w.phone("alice");
        w.phone("bob");
        w.require_passwords();
        w.configure(|c| c.auth.nonce_lifetime = secs(60));
        alice.request("MESSAGE", "bob");
        alice.request("MESSAGE", "bob").at(secs(100));
        w.run();
        assert_eq!(alice.heard(), "407 200 407 200");
        let wires = &w.trace.wires;
        let second = wires.iter().filter(|x| x.message.label() == "407 MESSAGE").nth(1);
        let text =
            second.map(|x| String::from_utf8_lossy(&x.bytes).into_owned()).unwrap_or_default();
        assert!(text.contains("stale=true"), "{text}");
    });
}

/// Somebody heard the credentials and uses them for a request of his own: refused.
#[test]
fn replay() {
    play("digest/replay", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let mallory = w.stranger("mallory");
        w.require_passwords();
        alice.request("MESSAGE", "bob");
        w.run_for(secs(1));
        let heard = w.trace.wires.iter().rev().find(|x| {
            x.message.method == "MESSAGE" && w.name(x.from) == "alice" && x.message.is_request()
        });
        let text =
            heard.map(|x| String::from_utf8_lossy(&x.bytes).into_owned()).unwrap_or_default();
        assert!(text.contains("Proxy-Authorization"));
        let stolen = text
            .replace("branch=z9hG4bK", "branch=z9hG4bKstolen")
            .replace("Call-ID: ", "Call-ID: stolen-")
            .replace("10.0.1.1", "10.0.1.3");
        mallory.send_raw_after(ms(10), &stolen);
        w.run();
        assert_eq!(bob.heard(), "MESSAGE");
        assert_eq!(w.sent("proxy", "MESSAGE"), 1);
    });
}

/// The very same request again, because its answer was lost: a retransmission, no replay.
#[test]
fn retransmitted_register() {
    play("digest/retransmitted_register", |w| {
        let bob = w.unregistered("bob");
        w.require_passwords();
        w.lose("proxy -> bob", "200 REGISTER", &[1, 2]);
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "401 200");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// The challenge itself is lost: the repeated request gets one too, and the phone answers one of them.
#[test]
fn lost_challenge() {
    play("digest/lost_challenge", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.require_passwords();
        w.lose("proxy -> alice", "407 INVITE", &[1]);
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "407 100 486");
    });
}

/// A registration for somebody else: 403 (§10.3 step 4).
#[test]
fn third_party_registration() {
    play("digest/third_party_registration", |w| {
        let mallory = w.phone("mallory");
        w.unregistered("alice");
        w.require_passwords();
        mallory.register().to_uri("sip:alice@example.com");
        w.run();
        assert_eq!(mallory.heard(), "401 403");
        assert!(w.bindings("alice").is_empty());
    });
}
