//! Gateways, sets and routes as the core knows them: each gateway by the listener that reaches it, each user by the name
//! of his domain. What is known of a gateway from before stays known.

use std::sync::Arc;

use sip_core::config::{Config, Network};
use sip_core::dispatcher::gateway::Way;
use sip_core::dispatcher::hash::{HashedSet, Member};
use sip_core::dispatcher::route::{Action, Gateways, Ring, Route, Source, When, Who, Whom};
use sip_core::dispatcher::set::Set;
use sip_core::dispatcher::{self, Dispatcher};
use sip_core::locate::{Destination, Place};
use sip_core::shared::Shared;
use sip_core::stateless;

use store::{GatewayRow, GatewayState, Store, StoreError};

use super::StartError;
use crate::config::route::Action as Written;
use crate::config::{Balance, Dispatch, gateway, route};

type Gateway = dispatcher::gateway::Gateway;

/// Puts them into the core's configuration.
pub fn configure(
    written: &Dispatch,
    config: &mut Config,
    shared: &Shared,
) -> Result<(), StartError> {
    let dispatcher = dispatcher(written, config, shared)?;
    config.limits.peers = peers(&dispatcher);
    config.dispatcher = Arc::new(dispatcher);
    Ok(())
}

fn dispatcher(
    written: &Dispatch,
    config: &Config,
    shared: &Shared,
) -> Result<Dispatcher, StartError> {
    let mut gateways: Vec<Arc<Gateway>> = Vec::new();
    for gateway in &written.gateways {
        gateways.push(Arc::new(one(written, gateway, config, shared)?));
    }
    let of = |name: &str| {
        let members = written.members(name).map(|gateway| &*gateway.name);
        let members: Vec<&str> = members.collect();
        gateways.iter().filter(|g| members.contains(&&*g.name)).cloned().collect()
    };
    let sets: Vec<Arc<Set>> = written
        .sets
        .iter()
        .map(|set| {
            let mut made = Set::new(&set.name, set.algorithm, of(&set.name));
            made.failover = set.failover.clone();
            made.all_down = set.all_down;
            made.line = set.line;
            Arc::new(made)
        })
        .collect();
    let routes = written.routes.iter().filter_map(|route| one_route(route, &sets, config));
    let routes: Vec<Route> = routes.collect();
    let names: Vec<&str> = written.gateways.iter().map(|gateway| &*gateway.name).collect();
    shared.gateways.retain(&names);
    Ok(Dispatcher::new(gateways, sets, routes, written.utc_offset))
}

fn one(
    written: &Dispatch,
    gateway: &gateway::Gateway,
    config: &Config,
    shared: &Shared,
) -> Result<Gateway, StartError> {
    let way = match &gateway.place {
        Place::Address(Destination { transport, address }) => {
            let flow = config.flow_to(*transport, *address);
            Way::Flow(flow.ok_or_else(|| StartError::Unreachable {
                gateway: gateway.name.clone(),
                transport: *transport,
            })?)
        }
        Place::Name(sought) => Way::Name(Box::new(sought.clone())),
    };
    Ok(Gateway {
        name: gateway.name.as_str().into(),
        host: gateway.host.as_str().into(),
        way,
        weight: gateway.weight,
        priority: gateway.priority,
        caps: gateway.caps,
        call_max: gateway.call_max,
        sources: gateway.sources.clone(),
        inbound: gateway.inbound,
        trusted: gateway.trusted,
        probe: written.set(&gateway.set).and_then(|set| set.probe.clone()),
        account: gateway.account.clone().map(Arc::new),
        line: gateway.line,
        live: shared.gateways.live(&gateway.name),
    })
}

/// What was known of the gateways at the end of the last run, and the table as the configuration now has it.
pub async fn recall(
    store: &mut Store,
    dispatcher: &Dispatcher,
    shared: &Shared,
) -> Result<(), StoreError> {
    for (name, state) in store.gateway_states().await? {
        let Some(gateway) = dispatcher.gateway(&name) else { continue };
        let GatewayState { health, health_note, order, order_note } = state;
        shared.gateways.set_order(&name, order, order_note);
        if gateway.probe.is_some() {
            shared.gateways.set_health(&name, health, health_note);
        }
    }
    store.set_gateways(&rows(dispatcher, shared)).await
}

