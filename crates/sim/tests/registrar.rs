//! RFC 3261 §10: the registrar.

use sim::{Store, ms, play, secs};

/// Refresh: the same contact again lives longer, and there is still one.
#[test]
fn refresh() {
    play("registrar/refresh", |w| {
        let bob = w.unregistered("bob");
        bob.register().expires(120);
        bob.register().expires(120).at(secs(100));
        w.run_for(secs(200));
        assert_eq!(bob.heard(), "200 200");
        assert_eq!(w.bindings("bob"), [bob.contact()]);
    });
}

/// A binding ends on time: at 119 s a call goes through, at 121 s nobody is there.
#[test]
fn expires_on_time() {
    play("registrar/expires_on_time", |w| {
        let alice = w.phone("alice");
        let bob = w.unregistered("bob");
        bob.register().expires(120);
        bob.busy();
        alice.invite("bob").at(secs(119));
        alice.invite("bob").at(secs(121));
        w.run();
        assert_eq!(alice.heard(), "100 486 480");
        assert!(w.bindings("bob").is_empty());
    });
}

/// Too short: 423 with Min-Expires (§10.3 step 7).
#[test]
fn too_brief() {
    play("registrar/too_brief", |w| {
        let bob = w.unregistered("bob");
        bob.register().expires(10);
        w.run();
        assert_eq!(bob.heard(), "423");
        assert!(w.last("423 REGISTER").contains("Min-Expires: 60"));
        assert!(w.bindings("bob").is_empty());
    });
}

/// Too long: granted, shortened to the maximum.
#[test]
fn too_long() {
    play("registrar/too_long", |w| {
        let bob = w.unregistered("bob");
        w.configure(|c| c.registrar.expires_max = secs(3600));
        bob.register().expires(999_999);
        w.run();
        assert_eq!(bob.heard(), "200");
        assert!(w.last("200 REGISTER").contains("expires=3600"), "{}", w.last("200 REGISTER"));
    });
}

/// Contacts with expiries of their own besides the header.
#[test]
fn mixed_expires() {
    play("registrar/mixed_expires", |w| {
        let bob = w.unregistered("bob");
        // They are not where the REGISTER comes from.
        w.configure(|c| c.nat.expires_max = secs(3600));
        bob.register()
            .contact("<sip:bob@10.0.7.1>;expires=100")
            .contact("<sip:bob@10.0.7.2>")
            .contact("<sip:bob@10.0.7.3>;expires=0")
            .expires(600);
        w.run_for(secs(150));
        assert_eq!(bob.heard(), "200");
        assert_eq!(w.bindings("bob"), ["sip:bob@10.0.7.2"]);
    });
}

/// Set two, remove one.
#[test]
fn remove_one() {
    play("registrar/remove_one", |w| {
        let bob = w.unregistered("bob");
        bob.register().contact("<sip:bob@10.0.7.1>").contact("<sip:bob@10.0.7.2>");
        bob.register().contact("<sip:bob@10.0.7.1>;expires=0").at(secs(1));
        w.run();
        assert_eq!(bob.heard(), "200 200");
        assert_eq!(w.bindings("bob"), ["sip:bob@10.0.7.2"]);
    });
}

/// Removing what is not there is no error.
#[test]
fn remove_nothing() {
    play("registrar/remove_nothing", |w| {
        let bob = w.unregistered("bob");
        bob.register().contact("<sip:bob@10.0.7.1>;expires=0");
        w.run();
        assert_eq!(bob.heard(), "200");
    });
}

