//! What we are to a provider: RFC 3261 §10.2, §22.3.

use super::*;

fn account(register: bool) -> Account {
    Account {
        user: "4930123".into(),
        domain: "provider.example".into(),
        realm: "provider.example".into(),
        password: Password("secret".into()),
        register: register.then(|| secs(600)),
    }
}

fn challenge(realm: &str) -> String {
    format!(
        "Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\""
    )
}

/// RFC 3261 §22.3: the provider asks who is calling, and we prove to be his customer; alice hears nothing of it.
#[test]
fn a_challenge_of_the_provider() {
    play("gateway/a_challenge_of_the_provider", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            p.gateways[0].account = Some(Arc::new(account(false)));
            p.caller_id = CallerId::User;
        });
        alice.invite(ABROAD).hang_up_after(secs(1));
        a.reject_after(ms(10), 407).header(&challenge("provider.example"));
        a.ring_after(ms(10)).answer_after(secs(1));
        w.run_for(secs(1));
        let sent = w.last("INVITE");
        let proof = line(&sent, "Proxy-Authorization");
        assert!(
            proof[0].starts_with("Digest username=\"4930123\", realm=\"provider.example\""),
            "{sent}"
        );
        assert!(proof[0].contains(&format!("uri=\"sip:+15551234@{}\"", a.address())), "{sent}");
        assert_eq!(line(&sent, "P-Asserted-Identity").len(), 1, "what else he is told stays");
        assert_eq!(calls_at(w, "carrier-a"), 1, "one call, and one seat");
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 180 200 200".into(), ""));
        assert_eq!(calls_at(w, "carrier-a"), 0);
    });
}

/// Who refuses our proof has failed, and another one is asked; alice is not asked for the provider's password.
#[test]
fn a_proof_that_is_refused() {
    play("gateway/a_proof_that_is_refused", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.gateways[0].account = Some(Arc::new(account(false))));
        alice.invite(ABROAD);
        for _ in 0..2 {
            a.reject_after(ms(10), 407).header(&challenge("provider.example"));
        }
        b.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(
            w.sent("proxy", "INVITE"),
            3,
            "once without, once with our proof, and once to the other"
        );
    });
}

/// S-20: nobody but the provider gets a proof: not for another realm, not another gateway, not inside a dialog, not a phone.
#[test]
fn digest_leak() {
    play("gateway/digest_leak", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.gateways[0].account = Some(Arc::new(account(false))));
        let ours = challenge("provider.example");
        // Somebody behind the provider, who wants a hash of the password to guess at.
        alice.invite(ABROAD);
        a.reject_after(ms(10), 407).header(&challenge("evil.example"));
        w.run();
        assert!(alice.heard().ends_with("407"), "the caller may know that realm");
        // Another gateway, which names the provider's realm.
        alice.invite(ABROAD);
        a.reject_after(ms(10), 503);
        b.reject_after(ms(10), 407).header(&ours);
        w.run();
        // A phone of ours.
        let bob = w.phone("bob");
        alice.invite("bob");
        bob.reject_after(ms(10), 407).header(&ours);
        w.run();
        // The callee of a call that stands: his re-INVITE and our BYE.
        alice.invite(ABROAD).hang_up_after(secs(2));
        a.answer_after(ms(10)).reinvite_after(secs(1));
        w.run();
        let leaked = w.trace.wires.iter().filter(|wire| {
            let text = String::from_utf8_lossy(&wire.bytes);
            text.contains("username=\"4930123\"")
        });
        assert_eq!(leaked.count(), 0, "no credentials have left");
    });
}

/// RFC 3261 §10.2: we register with the provider, prove who we are, and refresh; a call to our number comes in by that
/// registration, and after a reload without the account nothing is sent any more.
#[test]
fn registration_with_a_provider() {
    play("gateway/registration_with_a_provider", |w| {
        let provider = w.add_server("provider", "provider.example");
        w.configure_server(1, |c| c.auth.enabled = true);
        w.add_account(1, "4930123");
        let (alice, _) = pstn(w, |p| {
            let gateway = &mut p.gateways[0];
            gateway.host = provider.to_string().into();
            gateway.way = Way::Flow(Flow::udp(ListenerId(0), provider));
            gateway.sources = vec![provider.ip().into()];
            let password = Password("4930123".into());
            gateway.account = Some(Arc::new(Account { password, ..account(true) }));
        });
        w.servers()[0].shared.aliases.set("4930123@example.com", "alice@example.com");
        w.tend();
        w.run_for(secs(1));
        let registered = || w.servers()[0].shared.gateways.live("carrier-a").registered();
        assert_eq!(registered(), Registered::Yes);
        let bound = |w: &World| {
            let found = w.servers()[1].shared.location.lookup(w.now, "4930123@provider.example");
            found.map_or(0, |bindings| bindings.iter().count())
        };
        assert_eq!(bound(w), 1);
        w.run_for(secs(900));
        assert_eq!(bound(w), 1, "it is refreshed");
        assert_eq!(
            w.sent("proxy", "REGISTER"),
            4,
            "a challenge, an answer, and one more for each refresh"
        );
        let friend = w.phone_at(1, "friend");
        friend.invite("sip:4930123@provider.example").from_uri("sip:friend@provider.example");
        friend.password("friend");
        alice.busy();
        w.run_for(secs(2));
        assert!(friend.heard().ends_with("486"), "{}", friend.heard());
        w.reload(|c| c.dispatcher = Arc::default());
    });
}

/// A provider that is dead, or does not know us: tried again, later each time, and the operator is told.
#[test]
fn registration_that_fails() {
    play("gateway/registration_that_fails", |w| {
        let (_, [a, _]) = pstn(w, |p| p.gateways[0].account = Some(Arc::new(account(true))));
        a.answers_requests_with(403);
        w.tend();
        w.run_for(secs(100));
        assert_eq!(
            changes(w),
            [
                "0 carrier-a not registered: it answers 403",
                "30 carrier-a not registered: it answers 403",
                "90 carrier-a not registered: it answers 403"
            ]
        );
        a.answers_requests_with(200);
        w.run_for(secs(120));
        assert_eq!(changes(w)[3], "210 carrier-a registered: ");
        w.reload(|c| c.dispatcher = Arc::default());
    });
}
