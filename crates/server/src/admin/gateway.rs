//! Gateways from outside: what is known of each, the operator's orders, a question asked at once, and what would become of
//! a call. An order holds when it is answered, and after a restart.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sip_core::dispatcher::gateway::Gateway;
use sip_core::dispatcher::live::Order;
use sip_core::input::{Command, Input};
use sip_core::output::Outbox;
use sip_core::route::explain::{Explanation, Question, explain};
use sip_core::shared::{Note, Shared};
use sip_core::time::Instant;
use sip_core::turn::Turn;
use tokio::net::unix::OwnedWriteHalf;

use super::server::{Desk, Refused, send};
use crate::observe::log::timestamp;
use crate::shard::TENDING;
use crate::start;

/// How long a test waits for its outcome beyond the gateway's own time.
const PATIENCE: Duration = Duration::from_secs(1);

impl Desk {
    pub(super) async fn gateways(&self, write: &mut OwnedWriteHalf) -> Result<Value, Refused> {
        let (config, shared) = (self.shell.config.load_full(), &self.shell.shared);
        for gateway in config.dispatcher.gateways() {
            let set = config
                .dispatcher
                .sets()
                .iter()
                .find(|set| set.members().any(|member| member.name == gateway.name));
            let item = item(gateway, set.map_or("", |set| &set.name), shared);
            send(write, &json!({"item": item})).await?;
        }
        Ok(json!({"v": 1, "ok": true, "count": config.dispatcher.gateways().len()}))
    }

    fn known(&self, name: &str) -> Result<Arc<Gateway>, Refused> {
        let dispatcher = &self.shell.config.load().dispatcher;
        if let Some(gateway) = dispatcher.gateway(name) {
            return Ok(Arc::clone(gateway));
        }
        let names: Vec<&str> = dispatcher.gateways().iter().map(|gateway| &*gateway.name).collect();
        let message = match names.as_slice() {
            [] => "the configuration has no gateway".to_owned(),
            names => format!("there is no gateway {name}; gateways here: {}", names.join(", ")),
        };
        Err(Refused::new("unknown-gateway", message))
    }

    pub(super) async fn gateway_order(
        &self,
        name: &str,
        order: &str,
        by: &str,
        why: &str,
    ) -> Result<Value, Refused> {
        let gateway = self.known(name)?;
        let Some(order) = Order::from_word(order) else {
            return Err(Refused::new("bad-order", format!("{order} is no order")));
        };
        let note = Note { since: self.shell.clock.now(), by: by.into(), why: why.into() };
        self.shell.shared.gateways.set_order(name, order, note);
        if let Some(row) = self.shell.gateway_row(name) {
            self.accounts.write_gateway(row).await?;
        }
        let (state, calls) = (gateway.live.word(), gateway.live.calls());
        Ok(json!({"v": 1, "ok": true, "name": name, "state": state, "calls": calls}))
    }

    /// Has the gateway asked now, and waits for what it says.
    pub(super) async fn gateway_test(&self, name: &str) -> Result<Value, Refused> {
        let gateway = self.known(name)?;
        let Some(probe) = &gateway.probe else {
            let message = format!(
                "the set of {name} has no probe; ringway options {} asks from here",
                gateway.host
            );
            return Err(Refused::new("no-probe", message));
        };
        if gateway.live.is_disabled() {
            let message = format!("{name} is disabled; ringway gateway enable {name}");
            return Err(Refused::new("disabled", message));
        }
        let (before, _) = gateway.live.probes();
        let input = Input::Command(Command::Probe { gateway: name.into() });
        // It is asked in a turn of the worker whose node it is.
        self.shell.handle(self.shell.clock.now(), TENDING, input, &mut Outbox::default());
        let outcome = async {
            loop {
                match gateway.live.probes() {
                    (count, status) if count != before => return status,
                    _ => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let status = tokio::time::timeout(probe.timeout + PATIENCE, outcome).await.unwrap_or(0);
        let live = &gateway.live;
        let note = self.shell.shared.gateways.note(name).unwrap_or_default();
        Ok(json!({
            "v": 1, "ok": true, "name": name, "good": status != 0, "code": status,
            "ms": f64::from(live.latency_us()) / 1000.0, "state": live.word(), "why": note.why,
        }))
    }

    pub(super) fn explain(
        &self,
        to: &str,
        from: Option<&str>,
        source: Option<&str>,
        method: &str,
    ) -> Result<Value, Refused> {
        let source = source.and_then(|source| source.parse().ok());
        let (config, shared) = (&self.shell.config.load(), &self.shell.shared);
        let to = start::uri(to, &config.domains);
        let (from, source, port) = start::caller(from, source, config);
        let question = Question { method, to: &to, from: from.as_deref(), source, port };
        let mut out = Outbox::default();
        let now = self.shell.clock.now();
        let mut turn = Turn { now, config, shared, draining: false, out: &mut out };
        let told = explain(&mut turn, &question).map_err(|why| Refused::new("bad-uri", why))?;
        let mut value = told_json(&told);
        if let Some(object) = value.as_object_mut() {
            object.insert("ok".to_owned(), true.into());
            object.insert("config".to_owned(), json!(self.in_force.path()));
        }
        Ok(value)
    }
}

/// An explanation, for machines.
pub fn told_json(told: &Explanation) -> Value {
    let steps: Vec<Value> = told
        .steps
        .iter()
        .map(|step| json!({"room": step.room, "text": step.text, "line": step.line}))
        .collect();
    json!({
        "v": 1, "steps": steps, "result": told.result, "goes": told.goes,
        "route": told.route, "gateway": told.gateway,
    })
}

/// A gateway as `gateway list` shows it.
fn item(gateway: &Gateway, set: &str, shared: &Shared) -> Value {
    let note = shared.gateways.note(&gateway.name).unwrap_or_default();
    let live = &gateway.live;
    let (probes, answer) = live.probes();
    let since = (note.since > Instant::ZERO).then(|| timestamp(note.since));
    json!({
        "v": 1, "name": gateway.name, "set": set, "uri": format!("sip:{}", gateway.host),
        "state": live.word(), "health": live.health().word(), "order": live.order().word(),
        "since": since, "by": note.by, "why": note.why,
        "weight": gateway.weight, "priority": gateway.priority,
        "calls": live.calls(), "max_calls": gateway.caps.calls,
        "max_rate": gateway.caps.per_second, "given": live.given(), "failed": live.failed(),
        "probed": gateway.probe.is_some(), "probes": probes, "answer": answer,
        "registered": live.registered().word(),
        "registration_why": shared.gateways.registration(&gateway.name).why,
        "latency_ms": f64::from(live.latency_us()) / 1000.0,
    })
}
