//! Routes, sets of gateways and what happens when one of them fails: RFC 3261 §16.5, §16.6, §21.5.4, RFC 3325.

use std::sync::Arc;

use sim::world::START;
use sim::{Phone, World, ms, play, play_unseen, secs};
use sip_core::config::{Config, Network};
use sip_core::dispatcher::Dispatcher;
use sip_core::dispatcher::gateway::{Gateway, Probe, Statuses, Way};
use sip_core::dispatcher::health::Thresholds;
use sip_core::dispatcher::live::{Caps, Order};
use sip_core::dispatcher::number::{Pattern, Template};
use sip_core::dispatcher::route::{
    Action, Answer, CallerId, Gateways, Ring, Route, Source, When, Who, Whom,
};
use sip_core::dispatcher::set::{Algorithm, Failover, Set};
use sip_core::flow::{Flow, ListenerId};
use sip_core::locate::Place;
use sip_core::output::Event;
use sip_core::shared::Note;
use sip_core::time::Duration;
use sip_message::Uri;

const NAMES: [&str; 2] = ["carrier-a", "carrier-b"];

/// Two carriers, tried in this order, and the route `pstn` to them: our users, numbers that begin with `+`.
struct Pstn {
    gateways: Vec<Gateway>,
    algorithm: Algorithm,
    failover: Failover,
    caller_id: CallerId,
    number: (&'static str, Option<&'static str>),
    from: Vec<Who>,
    urgent: bool,
    /// Before and behind it.
    before: Vec<Route>,
    behind: Vec<Route>,
}

fn gateway(w: &World, name: &str, phone: &Phone) -> Gateway {
    let shared = &w.servers()[0].shared;
    Gateway {
        name: name.into(),
        host: phone.address().to_string().into(),
        way: Way::Flow(Flow::udp(ListenerId(0), phone.address())),
        weight: 1,
        priority: 0,
        caps: Caps::default(),
        call_max: secs(4 * 3600),
        sources: vec![phone.address().ip().into()],
        inbound: true,
        trusted: true,
        probe: None,
        line: 0,
        live: shared.gateways.live(name),
    }
}

fn route(name: &str, when: When, action: Action) -> Route {
    Route { name: name.into(), when, action, line: 0 }
}

/// alice, the carriers, and the configuration as `change` leaves it.
fn pstn(w: &mut World, change: impl FnOnce(&mut Pstn)) -> (Phone, [Phone; 2]) {
    let alice = w.phone("alice");
    let phones = NAMES.map(|name| w.stranger(name));
    let mut plan = Pstn {
        gateways: NAMES.iter().zip(&phones).map(|(name, phone)| gateway(w, name, phone)).collect(),
        algorithm: Algorithm::Priority,
        failover: Failover { on: Statuses::of(&["503", "408"]), silence: Some(secs(2)) },
        caller_id: CallerId::Keep,
        number: ("^\\+[0-9]+$", None),
        from: vec![Who::User],
        urgent: false,
        before: Vec::new(),
        behind: Vec::new(),
    };
    change(&mut plan);
    let gateways: Vec<Arc<Gateway>> = plan.gateways.into_iter().map(Arc::new).collect();
    let mut set = Set::new("pstn", plan.algorithm, gateways.clone());
    set.failover = plan.failover;
    let set = Arc::new(set);
    let action = Action::Gateways(Box::new(Gateways {
        set: Arc::clone(&set),
        number: plan.number.1.map(|template| Template::new(template).expect("a template")),
        caller_id: plan.caller_id,
        urgent: plan.urgent,
        failover: None,
    }));
    let numbers = vec![Pattern::new(plan.number.0).expect("a pattern")];
    let when = When { from: plan.from, numbers, ..When::default() };
    let mut routes = plan.before;
    routes.push(route("pstn", when, action));
    routes.extend(plan.behind);
    w.configure(|c| {
        c.allow_outbound = false;
        c.dispatcher = Arc::new(Dispatcher::new(gateways, vec![set], routes, 0));
    });
    (alice, phones)
}

fn order(w: &World, name: &str, order: Order) {
    let gateways = &w.servers()[0].shared.gateways;
    assert!(gateways.set_order(name, order, Note::default()));
}

