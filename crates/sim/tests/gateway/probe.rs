//! Gateways are asked whether they are there: RFC 3261 §11, RFC 3263.

use super::*;

/// Two questions without an answer: down, and asked less often; three good answers: up. Calls go where they can.
#[test]
fn probes() {
    play("gateway/probes", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            for gateway in &mut p.gateways {
                gateway.probe = Some(asking(5));
            }
        });
        w.tend();
        w.run_for(secs(6));
        assert_eq!((a.heard(), changes(w).len()), ("OPTIONS OPTIONS".into(), 0));
        a.dies_after(ms(0));
        w.run_for(secs(54));
        assert_eq!(changes(w), ["17 carrier-a down: no answer in 2 s"]);
        alice.invite(ABROAD).hang_up_after(secs(1));
        b.answer_after(ms(100));
        w.run_for(secs(5));
        assert_eq!(alice.heard(), "100 200 200");
        let before = a.heard();
        a.comes_back();
        w.run_for(secs(120));
        assert!(before.len() < a.heard().len());
        assert_eq!(changes(w)[1..], ["100 carrier-a up: it answers 200"]);
        w.reload(|c| c.dispatcher = Arc::default());
    });
}

/// A bad answer is as bad as none, and a 404 may be a good one.
#[test]
fn probes_and_their_answers() {
    play("gateway/probes_and_their_answers", |w| {
        let (_, [a, b]) = pstn(w, |p| {
            for gateway in &mut p.gateways {
                gateway.probe = Some(asking(10));
            }
        });
        a.answers_requests_with(500);
        b.answers_requests_with(404);
        w.tend();
        w.run_for(secs(15));
        assert_eq!(changes(w), ["10 carrier-a down: it answers 500"]);
        let live = |name: &str| w.servers()[0].shared.gateways.live(name);
        assert_eq!((live("carrier-a").word(), live("carrier-b").word()), ("down", "up"));
        w.reload(|c| c.dispatcher = Arc::default());
    });
}

/// A reload keeps what is known: who was down is down, and what was learnt on the way counts.
#[test]
fn state_outlives_a_reload() {
    play("gateway/state_outlives_a_reload", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.gateways[0].probe = Some(asking(5)));
        a.answers_requests_with(500);
        order(w, "carrier-b", Order::Draining);
        w.tend();
        w.run_for(secs(7));
        let same = |c: &mut Config| {
            let old = Arc::clone(&c.dispatcher);
            let gateways = old.gateways().to_vec();
            let set = Arc::new(Set::new("pstn", Algorithm::RoundRobin, gateways.clone()));
            let action = Action::Gateways(Box::new(Gateways {
                set: Arc::clone(&set),
                number: None,
                caller_id: CallerId::Keep,
                urgent: false,
                failover: None,
            }));
            let routes = vec![one_route("pstn", When::default(), action)];
            c.dispatcher = Arc::new(Dispatcher::new(gateways, vec![set], routes, 0));
        };
        w.reload(same);
        w.run_for(secs(1));
        alice.invite(ABROAD);
        w.run_for(secs(1));
        assert_eq!(alice.heard(), "503");
        a.answers_requests_with(200);
        w.run_for(secs(60));
        alice.invite(ABROAD);
        a.busy();
        w.run_for(secs(1));
        assert!(alice.heard().ends_with("486"), "{}", alice.heard());
        assert_eq!(b.heard(), "");
        w.reload(|c| c.dispatcher = Arc::default());
    });
}

/// A gateway that is taken out is not asked either.
#[test]
fn nobody_asks_a_gateway_that_is_disabled() {
    play("gateway/nobody_asks_a_gateway_that_is_disabled", |w| {
        let (_, [a, _]) = pstn(w, |p| p.gateways[0].probe = Some(asking(5)));
        order(w, "carrier-a", Order::Disabled);
        w.tend();
        w.run_for(secs(20));
        assert_eq!(a.heard(), "");
        order(w, "carrier-a", Order::Enabled);
        w.run_for(secs(6));
        assert_eq!(a.heard(), "OPTIONS");
        w.reload(|c| c.dispatcher = Arc::default());
    });
}

/// A gateway that is a name (RFC 3263): probed and called at its address; when its name leads nowhere, it is down, and the
/// other one has the calls.
#[test]
fn a_gateway_with_a_name() {
    play("gateway/a_gateway_with_a_name", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            let host = Uri::parse(b"sip:sip.carrier.example").expect("a URI");
            let Some(Place::Name(sought)) = Place::of(&host) else { panic!("a name") };
            p.gateways[0].host = "sip.carrier.example".into();
            p.gateways[0].way = Way::Name(Box::new(sought));
            p.gateways[0].probe = Some(asking(5));
        });
        w.dns.add("_sip._udp.sip.carrier.example SRV 1 0 5060 a.carrier.example");
        w.dns.add(&format!("a.carrier.example A {}", a.address().ip()));
        w.dns.delay = ms(20);
        w.tend();
        alice.invite(ABROAD).at(secs(1)).hang_up_after(secs(1));
        a.answer_after(ms(100));
        w.run_for(secs(4));
        assert!(w.last("INVITE").starts_with("INVITE sip:+15551234@sip.carrier.example SIP/2.0"));
        assert_eq!(
            (alice.heard(), a.heard()),
            ("100 200 200".into(), "OPTIONS INVITE ACK BYE".into())
        );
        a.dies_after(ms(0));
        w.run_for(secs(30));
        assert_eq!(changes(w)[0], "12 carrier-a down: no answer in 2 s");
        alice.invite(ABROAD);
        b.busy();
        w.run_for(secs(1));
        assert!(alice.heard().ends_with("486"), "{}", alice.heard());
        w.reload(|c| c.dispatcher = Arc::default());
    });
}
