//! The running server's side of the admin socket. Changes to accounts go through the store first and into memory after,
//! so that what was said to be done is done.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sip_core::dispatcher::health::State;
use sip_core::dispatcher::live::{Order, Registered};
use sip_core::forwarding::Forwards;
use sip_core::nat::health;
use sip_core::overload;
use sip_core::registrar::location::Listed;
use store::{StoreError, Subscriber, Writer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use super::forward::{self, Change};
use super::request::{Name, Request, check_password};
use crate::observe::log::timestamp;
use crate::reload::InForce;
use crate::shard::{Asker, Shell};
use crate::start::{self, WorkerSockets};

/// A request is short.
const REQUEST_MAX: u64 = 64 * 1024;

pub struct Desk {
    pub shell: Arc<Shell>,
    pub accounts: Writer<Asker>,
    pub sockets: Vec<WorkerSockets>,
    pub in_force: Rc<InForce>,
}

/// Binds the socket, taking over a file that nobody listens behind any more.
pub fn listen(path: Option<&Path>) -> io::Result<Option<UnixListener>> {
    let Some(path) = path else { return Ok(None) };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(Some(listener))
}

pub async fn serve(listener: UnixListener, desk: Rc<Desk>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(converse(Rc::clone(&desk), stream));
            }
            // Out of descriptors: it would fail again at once.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// A peer that goes away in the middle is no error of ours.
async fn converse(desk: Rc<Desk>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut read: BufReader<OwnedReadHalf> = BufReader::new(read);
    let mut line = String::new();
    loop {
        line.clear();
        match (&mut read).take(REQUEST_MAX).read_line(&mut line).await {
            Ok(n) if n > 0 => {}
            _ => return,
        }
        let request = serde_json::from_str(&line).ok();
        let answered = match request.as_ref().and_then(Request::from_json) {
            Some(request) => desk.answer(request, &mut write).await,
            None => Err(Refused::new("unknown", "this server does not know such a request".into())),
        };
        let last = match answered {
            Ok(value) => value,
            Err(Refused { code, message }) => {
                json!({"v": 1, "ok": false, "code": code, "error": message})
            }
        };
        if send(&mut write, &last).await.is_err() {
            return;
        }
    }
}

pub(super) async fn send(write: &mut OwnedWriteHalf, value: &Value) -> io::Result<()> {
    write.write_all(format!("{value}\n").as_bytes()).await
}

pub(super) struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    pub(super) fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::new("store", error.to_string())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::new("gone", error.to_string())
    }
}

impl Desk {
    async fn answer(&self, request: Request, write: &mut OwnedWriteHalf) -> Result<Value, Refused> {
        match request {
            Request::Status => Ok(self.status()),
            Request::Reload { color } => Ok(self.reload(color).await),
            Request::Bindings { aor } => self.bindings(aor, write).await,
            Request::Users => self.users(write).await,
            Request::UserAdd { name, password } => {
                let (name, subscriber) = self.subscriber(&name, &password)?;
                if !self.accounts.add_subscriber(subscriber.clone()).await? {
                    let message = format!("there is already a user {}", name.aor());
                    return Err(Refused::new("exists", message));
                }
                self.remember(&subscriber);
                Ok(
                    json!({"v": 1, "ok": true, "aor": name.aor(), "user": name.user, "domain": name.domain}),
                )
            }
            Request::UserPassword { name, password } => {
                let (name, subscriber) = self.subscriber(&name, &password)?;
                if !self.accounts.change_subscriber(subscriber.clone()).await? {
                    return Err(unknown(&name));
                }
                self.remember(&subscriber);
                Ok(
                    json!({"v": 1, "ok": true, "aor": name.aor(), "user": name.user, "domain": name.domain}),
                )
            }
            Request::UserRemove { name } => self.remove(&name).await,
            Request::Bans => self.bans(write).await,
            Request::BanAdd { network, seconds } => self.ban_add(&network, seconds).await,
            Request::BanRemove { network } => self.ban_remove(&network).await,
            Request::UserAlias { name, alias, remove } => self.alias(&name, &alias, remove).await,
            Request::Gateways => self.gateways(write).await,
            Request::GatewayOrder { name, order, by, why } => {
                self.gateway_order(&name, &order, &by, &why).await
            }
            Request::GatewayTest { name } => self.gateway_test(&name).await,
            Request::Explain { to, from, source, method } => {
                self.explain(&to, from.as_deref(), source.as_deref(), &method)
            }
            Request::UserForward { name, change } => self.forward(&name, &change).await,
            Request::Credential { name } => {
                let name = self.name(&name)?;
                let all = self.accounts.subscribers().await?;
                let found = all.iter().find(|s| s.username == name.user && s.domain == name.domain);
                let found = found.ok_or_else(|| unknown(&name))?;
                Ok(credential_item(found, &start::listening(&self.shell.config.load())))
            }
        }
    }