/// Where gateways send from: they are not limited as strangers are.
fn peers(dispatcher: &Dispatcher) -> Vec<Network> {
    let of = |gateway: &Arc<Gateway>| {
        let own = gateway.address().filter(|_| gateway.sources.is_empty());
        let own = own.map(|own| own.ip().into());
        gateway.sources.iter().copied().chain(own).collect::<Vec<_>>()
    };
    dispatcher.gateways().iter().flat_map(of).collect()
}

/// All of them as the store keeps them.
pub fn rows(dispatcher: &Dispatcher, shared: &Shared) -> Vec<GatewayRow> {
    let gateways = dispatcher.gateways().iter();
    gateways.filter_map(|gateway| row(gateway, dispatcher, shared)).collect()
}

/// A gateway as the store keeps it.
pub fn row(gateway: &Gateway, dispatcher: &Dispatcher, shared: &Shared) -> Option<GatewayRow> {
    let (health_note, order_note) = shared.gateways.notes(&gateway.name)?;
    let is_in = |set: &Arc<Set>| set.members().any(|member| member.name == gateway.name);
    let set = dispatcher.sets().iter().position(is_in)? + 1;
    Some(GatewayRow {
        name: gateway.name.to_string(),
        set: i64::try_from(set).unwrap_or(0),
        uri: format!("sip:{}", gateway.host),
        priority: gateway.priority,
        weight: gateway.weight,
        is_probed: gateway.probe.is_some(),
        state: GatewayState {
            health: gateway.live.health(),
            health_note,
            order: gateway.live.order(),
            order_note,
        },
    })
}

/// Only a configuration with mistakes names a set that is not there.
fn one_route(route: &route::Route, sets: &[Arc<Set>], config: &Config) -> Option<Route> {
    let action = match &route.action {
        Written::Ring(ring) => {
            let user = ring.user.as_ref().map(|user| canonical(user, config));
            Action::Ring(Box::new(Ring { user, ..ring.clone() }))
        }
        Written::Gateways { set, number, caller_id, urgent, failover } => {
            Action::Gateways(Box::new(Gateways {
                set: Arc::clone(sets.iter().find(|known| *known.name == **set)?),
                number: number.clone(),
                caller_id: caller_id.clone(),
                urgent: *urgent,
                failover: failover.clone(),
            }))
        }
        Written::Redirect(template) => Action::Redirect(template.clone()),
        Written::Answer(answer) => Action::Answer(Box::new(answer.clone())),
    };
    let mut when: When = route.when.clone();
    for who in &mut when.from {
        if let Who::ThisUser(user) = who {
            *user = canonical(user, config);
        }
    }
    for whom in &mut when.to {
        if let Whom::ThisUser(user) = whom {
            *user = canonical(user, config);
        }
    }
    for domain in &mut when.domains {
        if let Some(name) = config.domains.canonical(domain.as_bytes()) {
            *domain = name.into();
        }
    }
    Some(Route { name: route.name.as_str().into(), when, action, line: route.line })
}

fn canonical(user: &str, config: &Config) -> Box<str> {
    let named = user.rsplit_once('@');
    let aor =
        named.and_then(|(user, host)| config.domains.aor_from(user.as_bytes(), host.as_bytes()));
    aor.map_or_else(|| user.into(), |aor| Box::from(&*aor))
}

/// The set of a stateless proxy.
pub fn members(written: &Dispatch, balance: &Balance, config: &Config) -> stateless::Settings {
    let mut members = Vec::new();
    for gateway in written.members(&balance.set) {
        let Some(known) = config.dispatcher.gateway(&gateway.name) else { continue };
        let live = Arc::clone(&known.live);
        let Way::Flow(flow) = known.way else { continue };
        let hop = stateless::Hop { flow, is_fixed: gateway.is_fixed, live };
        members.push(Member::new(&gateway.name, gateway.weight, hop));
    }
    let sources: Vec<Source> = balance.sources.clone();
    stateless::Settings {
        set: HashedSet::new(members),
        record_route: balance.record_route,
        sources,
        all_down: written.set(&balance.set).map(|set| set.all_down).unwrap_or_default(),
    }
}
