//! From settings to a running server, in an order that loses nothing: the directory is locked, the sockets are bound (the
//! kernel keeps what arrives from here on), the store is loaded, then the workers begin. Everything is bound or nothing.

mod bind;
pub mod gateway;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread::JoinHandle;

use sip_core::auth::account::Ha1;
use sip_core::config::{Config, Domains, Limits, Listener, Timers};
use sip_core::dispatcher::Dispatcher;
use sip_core::flow::{ListenerId, Transport};
use sip_core::seal::Seal;
use sip_core::shared::Shared;
use sip_core::time::Instant;
use store::{Directory, Home, Store, StoreError, Subscriber, WriterTask};
use tokio::sync::{mpsc, watch};
use udp::{AsyncSocket, NapRule};

use crate::address;
use crate::clock::Clock;
use crate::config::{DomainChoice, Settings};
use crate::observe::Observer;
use crate::observe::log::Log;
use crate::resolver::{self, ResolverTask, Rules};
use crate::shard::crash::CrashFolder;
use crate::shard::worker::{self, Plan};
use crate::shard::{Asker, Parts, Shell};
use crate::stream::Streams;
pub use bind::{BindError, Bound};

/// Descriptors that are not connections: sockets, the database, the log, pipes.
const DESCRIPTORS_KEPT: u64 = 64;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start the workers: {0}")]
    Worker(std::io::Error),
    #[error("cannot get random bytes: {0}")]
    Random(std::io::Error),
    #[error(
        "nothing we listen on can reach gateway {gateway} by {transport}; add such an address to sip.listen"
    )]
    Unreachable { gateway: String, transport: Transport },
}

/// What was found and made at the start, for the first lines.
#[derive(Debug)]
pub struct Facts {
    pub store_created: bool,
    pub bindings: usize,
    /// Rows of the location table that made no sense.
    pub bindings_left_out: usize,
    pub accounts: usize,
    pub connections_max: usize,
    /// The smallest receive buffer of our UDP sockets, in bytes, as the kernel counts: twice what it gives to datagrams.
    pub receive_buffer: usize,
    /// Addresses of a wildcard that could not be used yet.
    pub skipped: Vec<std::net::SocketAddr>,
}

/// A server that runs. `stop` ends it.
pub struct Running {
    pub shell: Arc<Shell>,
    pub facts: Facts,
    /// To be run by somebody, for accounts and bindings to be written.
    pub writer: WriterTask<Asker>,
    pub accounts: store::Writer<Asker>,
    /// To be run by somebody, for names to be resolved.
    pub resolver: ResolverTask,
    /// How it hears of other rules.
    pub rules: watch::Sender<Rules>,
    /// Each worker's sockets, for looking at and for sending.
    pub sockets: Vec<WorkerSockets>,
    pub stop: watch::Sender<bool>,
    pub threads: Vec<JoinHandle<()>>,
}

pub async fn start(settings: &Settings, clock: Clock, log: Log) -> Result<Running, StartError> {
    let directory = settings.store.directory().map(Directory::lock).transpose()?;
    let store_created = directory.as_ref().is_some_and(Directory::created);
    let key = match &directory {
        Some(directory) => directory.seal_key()?,
        None => store::random_key().map_err(StartError::Random)?,
    };
    let crash = directory.as_ref().map(|directory| directory.path().join("crash"));
    let own = address::own();
    let bound = bind::bind(&settings.listen, &own, settings.workers)?;
    let mut store = Store::open(directory).await?;
    let listened = bound.listeners.iter().map(|l| l.address.ip());
    let domains = domains(settings, listened, &mut store).await?;
    store.set_sockets(
        bound
            .listeners
            .iter()
            .map(|l| store::Socket { transport: l.transport, address: l.address })
            .collect(),
    );

    let shared = Arc::new(Shared::new(Seal::new(key), clock.now()));
    let mut config = core_config(settings, bound.listeners.clone(), domains);
    gateway::configure(&settings.dispatch, &mut config, &shared)?;
    gateway::recall(&mut store, &config.dispatcher, &shared).await?;
    let config = Arc::new(config);
    let accounts = load_accounts(&mut store, &shared).await?;
    let (mut bindings, now) = (0, clock.now());
    let expires_max = config.registrar.expires_max;
    let bindings_left_out = match config.durable {
        true => {
            store.bindings(|page| bindings += shared.location.load(now, expires_max, page)).await?
        }
        false => 0,
    };
    let facts = Facts {
        store_created,
        bindings,
        bindings_left_out,
        accounts,
        connections_max: connections_max(settings, bound.listeners.len(), bound.workers.len()),
        receive_buffer: bound.receive_buffer,
        skipped: bound.skipped.clone(),
    };
    for row in store.bans().await?.into_iter().filter(|row| row.until > now) {
        // More wide networks than there is room for were never stored.
        let _ = shared.bans.add(&row);
    }
    let stateless = settings
        .balance
        .as_ref()
        .map(|balance| gateway::members(&settings.dispatch, balance, &config));
    let (account_writer, writer) = store::writer(store);
    let (questions, rules, resolver) = resolver::resolver(settings.resolver.clone(), clock);
    let parts = Parts {
        stateless: stateless.map(Arc::new),
        clock,
        config,
        shared,
        observer: Observer::new(log),
        streams: Streams::new(facts.connections_max),
        writer: settings.store.directory().map(|_| account_writer.clone()),
        questions,
        crash: CrashFolder::new(crash),
    };
    let (shell, stop, threads, sockets) = start_workers(settings, parts, bound)?;
    let accounts = account_writer;
    Ok(Running { shell, facts, writer, accounts, resolver, rules, sockets, stop, threads })
}