/// `*` is only for removing everything: with another expiry it is 400 (§10.3 step 6).
#[test]
fn star_with_expiry() {
    play("registrar/star_with_expiry", |w| {
        let bob = w.phone("bob");
        bob.register().contact("*").expires(600);
        w.run();
        assert_eq!(bob.heard(), "400");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// `*` together with another contact: 400.
#[test]
fn star_with_company() {
    play("registrar/star_with_company", |w| {
        let bob = w.phone("bob");
        bob.register().contact("*").contact("<sip:bob@10.0.7.1>").expires(0);
        w.run();
        assert_eq!(bob.heard(), "400");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// An older CSeq of the same Call-ID changes nothing (§10.3 step 7).
#[test]
fn out_of_order() {
    play("registrar/out_of_order", |w| {
        let bob = w.unregistered("bob");
        bob.register().cseq(10);
        bob.register().cseq(9).expires(0).at(secs(1));
        w.run();
        assert_eq!(bob.heard(), "200 500");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// A phone that restarted has a new Call-ID and may begin with a low CSeq.
#[test]
fn new_call_id() {
    play("registrar/new_call_id", |w| {
        let bob = w.unregistered("bob");
        bob.register().cseq(10);
        bob.register().cseq(1).call_id("after-restart").at(secs(1));
        w.run();
        assert_eq!(bob.heard(), "200 200");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// Two REGISTERs swap places on the way: the later one counts.
#[test]
fn overtaken() {
    play("registrar/overtaken", |w| {
        let bob = w.unregistered("bob");
        w.delay("bob -> proxy", "REGISTER", &[1], ms(200));
        bob.register().contact("<sip:bob@10.0.7.1>");
        bob.register().contact("<sip:bob@10.0.7.1>;expires=0").at(ms(100));
        w.run();
        assert_eq!(bob.heard(), "200 200");
        // Nothing was registered when the second came: there was nothing to compare the first with.
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// The 200 is lost: the repeated REGISTER is answered the same.
#[test]
fn lost_200() {
    play("registrar/lost_200", |w| {
        let bob = w.unregistered("bob");
        w.lose("proxy -> bob", "200 REGISTER", &[1, 2, 3]);
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "200");
        assert_eq!(w.bindings("bob").len(), 1);
    });
}

/// A user we do not know cannot register: no password of his is right (§10.3 steps 3 to 5).
#[test]
fn unknown_user() {
    play("registrar/unknown_user", |w| {
        let nobody = w.stranger("nobody");
        w.require_passwords();
        nobody.password("guess");
        nobody.register().request_uri("sip:example.com").to_uri("sip:nobody@example.com");
        w.run();
        assert_eq!(nobody.heard(), "401 401");
        assert!(w.bindings("nobody").is_empty());
    });
}

/// No user in the To: 404 or 400, and nothing is stored.
#[test]
fn no_user_in_to() {
    play("registrar/no_user_in_to", |w| {
        let bob = w.phone("bob");
        bob.register().to_uri("sip:example.com");
        w.run();
        assert!(matches!(bob.heard().as_str(), "400" | "403" | "404"), "{}", bob.heard());
    });
}

/// A domain we do not serve.
#[test]
fn foreign_domain() {
    play("registrar/foreign_domain", |w| {
        let bob = w.phone("bob");
        bob.register().request_uri("sip:elsewhere.net").to_uri("sip:bob@elsewhere.net");
        w.run();
        assert!(matches!(bob.heard().as_str(), "403" | "404"), "{}", bob.heard());
    });
}

/// More contacts than a user may have.
#[test]
fn too_many_contacts() {
    play("registrar/too_many_contacts", |w| {
        let bob = w.unregistered("bob");
        w.allowed.push("contacts".to_owned());
        let mut plan = bob.register();
        for n in 1..12 {
            plan = plan.contact(&format!("<sip:bob@10.0.7.{n}>"));
        }
        drop(plan);
        w.run();
        assert!(
            matches!(bob.heard().as_str(), "403" | "400" | "503" | "500" | "413"),
            "{}",
            bob.heard()
        );
        assert!(w.bindings("bob").is_empty());
    });
}

/// An extension the registrar does not know: 420 (§10.3 step 2).
#[test]
fn unknown_extension() {
    play("registrar/unknown_extension", |w| {
        let bob = w.unregistered("bob");
        bob.register().header("Require: teleport");
        w.run();
        assert_eq!(bob.heard(), "420");
        assert!(w.bindings("bob").is_empty());
    });
}

/// A slow disk: the 200 waits for it, and the repeated REGISTERs do not write again.
#[test]
fn slow_store() {
    play("registrar/slow_store", |w| {
        let bob = w.unregistered("bob");
        w.store(Store { delay: secs(2), failure: 0 });
        bob.register();
        w.run();
        assert_eq!(bob.heard().split(' ').next(), Some("200"));
        assert_eq!(w.bindings("bob").len(), 1);
        assert!(
            w.trace
                .wires
                .iter()
                .all(|x| x.message.status == 0 || x.sent.since(sim::world::START) >= secs(2))
        );
    });
}

/// The disk is full: 503, and the binding is taken back.
#[test]
fn failing_store() {
    play("registrar/failing_store", |w| {
        let bob = w.unregistered("bob");
        w.store(Store { delay: ms(20), failure: 1000 });
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "503");
        assert!(w.bindings("bob").is_empty());
    });
}

/// The disk is full when a binding is removed: it is still there.
#[test]
fn failing_store_on_removal() {
    play("registrar/failing_store_on_removal", |w| {
        let bob = w.phone("bob");
        w.store(Store { delay: ms(20), failure: 1000 });
        bob.register().remove_all();
        w.run();
        assert_eq!(bob.heard(), "503");
        assert_eq!(w.bindings("bob"), [bob.contact()]);
    });
}