    pub(super) fn name(&self, text: &str) -> Result<Name, Refused> {
        let domains = &self.shell.config.load().domains;
        let canonical = |host: &str| domains.canonical(host.as_bytes()).map(str::to_owned);
        Name::read(text, &domains.served, canonical).map_err(|why| Refused::new("bad-name", why))
    }

    fn subscriber(&self, name: &str, password: &str) -> Result<(Name, Subscriber), Refused> {
        let name = self.name(name)?;
        check_password(password).map_err(|why| Refused::new("bad-password", why))?;
        let subscriber = Subscriber::with_password(&name.user, &name.domain, password);
        Ok((name, subscriber))
    }

    fn remember(&self, subscriber: &Subscriber) {
        if let Some(ha1) = start::ha1(subscriber) {
            self.shell.shared.accounts.set(&subscriber.aor(), ha1);
        }
    }

    /// The account, and what its phones had registered.
    async fn remove(&self, name: &str) -> Result<Value, Refused> {
        let name = self.name(name)?;
        if !self.accounts.remove_subscriber(&name.user, &name.domain).await? {
            return Err(unknown(&name));
        }
        let (shared, now) = (&self.shell.shared, self.shell.clock.now());
        shared.accounts.remove(&name.aor());
        shared.aliases.remove_user(&name.aor());
        let changed = shared.location.remove(&name.aor(), None, self.shell.config.load().durable);
        for event in &changed.events {
            self.shell.observer.event(now, event);
        }
        let bindings = changed.events.len();
        if let Some(writer) = &self.shell.writer
            && !changed.writes.is_empty()
        {
            // A full queue leaves rows behind; they belong to nobody and end by themselves.
            let _ = writer.push(changed.writes, None);
        }
        Ok(json!({"v": 1, "ok": true, "aor": name.aor(), "bindings": bindings}))
    }

    /// Where the account's calls go, from the next call on.
    async fn forward(&self, name: &str, change: &Change) -> Result<Value, Refused> {
        let name = self.name(name)?;
        let (aor, accounts) = (name.aor(), &self.shell.shared.accounts);
        let before = accounts.forwards(&aor).unwrap_or_default();
        let after = change.apply(&name, &before).map_err(|why| Refused::new("bad-target", why))?;
        if !self.accounts.set_forwards(&name.user, &name.domain, after.clone()).await? {
            return Err(unknown(&name));
        }
        accounts.set_forwards(&aor, after.clone());
        Ok(json!({"v": 1, "ok": true, "aor": aor, "forwards": forward::to_json(&after)}))
    }