fn calls_at(w: &World, name: &str) -> u32 {
    w.servers()[0].shared.gateways.live(name).calls()
}

fn line(text: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}: ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

const ABROAD: &str = "sip:+15551234@example.com";

/// The Request-URI names the gateway, the number is the caller's; the call is counted as long as it stands.
#[test]
fn call_through_a_gateway() {
    play("gateway/call", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(5));
        a.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(secs(3));
        assert!(w.last("INVITE").starts_with(&format!("INVITE sip:+15551234@{} ", a.address())));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (1, 0));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!((a.heard(), b.heard().as_str()), ("INVITE ACK BYE".into(), ""));
        assert_eq!(calls_at(w, "carrier-a"), 0);
    });
}

/// 503 from the first: the second is asked at once, and alice hears only of him.
#[test]
fn failover_on_503() {
    play("gateway/failover_on_503", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(3));
        a.reject_after(ms(20), 503);
        b.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(w.servers()[0].shared.gateways.live("carrier-a").failed(), 1);
    });
}

/// No word from the first for two seconds: the second is asked, and what the first may say later is cancelled.
#[test]
fn failover_on_silence() {
    play("gateway/failover_on_silence", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(3));
        a.silent();
        b.answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// A 100 is no silence: the first is waited for as long as a call may ring.
#[test]
fn a_word_is_enough() {
    play("gateway/a_word_is_enough", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(1));
        a.incoming().say_after(ms(10), 100).answer_after(secs(10));
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 200 200".into(), ""));
    });
}

/// Silence of the last one is waited out: he is not cancelled for nobody's sake.
#[test]
fn the_last_one_is_waited_for() {
    play("gateway/the_last_one_is_waited_for", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(1));
        a.reject_after(ms(20), 503);
        b.incoming().answer_after(secs(5));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!(b.heard(), "INVITE ACK BYE", "and no CANCEL");
    });
}

/// What the callee says is no failure of the gateway: 486 goes to alice, and nobody else is asked.
#[test]
fn busy_is_an_answer() {
    play("gateway/busy_is_an_answer", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.busy();
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 486".into(), ""));
    });
}

/// Who has let the phone ring is not replaced, whatever he says then.
#[test]
fn no_failover_after_ringing() {
    play("gateway/no_failover_after_ringing", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.ring_after(ms(20)).reject_after(secs(1), 503);
        w.run();
        assert_eq!((alice.heard(), b.heard().as_str()), ("100 180 500".into(), ""));
    });
}

/// Nobody is in service: 503 with a time, and nobody is asked.
#[test]
fn all_down() {
    play("gateway/all_down", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        order(w, "carrier-a", Order::Disabled);
        order(w, "carrier-b", Order::Draining);
        alice.invite(ABROAD);
        w.run();
        assert_eq!(alice.heard(), "503");
        assert_eq!(line(&w.last("503 INVITE"), "Retry-After"), ["10"]);
        assert_eq!(a.heard() + &b.heard(), "");
    });
}

