//! Which route is taken, and what gateways and users are told of each other: RFC 3325.

use super::*;

/// RFC 3325 §5, §6: to a trusted gateway the caller is asserted, as we know him; to another nothing is said, and what
/// the phone has asserted itself never leaves.
#[test]
fn asserted_identity() {
    play("gateway/asserted_identity", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            p.caller_id = CallerId::User;
            p.gateways[1].trusted = false;
        });
        let call = || alice.invite(ABROAD).header("P-Asserted-Identity: <sip:king@example.com>");
        call().header("Privacy: id");
        a.busy();
        w.run();
        let sent = w.last("INVITE");
        assert_eq!(line(&sent, "P-Asserted-Identity"), ["<sip:alice@example.com>"]);
        assert_eq!(line(&sent, "Privacy"), ["id"], "the trusted gateway honours it");
        call();
        a.reject_after(ms(1), 503);
        b.busy();
        w.run();
        assert_eq!(line(&w.last("INVITE"), "P-Asserted-Identity"), [""; 0]);
    });
}

/// RFC 3325 §7: what a trusted gateway asserts reaches our user, unless the caller wants it kept; what a stranger asserts
/// never does.
#[test]
fn identity_of_a_call_that_comes_in() {
    play("gateway/identity_of_a_call_that_comes_in", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.gateways[1].trusted = false);
        w.configure(|c| c.auth.enabled = true);
        let pai = "P-Asserted-Identity: \"Carol\" <sip:+4930999@a.example>";
        for (carrier, privacy, seen) in [(&a, false, 1), (&a, true, 0), (&b, false, 0)] {
            let call = carrier.invite("sip:alice@example.com").header(pai);
            if privacy {
                call.header("Privacy: id");
            }
            alice.busy();
            w.run();
            assert!(carrier.heard().ends_with("486"), "{}", carrier.heard());
            assert_eq!(line(&w.last("INVITE"), "P-Asserted-Identity").len(), seen);
        }
    });
}

/// A number of a user is another name of his: the carrier calls it, and another gets what `otherwise` says.
#[test]
fn alias() {
    play("gateway/alias", |w| {
        let (alice, [a, _]) = pstn(w, |p| {
            let ring = Ring { otherwise: Some(404), ..Ring::default() };
            let when = When { from: vec![Who::ThisGateway("carrier-a".into())], ..When::default() };
            p.before.push(one_route("in", when, Action::Ring(Box::new(ring))));
        });
        w.servers()[0].shared.aliases.set("+4930123@example.com", "alice@example.com");
        alice.busy();
        a.invite("sip:+4930123@example.com");
        w.run();
        a.invite("sip:+4930124@example.com");
        w.run();
        assert_eq!(a.heard(), "100 486 404");
    });
}

/// No route is for strangers unless it says so; a gateway that is disabled is one.
#[test]
fn strangers() {
    play("gateway/strangers", |w| {
        let (_, [a, b]) = pstn(w, |p| {
            p.from = Vec::new();
            p.gateways[1].inbound = false;
        });
        let mallory = w.stranger("mallory");
        order(w, "carrier-a", Order::Disabled);
        for phone in [&mallory, &a, &b] {
            phone.invite(ABROAD);
            w.run();
            assert_eq!(phone.heard(), "403", "{}", phone.name());
        }
        order(w, "carrier-a", Order::Enabled);
        a.invite(ABROAD);
        a.busy();
        w.run();
        assert!(a.heard().contains("486"), "a gateway is no stranger: {}", a.heard());
    });
}

/// The first route that fits is taken: by number, header, source, and the rest of what a route can ask.
#[test]
fn first_match() {
    play("gateway/first_match", |w| {
        let say = |status: u16| {
            Action::Answer(Box::new(Answer { status, reason: "As The Route Says".into() }))
        };
        let (alice, [a, _]) = pstn(w, |p| {
            let number = |text: &str| vec![Pattern::new(text).unwrap()];
            let ten: Network = "10.0.0.0/8".parse().unwrap();
            let whens = [
                When { numbers: number("0190.*"), ..When::default() },
                When {
                    methods: vec!["MESSAGE".into()],
                    sources: vec![Source::Network(ten)],
                    ..When::default()
                },
                When {
                    headers: vec![("Subject".into(), Pattern::new("(?i)urgent").unwrap())],
                    ..When::default()
                },
                When { domains: vec!["example.net".into()], ..When::default() },
                When { to: vec![Whom::Gateway], ..When::default() },
            ];
            for (at, when) in whens.into_iter().enumerate() {
                p.before.push(one_route("r", when, say(600 + at as u16)));
            }
            p.behind.push(one_route("rest", When::default(), say(484)));
        });
        w.configure(|c| c.domains.served.push("example.net".into()));
        let hear = |w: &mut World, wanted: &str| {
            w.run();
            assert!(alice.heard().ends_with(wanted), "{} not {wanted}", alice.heard());
        };
        alice.invite("sip:0190666@example.com");
        hear(w, "600");
        alice.request("MESSAGE", "sip:1@example.com");
        hear(w, "601");
        alice.invite("sip:1@example.com").header("Subject: very urgent");
        hear(w, "602");
        alice.invite("sip:1@example.net");
        hear(w, "603");
        alice.invite(&format!("sip:1@{}", a.address()));
        hear(w, "604");
        alice.invite("sip:1@example.com");
        hear(w, "484");
        alice.invite(ABROAD);
        a.busy();
        hear(w, "486");
    });
}

/// A number is rewritten; an emergency is said to be one, and finds room where there is none.
#[test]
fn number_and_emergency() {
    play("gateway/number_and_emergency", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            p.number = ("^0(.*)$", Some("+49$1"));
            p.urgent = true;
            p.gateways[0].caps = Caps { calls: 1, per_second: 0 };
        });
        order(w, "carrier-b", Order::Disabled);
        for _ in 0..2 {
            alice.invite("sip:030123@example.com").hang_up_after(secs(1));
            a.answer_after(ms(1));
        }
        w.run();
        let sent = w.last("INVITE");
        assert!(sent.starts_with(&format!("INVITE sip:+4930123@{} ", a.address())), "{sent}");
        assert_eq!(line(&sent, "Priority"), ["emergency"]);
        assert_eq!((a.heard().matches("INVITE").count(), b.heard().as_str()), (2, ""));
    });
}

/// A route rings the user for a time, then somebody else is called; the user's own wish would go before it.
#[test]
fn ring_and_no_answer() {
    play("gateway/ring_and_no_answer", |w| {
        let (_, [a, _]) = pstn(w, |p| {
            let ring = Ring {
                timeout: Some(Duration::from_secs(5)),
                on_no_answer: Some("sip:desk@example.com".into()),
                ..Ring::default()
            };
            let when = When { to: vec![Whom::User], ..When::default() };
            p.before.push(one_route("internal", when, Action::Ring(Box::new(ring))));
        });
        let bob = w.phone("bob");
        let desk = w.phone("desk");
        a.invite("sip:bob@example.com").hang_up_after(secs(1));
        bob.ring_after(ms(50));
        desk.answer_after(ms(100));
        w.run();
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert_eq!(a.heard(), "100 180 200 200");
        assert_eq!(line(&w.last("INVITE"), "Diversion").len(), 1);
    });
}