    async fn users(&self, write: &mut OwnedWriteHalf) -> Result<Value, Refused> {
        let now = self.shell.clock.now();
        let subscribers = self.accounts.subscribers().await?;
        for subscriber in &subscribers {
            let aor = subscriber.aor();
            let bindings = self.shell.shared.location.lookup(now, &aor);
            let devices = bindings.map_or(0, |bindings| bindings.iter().count());
            let forwards = self.shell.shared.accounts.forwards(&aor).unwrap_or_default();
            let item = user_item(subscriber, Some(devices), &forwards);
            send(write, &json!({"item": item})).await?;
        }
        Ok(json!({"v": 1, "ok": true, "count": subscribers.len()}))
    }

    async fn bindings(
        &self,
        aor: Option<String>,
        write: &mut OwnedWriteHalf,
    ) -> Result<Value, Refused> {
        let name = aor.map(|aor| self.name(&aor)).transpose()?;
        let aor = name.as_ref().map(Name::aor);
        let now = self.shell.clock.now();
        let mut count = 0;
        for page in self.shell.shared.location.list(now) {
            let wanted = |listed: &&Listed| aor.as_deref().is_none_or(|a| *listed.row.aor == *a);
            let mut text = String::new();
            for Listed { row, health } in page.iter().filter(wanted) {
                count += 1;
                let millis = |span: std::time::Duration| span.as_secs_f64() * 1000.0;
                let item = json!({
                    "v": 1,
                    "aor": row.aor,
                    "contact": row.contact,
                    "expires_s": row.expires_at.since(now).as_secs(),
                    "q": f64::from(row.q) / 1000.0,
                    "source": row.flow.to_string(),
                    "user_agent": row.user_agent,
                    "registered_at": timestamp(row.modified_at),
                    "nat": health.is_some(),
                    "health": health.map(|h| words(h.state)),
                    "rtt_ms": health.and_then(|h| h.round_trip).map(millis),
                    "pings_answered": health.map(|h| h.answered),
                    "pings_failed": health.map(|h| h.failed),
                    "heard_at": health.and_then(|h| h.heard_at).map(timestamp),
                });
                text.push_str(&format!("{}\n", json!({"item": item})));
            }
            write.write_all(text.as_bytes()).await?;
        }
        if let Some(name) = name
            && count == 0
            && !self.shell.shared.accounts.contains(&name.aor())
        {
            return Err(unknown(&name));
        }
        Ok(json!({"v": 1, "ok": true, "count": count}))
    }

    fn status(&self) -> Value {
        let shell = &self.shell;
        let (in_force, refused) = self.in_force.status();
        let (counters, sizes) = (&shell.observer.counters, shell.sizes());
        let counts = shell.shared.location.counts();
        let drops = |(_, socket): &(_, Arc<udp::AsyncSocket>)| {
            u64::from(socket.socket().drops().unwrap_or(0))
        };
        let drops: u64 = self.sockets.iter().flatten().map(drops).sum();
        let all: serde_json::Map<String, Value> = counters
            .all()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({
            "v": 1, "ok": true,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": shell.clock.uptime().as_secs(),
            "now": timestamp(shell.clock.now()),
            "config": in_force.get("file"),
            "config_since": in_force.get("since"),
            "needs_restart": in_force.get("needs_restart"),
            "listen": start::listening(&shell.config.load()),
            "domains": shell.config.load().domains.served,
            "workers": shell.links.len(),
            "nodes": shell.node_count(),
            "users": shell.shared.accounts.len(),
            "registered_users": counts.aors,
            "bindings": counts.bindings,
            "connections": shell.streams.len(),
            "bans": shell.shared.bans.len(),
            "gateway_calls": sizes.calls,
            "shed_percent": shell.shared.overload.share() * 100 / overload::ALL,
            "worker_datagrams": shell.links.iter().map(|l| l.datagrams.load(Ordering::Relaxed)).collect::<Vec<_>>(),
            "worker_busy_percent": shell.links.iter().map(|l| l.busy.load(Ordering::Relaxed) / 10).collect::<Vec<_>>(),
            "spread": if shell.spread_random.load(Ordering::Relaxed) { "random" } else { "source" },
            "mode": if shell.stateless.is_some() { "stateless" } else { "stateful" },
            "calls_in_setup": sizes.contexts_active,
            "transactions": sizes.transactions,
            "transactions_live": sizes.transactions_live,
            "contexts": sizes.contexts,
            "timers": sizes.timers,
            "registers_pending": sizes.registers_pending,
            "store_queue": shell.writer.as_ref().map_or(0, Writer::waiting),
            "kernel_drops": drops,
            "log_lines_dropped": shell.observer.log.dropped(),
            "counters": all,
            "attention": self.attention(drops, refused),
        })
    }

