//! What the operator is told. One match turns each `Event` of the core into a counter and a log line, so that the two
//! cannot disagree. It never changes what the server does.

pub mod counter;
pub mod log;

use std::io;
use std::net::SocketAddr;

use sip_core::output::{EndedBy, Event, Fault, Removal};
use sip_core::time::Instant;

use crate::config::LogLevel;
use counter::Counters;
use log::{Log, Value};

pub struct Observer {
    pub counters: Counters,
    pub log: Log,
}

impl Observer {
    pub fn new(log: Log) -> Self {
        Self { counters: Counters::default(), log }
    }

    pub fn event(&self, now: Instant, event: &Event) {
        let level = self.count(event);
        if self.log.wants(level) {
            self.write(now, level, event);
        }
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
            Event::AuthFailed { .. } => (&c.auth_failed, LogLevel::Warn),
            Event::BindingAdded { .. } => (&c.bindings_added, LogLevel::Info),
            Event::BindingRefreshed { .. } => (&c.bindings_refreshed, LogLevel::Debug),
            Event::BindingRemoved { .. } => (&c.bindings_removed, LogLevel::Info),
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
            Event::LimitHit { .. } => (&c.limits_hit, LogLevel::Warn),
            Event::StoreFailed { .. } => (&c.store_failed, LogLevel::Error),
        };
        counter.one();
        level
    }

    fn write(&self, now: Instant, level: LogLevel, event: &Event) {
        let line =
            |name: &str, fields: &[(&str, Value<'_>)]| self.log.line(now, level, name, fields);
        match event {
            Event::Malformed { flow, kind, answered } => {
                let answered = if *answered { "yes" } else { "no" };
                let flow = flow.to_string();
                line(
                    "malformed",
                    &[
                        ("from", (&*flow).into()),
                        ("what", (*kind).into()),
                        ("answered", answered.into()),
                    ],
                );
            }
            Event::Rejected { flow, status, reason, call_id, .. } => {
                let (flow, status) = (flow.to_string(), u64::from(*status));
                let fields = [
                    ("status", Value::from(status)),
                    ("reason", (*reason).into()),
                    ("from", (&*flow).into()),
                    ("call_id", (&**call_id).into()),
                ];
                line("rejected", &fields);
            }
            Event::AuthFailed { flow, user, why } => {
                let flow = flow.to_string();
                line(
                    "auth_failed",
                    &[
                        ("user", (&**user).into()),
                        ("why", (*why).into()),
                        ("from", (&*flow).into()),
                    ],
                );
            }
            Event::BindingAdded { aor, contact, flow, expires }
            | Event::BindingRefreshed { aor, contact, flow, expires } => {
                let added = matches!(event, Event::BindingAdded { .. });
                let flow = flow.to_string();
                let fields = [
                    ("aor", Value::from(&**aor)),
                    ("contact", (&**contact).into()),
                    ("from", (&*flow).into()),
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
                line(
                    "unregistered",
                    &[
                        ("aor", (&**aor).into()),
                        ("contact", (&**contact).into()),
                        ("why", why.into()),
                    ],
                );
            }
            Event::CallAnswered { call } => self.call(now, level, "call_answered", call, None),
            Event::CallEnded { call, ended_by: EndedBy::Refused } => {
                self.call(now, level, "call_refused", call, None);
            }
            Event::CallEnded { call, ended_by } => {
                let by = if *ended_by == EndedBy::Caller { "caller" } else { "callee" };
                self.call(now, level, "call_ended", call, Some(by));
            }
            Event::TransactionTimeout { call_id, method, flow } => {
                let flow = flow.to_string();
                line(
                    "no_answer",
                    &[
                        ("method", (&**method).into()),
                        ("to", (&*flow).into()),
                        ("call_id", (&**call_id).into()),
                    ],
                );
            }
            Event::SendFailed { call_id, flow } => {
                let flow = flow.to_string();
                line("send_failed", &[("to", (&*flow).into()), ("call_id", (&**call_id).into())]);
            }
            Event::LimitHit { limit, flow } => {
                let flow = flow.map(|flow| flow.to_string()).unwrap_or_default();
                line("limit_hit", &[("limit", (*limit).into()), ("from", (&*flow).into())]);
            }
            Event::StoreFailed { why } => line("store_failed", &[("why", (&**why).into())]),
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