pub type WorkerSockets = Vec<(ListenerId, Arc<AsyncSocket>)>;

type Started = (Arc<Shell>, watch::Sender<bool>, Vec<JoinHandle<()>>, Vec<WorkerSockets>);

fn start_workers(settings: &Settings, parts: Parts, bound: Bound) -> Result<Started, StartError> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        bound.workers.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let shell = Arc::new(Shell::new(parts, senders));
    shell.watch_bindings();
    let (stop, stopped) = watch::channel(false);
    let (ready, started) = std::sync::mpsc::channel();
    let mut threads = Vec::new();
    let rule =
        if settings.nap > NapRule::DEFAULT.cap { NapRule::THROUGHPUT } else { NapRule::DEFAULT };
    for (index, (sockets, opens)) in bound.workers.into_iter().zip(receivers).enumerate() {
        let plan = Plan {
            index,
            sockets: sockets.datagram,
            listeners: sockets.stream,
            opens,
            nap: NapRule { cap: settings.nap, ..rule },
            stop: stopped.clone(),
        };
        let thread = worker::start(Arc::clone(&shell), plan, ready.clone());
        threads.push(thread.map_err(StartError::Worker)?);
    }
    drop(ready);
    // One answer from each; a worker that ended without one ends the channel.
    let sockets: std::io::Result<Vec<WorkerSockets>> = started.iter().take(threads.len()).collect();
    Ok((shell, stop, threads, sockets.map_err(StartError::Worker)?))
}

/// Ends the workers. What is under way is over.
pub fn stop(stop: &watch::Sender<bool>, threads: Vec<JoinHandle<()>>) {
    // Without receivers they have ended already.
    let _ = stop.send(true);
    for thread in threads {
        let _ = thread.join();
    }
}

/// What the settings mean to the core, given where it listens.
pub fn core_config(settings: &Settings, listeners: Vec<Listener>, domains: Domains) -> Config {
    Config {
        listeners,
        domains,
        registrar: settings.registrar.clone(),
        auth: settings.auth.clone(),
        limits: Limits {
            trusted: settings.trusted.clone(),
            per_source: settings.per_source,
            ..Limits::default()
        },
        forking: settings.forking.clone(),
        redirect_domains: settings
            .redirect_domains
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        nat: settings.nat.clone(),
        allow_inbound: settings.allow_inbound,
        allow_outbound: settings.allow_outbound,
        durable: settings.store != Home::Memory,
        dns: settings.dns,
        timers: Timers::default(),
        dispatcher: Arc::new(Dispatcher::default()),
    }
}

/// What a server would know that was started now, without starting one: its configuration, and what the store has.
pub async fn picture(
    settings: &Settings,
    store: &mut Store,
    now: Instant,
) -> Result<(Config, Shared), StartError> {
    let own = address::own();
    let listen = settings.listen.iter();
    let places =
        listen.flat_map(|l| address::expand(l.address, &own).into_iter().map(move |a| (l, a)));
    let listeners: Vec<Listener> = places
        .map(|(l, address)| Listener {
            transport: l.transport,
            address,
            advertised: address.to_string().into(),
        })
        .collect();
    let domains = domains(settings, listeners.iter().map(|l| l.address.ip()), store).await?;
    store.set_sockets(
        listeners
            .iter()
            .map(|l| store::Socket { transport: l.transport, address: l.address })
            .collect(),
    );
    let shared = Shared::new(Seal::new([0; 16]), now);
    let mut config = core_config(settings, listeners, domains);
    gateway::configure(&settings.dispatch, &mut config, &shared)?;
    for (name, state) in store.gateway_states().await? {
        shared.gateways.set_order(&name, state.order, state.order_note);
        shared.gateways.set_health(&name, state.health, state.health_note);
    }
    load_accounts(store, &shared).await?;
    let expires_max = config.registrar.expires_max;
    store
        .bindings(|page| {
            shared.location.load(now, expires_max, page);
        })
        .await?;
    Ok((config, shared))
}

