//! Another configuration while calls run: what was begun goes on, what begins finds the new one.

use sim::{ms, play, secs};

/// The call has its sealed route; who calls now is a stranger here.
#[test]
fn a_domain_goes_while_a_call_stands() {
    play("reload/a_domain_goes_while_a_call_stands", |w| {
        let (alice, bob, carol) = (w.phone("alice"), w.phone("bob"), w.phone("carol"));
        alice.invite("bob").hang_up_after(secs(5));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(secs(3));
        w.reload(|c| c.domains.served = vec!["example.net".into()]);
        carol.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK BYE");
        assert_eq!(carol.heard(), "403");
    });
}

/// And comes back, before the bindings of its users have ended.
#[test]
fn a_domain_comes_back() {
    play("reload/a_domain_comes_back", |w| {
        let (alice, bob) = (w.phone("alice"), w.phone("bob"));
        w.reload(|c| c.domains.served = vec!["example.net".into()]);
        w.run_for(secs(1));
        w.reload(|c| c.domains.served = vec!["example.com".into(), "example.net".into()]);
        alice.invite("bob");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
    });
}

/// Between two attempts: the second device is tried as planned, though its user could not be called any more.
#[test]
fn a_call_that_rings_goes_on() {
    play("reload/a_call_that_rings_goes_on", |w| {
        let alice = w.phone("alice");
        let desk = w.device_with_q("bob", "desk", 1000);
        let mobile = w.device_with_q("bob", "mobile", 500);
        w.configure(|c| c.forking.timeout = secs(4));
        alice.invite("bob").hang_up_after(secs(9));
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(secs(2));
        w.reload(|c| {
            c.domains.served = vec!["example.net".into()];
            c.forking.timeout = secs(60);
        });
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK");
        assert_eq!(mobile.heard(), "INVITE ACK BYE");
    });
}

/// A challenge from before is good after (RFC 7616 §3.3: the nonce is the server's to judge).
#[test]
fn a_challenge_outlives_it() {
    play("reload/a_challenge_outlives_it", |w| {
        let (alice, bob) = (w.phone("alice"), w.phone("bob"));
        w.require_passwords();
        w.delay("proxy -> alice", "407 INVITE", &[1], ms(300));
        alice.invite("bob");
        bob.busy();
        w.run_for(ms(100));
        w.reload(|c| c.registrar.contacts_per_user = 3);
        w.run();
        assert_eq!(alice.heard(), "407 100 486");
    });
}

/// Strangers may call now; who was refused before tries again.
#[test]
fn what_begins_finds_the_new_one() {
    play("reload/what_begins_finds_the_new_one", |w| {
        let bob = w.phone("bob");
        let friend = w.stranger("friend");
        w.configure(|c| c.allow_inbound = false);
        friend.invite("sip:bob@example.com");
        bob.busy();
        w.run_for(secs(1));
        assert_eq!(friend.heard(), "403");
        w.reload(|c| c.allow_inbound = true);
        friend.invite("sip:bob@example.com");
        w.run();
        assert_eq!(friend.heard(), "403 100 486");
    });
}
