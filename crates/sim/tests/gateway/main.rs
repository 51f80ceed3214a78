//! Routes, sets of gateways and what happens when one of them fails: RFC 3261 §16.5, §16.6, §21.5.4, RFC 3325.

mod account;
mod failover;
mod probe;
mod route;

use std::sync::Arc;

use sim::world::START;
use sim::{Phone, World, ms, play, play_unseen, secs};
use sip_core::config::{Config, Network};
use sip_core::dispatcher::Dispatcher;
use sip_core::dispatcher::account::{Account, Password};
use sip_core::dispatcher::gateway::{Gateway, Probe, Statuses, Way};
use sip_core::dispatcher::health::Thresholds;
use sip_core::dispatcher::live::{Caps, Order, Registered};
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
        account: None,
        line: 0,
        live: shared.gateways.live(name),
    }
}

fn one_route(name: &str, when: When, action: Action) -> Route {
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
    routes.push(one_route("pstn", when, action));
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

fn asking(every: u64) -> Probe {
    Probe {
        every: secs(every),
        timeout: secs(2),
        thresholds: Thresholds { down_after: 2, up_after: 3 },
        ok: Statuses::of(&["2xx", "404"]),
    }
}
