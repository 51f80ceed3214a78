//! RFC 3261 §17.1.2 and §17.2.2: requests other than INVITE through the proxy, and to the proxy itself.

use sim::{ms, play, secs};

/// MESSAGE to a registered user.
#[test]
fn message() {
    play("non_invite/message", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
        assert_eq!(bob.heard(), "MESSAGE");
    });
}

/// An unknown method is proxied like any other (§16.1).
#[test]
fn unknown_method() {
    play("non_invite/unknown_method", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.answers_requests_with(501);
        alice.request("XYZZY", "bob");
        w.run();
        assert_eq!(alice.heard(), "501");
        assert_eq!(bob.heard(), "XYZZY");
    });
}

/// The 200 is lost on its last hop: the proxy answers the repetition itself.
#[test]
fn dropped_200() {
    play("non_invite/dropped_200", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.lose("proxy -> alice", "200 MESSAGE", &[1, 2]);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
        assert_eq!(bob.heard_all(), "MESSAGE");
    });
}

/// The callee is slow: the caller's repetitions are absorbed, the proxy's own go on by Timer E.
#[test]
fn slow_callee() {
    play("non_invite/slow_callee", |w| {
        let alice = w.phone("alice");
        w.phone("bob");
        w.delay("bob -> proxy", "200 MESSAGE", &[1], secs(5));
        w.lose("bob -> proxy", "200 MESSAGE", &[2, 3, 4, 5, 6]);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
    });
}

/// Nobody answers: eleven copies, and the caller hears its own Timer F, or a 408 (RFC 4320 would rather have silence).
#[test]
fn silent_callee() {
    play("non_invite/silent_callee", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.answers_requests_with(0);
        alice.request("MESSAGE", "bob");
        w.run();
        assert_eq!(w.sent("proxy", "MESSAGE"), 11);
        assert!(alice.heard().starts_with("timeout"), "{}", alice.heard());
    });
}

/// A storm of repetitions: the callee sees one.
#[test]
fn storm() {
    play("non_invite/storm", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let storm: Vec<_> = (1..20).map(|n| ms(n * 50 + 3)).collect();
        alice.request("MESSAGE", "bob").repeat(&storm);
        w.run();
        assert_eq!(bob.heard_all(), "MESSAGE");
    });
}

/// OPTIONS to the server itself (§11).
#[test]
fn options_to_the_server() {
    play("non_invite/options_to_the_server", |w| {
        let alice = w.phone("alice");
        alice.request("OPTIONS", "sip:10.0.0.1");
        w.run();
        assert_eq!(alice.heard(), "200");
        let answer = w.last("200 OPTIONS");
        assert!(answer.contains("Allow:"), "{answer}");
    });
}

/// OPTIONS to a user goes to the user.
#[test]
fn options_to_a_user() {
    play("non_invite/options_to_a_user", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.request("OPTIONS", "bob");
        w.run();
        assert_eq!(alice.heard(), "200");
        assert_eq!(bob.heard(), "OPTIONS");
    });
}

/// A BYE that belongs to no call and carries no Route of ours goes nowhere.
#[test]
fn bye_from_nowhere() {
    play("non_invite/bye_from_nowhere", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.request("BYE", "bob").to_tag("guess");
        w.run();
        assert!(matches!(alice.heard().as_str(), "403" | "481" | "400"), "{}", alice.heard());
        assert_eq!(bob.heard(), "");
    });
}

/// 100 to a non-INVITE slows the proxy's repetitions to T2 (§17.1.2.2).
#[test]
fn trying_slows_down() {
    play("non_invite/trying_slows_down", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        bob.answers_requests_with(100);
        alice.request("MESSAGE", "bob");
        w.run();
        assert!(w.sent("proxy", "MESSAGE") < 11, "{}", w.sent("proxy", "MESSAGE"));
    });
}