    /// What an operator should look at, in words; nothing when all is well.
    fn attention(&self, drops: u64, refused: Option<String>) -> Vec<String> {
        let (observer, mut words) = (&self.shell.observer, Vec::new());
        let counters = &observer.counters;
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                words.push(format!("{count} {text}"));
            }
        };
        note(counters.panics.value(), "messages made the server panic; see the log and DATA/crash");
        note(counters.store_failed.value(), "changes could not be stored; see the log");
        note(
            drops,
            "datagrams were dropped by the kernel: more workers, or a larger net.core.rmem_max",
        );
        note(observer.log.dropped(), "log lines were dropped: the log is read too slowly");
        let shed = self.shell.shared.overload.share();
        if shed > 0 {
            words.push(format!(
                "overloaded: {} % of new calls are turned away",
                shed * 100 / overload::ALL
            ));
        }
        for gateway in self.shell.config.load().dispatcher.gateways() {
            if gateway.live.health() == State::Down && gateway.live.order() == Order::Enabled {
                let note = self.shell.shared.gateways.note(&gateway.name).unwrap_or_default();
                words.push(format!("gateway {} is down: {}", gateway.name, note.why));
            }
        }
        for gateway in self.shell.config.load().dispatcher.gateways() {
            if gateway.live.registered() == Registered::Failed && !gateway.live.is_disabled() {
                let note = self.shell.shared.gateways.registration(&gateway.name);
                words.push(format!("not registered with {}: {}", gateway.name, note.why));
            }
        }
        if let Some(why) = refused {
            words.push(format!("the last reload was refused: {why}"));
        }
        let auth_enabled = self.in_force.settings().auth.enabled;
        if !auth_enabled && self.shell.stateless.is_none() {
            words.push("auth.enabled = false: anybody may register as anybody".to_owned());
        }
        words
    }
}

const fn words(state: health::State) -> &'static str {
    match state {
        health::State::Unknown => "unknown",
        health::State::Answers => "answers",
        health::State::Silent => "silent",
    }
}

pub(super) fn unknown(name: &Name) -> Refused {
    Refused::new("unknown-user", format!("there is no user {}", name.aor()))
}

/// What proves a user, for whoever may open this socket or the store: both can change passwords already.
pub fn credential_item(subscriber: &Subscriber, listen: &[String]) -> Value {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "v": 1, "ok": true,
        "aor": subscriber.aor(),
        "user": subscriber.username,
        "domain": subscriber.domain,
        "ha1": filled(&subscriber.ha1),
        "ha1_sha256": filled(&subscriber.ha1_sha256),
        "listen": listen,
    })
}

/// A user as `user list` shows it. Secrets stay here.
pub fn user_item(subscriber: &Subscriber, devices: Option<usize>, forwards: &Forwards) -> Value {
    let mut algorithms = Vec::new();
    for (secret, name) in [(&subscriber.ha1_sha256, "SHA-256"), (&subscriber.ha1, "MD5")] {
        if !secret.is_empty() {
            algorithms.push(name);
        }
    }
    json!({
        "v": 1,
        "aor": subscriber.aor(),
        "user": subscriber.username,
        "domain": subscriber.domain,
        "algorithms": algorithms,
        "devices": devices,
        "forwards": forward::to_json(forwards),
    })
}
