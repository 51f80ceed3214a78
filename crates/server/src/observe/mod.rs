//! What the operator is told. One match turns each `Event` of the core into a counter and a log line, so that the two
//! cannot disagree. It never changes what the server does.

pub mod counter;
pub mod log;
mod throttle;

use std::io;
use std::net::SocketAddr;

use sip_core::locate::Why;
use sip_core::output::{EndedBy, Event, Fault, Removal};
use sip_core::route::limit;
use sip_core::time::Instant;

use crate::config::LogLevel;
use counter::Counters;
use log::{Log, Value};
use throttle::Throttle;

pub struct Observer {
    pub counters: Counters,
    pub log: Log,
    throttles: Throttles,
}

/// One for each kind of line that anybody can cause by sending packets.
#[derive(Debug, Default)]
struct Throttles {
    malformed: Throttle,
    rejected: Throttle,
    auth_failed: Throttle,
    limit_hit: Throttle,
}

impl Throttles {
    fn of(&self, event: &Event) -> Option<(&Throttle, &'static str)> {
        match event {
            Event::Malformed { .. } => Some((&self.malformed, "malformed")),
            Event::Rejected { .. } => Some((&self.rejected, "rejected")),
            Event::AuthFailed { .. } => Some((&self.auth_failed, "auth_failed")),
            Event::LimitHit { .. } => Some((&self.limit_hit, "limit_hit")),
            _ => None,
        }
    }
}

impl Observer {
    pub fn new(log: Log) -> Self {
        Self { counters: Counters::default(), log, throttles: Throttles::default() }
    }

    pub fn event(&self, now: Instant, event: &Event) {
        let level = self.count(event);
        if matches!(event, Event::Pinged { .. } | Event::PingAnswered) {
            // Counted; a line for each would be the log of a busy evening.
            return;
        }
        if self.log.wants(level) && self.admit(now, level, event) {
            self.write(now, level, event);
        }
    }

    /// A kind that has filled its second is only counted; the line after says how many there were.
    fn admit(&self, now: Instant, level: LogLevel, event: &Event) -> bool {
        let Some((throttle, what)) = self.throttles.of(event) else { return true };
        let Some(held) = throttle.admit(now) else { return false };
        if held > 0 {
            self.log.line(
                now,
                level,
                "held_back",
                &[("what", what.into()), ("lines", held.into())],
            );
        }
        true
    }

    /// A datagram the kernel would not take.
    pub fn undeliverable(&self, now: Instant, target: SocketAddr, error: &io::Error) {
        if self.log.wants(LogLevel::Debug) {
            let (target, error) = (target.to_string(), error.to_string());
            let fields = [("to", Value::from(&*target)), ("why", (&*error).into())];
            self.log.line(now, LogLevel::Debug, "undeliverable", &fields);
        }
    }