/// Both fail: alice hears the better of the two, and never a 503 that is not ours.
#[test]
fn both_fail() {
    play("gateway/both_fail", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD);
        a.reject_after(ms(20), 503);
        b.reject_after(ms(20), 404);
        w.run();
        assert_eq!(alice.heard(), "100 404");
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// A gateway that is drained keeps its call and gets no other.
#[test]
fn drain() {
    play("gateway/drain", |w| {
        let (alice, [a, b]) = pstn(w, |_| {});
        alice.invite(ABROAD).hang_up_after(secs(20));
        alice.invite(ABROAD).at(secs(5)).hang_up_after(secs(3));
        a.answer_after(ms(100)).reinvite_after(secs(8));
        b.answer_after(ms(100));
        w.run_for(secs(4));
        order(w, "carrier-a", Order::Draining);
        w.run();
        assert_eq!(b.heard(), "INVITE ACK BYE");
        assert!(a.heard().ends_with("BYE"), "{}", a.heard());
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

/// Each call goes to who has the fewest that stand.
#[test]
fn least_calls() {
    play("gateway/least_calls", |w| {
        let (alice, [a, b]) = pstn(w, |p| p.algorithm = Algorithm::LeastCalls);
        for (at, lasts) in [(0, 60), (5, 60), (10, 2), (20, 60)] {
            alice.invite(ABROAD).at(secs(at)).hang_up_after(secs(lasts));
        }
        for phone in [&a, &b] {
            phone.answer_after(ms(100));
            phone.answer_after(ms(100));
        }
        w.run_for(secs(30));
        let (one, other) = (calls_at(w, "carrier-a"), calls_at(w, "carrier-b"));
        assert_eq!(one + other, 3);
        assert!(one.abs_diff(other) == 1, "{one} and {other}");
        w.run();
    });
}

/// Two calls in a second and one at a time: what is more goes to the other carrier, and then nowhere.
#[test]
fn caps() {
    let world = play_unseen("gateway/caps", 1, |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            p.gateways[0].caps = Caps { calls: 0, per_second: 2 };
            p.gateways[1].caps = Caps { calls: 1, per_second: 0 };
        });
        for n in 0..5 {
            alice.invite(ABROAD).at(ms(n * 10)).hang_up_after(secs(10));
        }
        alice.invite(ABROAD).at(secs(2)).hang_up_after(secs(1));
        for phone in [&a, &b] {
            for _ in 0..3 {
                phone.answer_after(ms(100));
            }
        }
        w.run();
        assert_eq!(a.heard().matches("INVITE").count(), 3, "two at once, and one later");
        assert_eq!(b.heard().matches("INVITE").count(), 1);
        assert_eq!(alice.heard().matches("503").count(), 2);
    });
    assert_eq!((calls_at(&world, "carrier-a"), calls_at(&world, "carrier-b")), (0, 0));
}

/// A BYE that never comes: the call is counted until its session timer has run out (RFC 4028 §10), else for `call_max`.
#[test]
fn a_call_without_its_bye() {
    play_unseen("gateway/no_bye", 1, |w| {
        w.allowed.push("calls: 1".to_owned());
        let (alice, [a, b]) = pstn(w, |p| p.gateways[1].call_max = secs(600));
        alice.invite(ABROAD);
        alice.invite(ABROAD).at(ms(10));
        a.answer_after(ms(100)).header("Session-Expires: 90;refresher=uac");
        a.reject_after(ms(1), 503);
        b.answer_after(ms(100));
        w.run_for(secs(100));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (1, 1));
        w.run_for(secs(30));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 1));
        w.run_for(secs(500));
        assert_eq!((calls_at(w, "carrier-a"), calls_at(w, "carrier-b")), (0, 0));
    });
}

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
            p.before.push(route("in", when, Action::Ring(Box::new(ring))));
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
                p.before.push(route("r", when, say(600 + at as u16)));
            }
            p.behind.push(route("rest", When::default(), say(484)));
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
            p.before.push(route("internal", when, Action::Ring(Box::new(ring))));
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

/// What the world was told of gateways, with seconds since its start.
fn changes(w: &World) -> Vec<String> {
    let told = w.servers()[0].events.iter().filter_map(|(at, event)| match event {
        Event::GatewayChanged { gateway, state, why } => {
            Some(format!("{} {gateway} {state}: {why}", at.since(START).as_secs()))
        }
        _ => None,
    });
    told.collect()
}

fn probe(every: u64) -> Probe {
    Probe {
        every: secs(every),
        timeout: secs(2),
        thresholds: Thresholds { down_after: 2, up_after: 3 },
        ok: Statuses::of(&["2xx", "404"]),
    }
}

/// Two questions without an answer: down, and asked less often; three good answers: up. Calls go where they can.
#[test]
fn probes() {
    play("gateway/probes", |w| {
        let (alice, [a, b]) = pstn(w, |p| {
            for gateway in &mut p.gateways {
                gateway.probe = Some(probe(5));
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
                gateway.probe = Some(probe(10));
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
        let (alice, [a, b]) = pstn(w, |p| p.gateways[0].probe = Some(probe(5)));
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
            let routes = vec![route("pstn", When::default(), action)];
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
        let (_, [a, _]) = pstn(w, |p| p.gateways[0].probe = Some(probe(5)));
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
            p.gateways[0].probe = Some(probe(5));
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