/// Who calls, for `explain`: a URI, and where the request comes from: a gateway's name says both.
pub fn caller(
    from: Option<&str>,
    source: Option<IpAddr>,
    config: &Config,
) -> (Option<String>, Option<IpAddr>, Option<u16>) {
    let gateway = from.and_then(|name| config.dispatcher.gateway(name));
    let Some(gateway) = gateway else {
        return (from.map(|from| uri(from, &config.domains)), source, None);
    };
    let own = gateway.address();
    let first = gateway.sources.first().map(|network| network.address);
    let ip = first.or(own.map(|own| own.ip()));
    (None, source.or(ip), own.map(|own| own.port()))
}

/// `alice`, `alice@sip.example.com` or a SIP URI, as a SIP URI.
pub fn uri(text: &str, domains: &Domains) -> String {
    match text {
        uri if uri.starts_with("sip:") => uri.to_owned(),
        address if address.contains('@') => format!("sip:{address}"),
        user => format!("sip:{user}@{}", domains.served.first().map_or("", |domain| domain)),
    }
}

/// The name we serve when nobody chose one. Passwords are bound to it, so the first choice is kept in the store: an
/// address that changes does not lock everybody out.
pub fn auto_domain(addresses: &[IpAddr]) -> String {
    address::host(addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into()))
}

/// What we serve and under which other names, given the addresses we listen on.
pub async fn domains(
    settings: &Settings,
    listened: impl IntoIterator<Item = IpAddr>,
    store: &mut Store,
) -> Result<Domains, StoreError> {
    let own = own_addresses(listened);
    let served = match &settings.domains {
        DomainChoice::Named(names) => names.clone(),
        DomainChoice::Auto => vec![store.domain_or(&auto_domain(&own)).await?],
    };
    Ok(with_aliases(&served, &own))
}

/// Each once.
pub fn own_addresses(listened: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = Vec::new();
    for ip in listened {
        if !own.contains(&ip) {
            own.push(ip);
        }
    }
    own
}

/// The machine's own names are other names for the first domain.
pub fn with_aliases(served: &[String], own: &[IpAddr]) -> Domains {
    let served: Vec<Box<str>> = served.iter().map(|name| name.as_str().into()).collect();
    let mut aliases: Vec<(Box<str>, usize)> = Vec::new();
    let local = own.iter().any(IpAddr::is_loopback).then(|| "localhost".to_owned());
    for name in own.iter().map(|ip| address::host(*ip)).chain(address::host_name()).chain(local) {
        let known =
            served.iter().any(|s| **s == *name) || aliases.iter().any(|(a, _)| **a == *name);
        if !known {
            aliases.push((name.into(), 0));
        }
    }
    Domains { served, aliases }
}

/// The account's secret as the core keeps it; `None` for a row without a usable one.
pub fn ha1(subscriber: &Subscriber) -> Option<Ha1> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (sha256, md5) = (filled(&subscriber.ha1_sha256), filled(&subscriber.ha1));
    if sha256.is_none() && md5.is_none() {
        return None;
    }
    Ha1::from_hex(sha256.as_deref(), md5.as_deref())
}

async fn load_accounts(store: &mut Store, shared: &Shared) -> Result<usize, StoreError> {
    let subscribers = store.subscribers().await?;
    let taken = subscribers.iter().filter(|subscriber| {
        ha1(subscriber).is_some_and(|ha1| shared.accounts.set(&subscriber.aor(), ha1))
    });
    let taken = taken.count();
    for (aor, forwards) in store.forwards().await? {
        // Of an account that is gone: nobody can be called by its name.
        shared.accounts.set_forwards(&aor, forwards);
    }
    for (alias, user) in store.aliases().await? {
        shared.aliases.set(&alias, &user);
    }
    Ok(taken)
}

/// As many as the settings say, but never so many that a descriptor is missing where it hurts.
pub fn connections_max(settings: &Settings, listeners: usize, workers: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return settings.connections_max;
    };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    let sockets = listeners * workers * 2 + workers * 4;
    let left = limit.saturating_sub(DESCRIPTORS_KEPT + sockets as u64).max(1);
    settings.connections_max.min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// `udp+tcp 192.0.2.10:5060`: what is listened to, one entry per address.
pub fn listening(config: &Config) -> Vec<String> {
    let mut lines: Vec<(std::net::SocketAddr, Vec<Transport>)> = Vec::new();
    for listener in &config.listeners {
        match lines.iter_mut().find(|(address, _)| *address == listener.address) {
            Some((_, transports)) => transports.push(listener.transport),
            None => lines.push((listener.address, vec![listener.transport])),
        }
    }
    let line = |(address, transports): (std::net::SocketAddr, Vec<Transport>)| {
        let names: Vec<&str> = transports.iter().map(|t| t.uri_token()).collect();
        format!("{} {address}", names.join("+"))
    };
    lines.into_iter().map(line).collect()
}