    fn count(&self, event: &Event) -> LogLevel {
        let c = &self.counters;
        let (counter, level) = match event {
            Event::Malformed { .. } => (&c.malformed, LogLevel::Debug),
            Event::Rejected { fault, .. } => {
                let level = match fault {
                    Fault::Ours => LogLevel::Error,
                    Fault::Unavailable => LogLevel::Info,
                    Fault::PeerMisbehaved | Fault::Unsupported | Fault::Refused => LogLevel::Debug,
                };
                (&c.rejected, level)
            }
            Event::Redirected { .. } => (&c.redirected, LogLevel::Debug),
            Event::AuthFailed { .. } => (&c.auth_failed, LogLevel::Warn),
            Event::BindingAdded { .. } => (&c.bindings_added, LogLevel::Info),
            Event::BindingRefreshed { .. } => (&c.bindings_refreshed, LogLevel::Debug),
            Event::BindingRemoved { .. } => (&c.bindings_removed, LogLevel::Info),
            Event::BindingSilent { .. } => (&c.bindings_silent, LogLevel::Info),
            Event::BindingAnswers { .. } => return LogLevel::Info,
            Event::Pinged { count } => {
                c.pings_sent.add(u64::from(*count));
                return LogLevel::Debug;
            }
            Event::PingAnswered => (&c.pings_answered, LogLevel::Debug),
            Event::CallAnswered { call } if call.status < 300 => {
                (&c.calls_answered, LogLevel::Debug)
            }
            // The end of the call, which follows, says it.
            Event::CallAnswered { .. } => return LogLevel::Debug,
            Event::CallEnded { ended_by: EndedBy::Refused, .. } => {
                (&c.calls_refused, LogLevel::Info)
            }
            Event::CallEnded { .. } => (&c.calls_ended, LogLevel::Info),
            Event::TransactionTimeout { .. } => (&c.transaction_timeouts, LogLevel::Debug),
            Event::SendFailed { .. } => (&c.sends_failed, LogLevel::Debug),
            // The name server of the operator is silent, or a stranger has written a name that is not there.
            Event::Unresolved { why: Why::NotAnswered, .. } => {
                (&c.names_unresolved, LogLevel::Warn)
            }
            Event::Unresolved { .. } => (&c.names_unresolved, LogLevel::Info),
            Event::FailedOver { .. } => (&c.next_hops_failed, LogLevel::Info),
            Event::LimitHit { limit, .. } => {
                match *limit {
                    limit::UNVERIFIED => c.dropped_unverified.one(),
                    limit::BANNED => c.dropped_banned.one(),
                    limit::OVERLOAD => c.shed.one(),
                    _ => {}
                }
                (&c.limits_hit, LogLevel::Warn)
            }
            Event::GatewayChanged { state: "down" | "not registered", .. } => {
                (&c.gateways_changed, LogLevel::Warn)
            }
            Event::GatewayFailed { .. } => (&c.gateways_failed, LogLevel::Info),
            Event::GatewayChanged { .. } => (&c.gateways_changed, LogLevel::Info),
            Event::Banned { .. } => (&c.bans_made, LogLevel::Warn),
            Event::StoreFailed { .. } => (&c.store_failed, LogLevel::Error),
        };
        counter.one();
        level
    }

    fn write(&self, now: Instant, level: LogLevel, event: &Event) {
        let line =
            |name: &str, fields: &[(&str, Value<'_>)]| self.log.line(now, level, name, fields);
        match event {
            Event::BindingAdded { aor, contact, flow, expires }
            | Event::BindingRefreshed { aor, contact, flow, expires } => {
                let added = matches!(event, Event::BindingAdded { .. });
                let fields = [
                    ("aor", Value::from(&**aor)),
                    ("contact", (&**contact).into()),
                    ("from", Value::Flow(*flow)),
                    ("expires", expires.as_secs().into()),
                ];
                line(if added { "registered" } else { "refreshed" }, &fields);
            }
            Event::BindingRemoved { aor, contact, why } => {
                let why = match why {
                    Removal::Unregistered => "by the phone",
                    Removal::Expired => "expired",
                    Removal::Command => "by an operator",
                };
                let (aor, contact) = (Value::from(&**aor), Value::from(&**contact));
                line("unregistered", &[("aor", aor), ("contact", contact), ("why", why.into())]);
            }
            Event::BindingSilent { aor, contact, flow }
            | Event::BindingAnswers { aor, contact, flow } => {
                let silent = matches!(event, Event::BindingSilent { .. });
                let (aor, contact) = (Value::from(&**aor), Value::from(&**contact));
                let fields = [("aor", aor), ("contact", contact), ("at", Value::Flow(*flow))];
                line(if silent { "silent" } else { "answers_again" }, &fields);
            }
            Event::CallAnswered { call } => self.call(now, level, "call_answered", call, None),
            Event::CallEnded { call, ended_by: EndedBy::Refused } => {
                self.call(now, level, "call_refused", call, None);
            }
            Event::CallEnded { call, ended_by } => {
                let by = if *ended_by == EndedBy::Caller { "caller" } else { "callee" };
                self.call(now, level, "call_ended", call, Some(by));
            }
            Event::Redirected { flow, call_id } => {
                let call_id = Value::from(&**call_id);
                line("redirected", &[("from", Value::Flow(*flow)), ("call_id", call_id)]);
            }
            Event::GatewayFailed { call_id, gateway, next, status, .. } => {
                let fields = [
                    ("gateway", Value::from(&**gateway)),
                    ("status", u64::from(*status).into()),
                    ("next", (&**next).into()),
                    ("call_id", (&**call_id).into()),
                ];
                line("gateway_failed", &fields);
            }
            Event::GatewayChanged { gateway, state, why } => {
                let fields = [
                    ("gateway", Value::from(&**gateway)),
                    ("state", (*state).into()),
                    ("why", (&**why).into()),
                ];
                line("gateway", &fields);
            }
            Event::StoreFailed { why } => line("store_failed", &[("why", (&**why).into())]),
            trouble => self.write_trouble(now, level, trouble),
        }
    }

    /// What went wrong with a peer or a message.
    fn write_trouble(&self, now: Instant, level: LogLevel, event: &Event) {
        let line =
            |name: &str, fields: &[(&str, Value<'_>)]| self.log.line(now, level, name, fields);
        match event {
            Event::Malformed { flow, kind, answered } => {
                let answered = if *answered { "yes" } else { "no" };
                let (from, what) = (Value::Flow(*flow), Value::from(*kind));
                line("malformed", &[("from", from), ("what", what), ("answered", answered.into())]);
            }
            Event::Rejected { flow, status, reason, call_id, .. } => {
                let fields = [
                    ("status", Value::from(u64::from(*status))),
                    ("reason", (*reason).into()),
                    ("from", Value::Flow(*flow)),
                    ("call_id", (&**call_id).into()),
                ];
                line("rejected", &fields);
            }
            Event::AuthFailed { flow, user, why } => {
                let (user, why) = (Value::from(&**user), Value::from(*why));
                line("auth_failed", &[("user", user), ("why", why), ("from", Value::Flow(*flow))]);
            }
            Event::LimitHit { limit, flow } => {
                let from = flow.map_or(Value::Text(""), Value::Flow);
                line("limit_hit", &[("limit", (*limit).into()), ("from", from)]);
            }
            Event::Banned { row, flow } => {
                let network = row.network.to_string();
                let fields = [
                    ("network", Value::from(&*network)),
                    ("for", row.until.since(now).as_secs().into()),
                    ("why", "guessed passwords".into()),
                    ("from", Value::Flow(*flow)),
                ];
                line("banned", &fields);
            }
            hop => self.write_hop(now, level, hop),
        }
    }

    /// What went wrong on the way to somebody.
    fn write_hop(&self, now: Instant, level: LogLevel, event: &Event) {
        let line =
            |name: &str, fields: &[(&str, Value<'_>)]| self.log.line(now, level, name, fields);
        match event {
            Event::TransactionTimeout { call_id, method, flow } => {
                let (method, call_id) = (Value::from(&**method), Value::from(&**call_id));
                let to = Value::Flow(*flow);
                line("no_answer", &[("method", method), ("to", to), ("call_id", call_id)]);
            }
            Event::SendFailed { call_id, flow } => {
                let call_id = Value::from(&**call_id);
                line("send_failed", &[("to", Value::Flow(*flow)), ("call_id", call_id)]);
            }
            Event::Unresolved { call_id, uri, why } => {
                let why = unresolved(*why);
                let (uri, call_id) = (Value::from(&**uri), Value::from(&**call_id));
                line("unresolved", &[("to", uri), ("why", why.into()), ("call_id", call_id)]);
            }
            Event::FailedOver { call_id, from, to, status } => {
                let why = if *status == 408 { "no answer" } else { "refused" };
                let fields = [
                    ("from", Value::Flow(*from)),
                    ("to", Value::Flow(*to)),
                    ("why", why.into()),
                    ("call_id", (&**call_id).into()),
                ];
                line("failed_over", &fields);
            }
            // Said above.
            _ => {}
        }
    }

    fn call(
        &self,
        now: Instant,
        level: LogLevel,
        name: &str,
        call: &sip_core::output::CallRecord,
        ended_by: Option<&str>,
    ) {
        let mut fields = vec![
            ("from", Value::from(&*call.from)),
            ("to", (&*call.to).into()),
            ("status", u64::from(call.status).into()),
            ("duration", Value::Seconds(call.duration.as_secs_f64())),
        ];
        fields.extend(ended_by.map(|by| ("ended_by", Value::from(by))));
        fields.push(("call_id", (&*call.call_id).into()));
        self.log.line(now, level, name, &fields);
    }
}

const fn unresolved(why: Why) -> &'static str {
    match why {
        Why::NotFound => "no such name, or no address",
        Why::NoTransport => "reachable only by what we do not speak",
        Why::Local => "leads to this machine or its link; dns.allow_local is off",
        Why::NotAnswered => "no name server answered in time",
        Why::Ourselves => "leads back to us",
    }
}
