//! `ringway run`: the server, from its first lines to its end. This thread does what may wait: it writes the store, answers
//! the admin socket, expires bindings, and listens to signals. SIP is the workers'.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sip_core::input::{Answer, Input};
use sip_core::locate::Resolution;
use store::{BanWrite, Home};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use udp::Flush;

use super::{Global, exit, fail, print};
use crate::admin;
use crate::clock::Clock;
use crate::config::{Balance, DomainChoice, Flags, Loaded, LogLevel, Settings};
use crate::observe::log::Log;
use crate::reload::InForce;
use crate::shard::turn::Turn;
use crate::shard::{Asker, Shell, TENDING, crash, spread};
use crate::start::{self, Running, StartError};

/// Expired users removed at once, per stripe of the location table.
const EXPIRED_MAX: usize = 1_000;

/// A nap of half a millisecond at 100,000 datagrams a second needs some 50 of them, about 2 KB each; leave room.
const RECEIVE_BUFFER_WANTED: usize = 512 * 1024;

/// Start the server; no configuration needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway run\n  \
    ringway run --domain sip.example.com\n  \
    ringway run --listen udp://127.0.0.1:5070 --store memory:\n  \
    ringway run -c /etc/ringway/ringway.toml")]
pub struct Args {
    /// Listen here instead (may be repeated): udp://ADDRESS:PORT, tcp://...
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Serve this domain (may be repeated; the first is the default one).
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,
    /// Keep accounts and bindings here: file:DIR or memory:
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// off, error, warn, info or debug.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// The first lines as one JSON object.
    #[arg(long)]
    json: bool,
    /// Being root is meant; without it there is a warning.
    #[arg(long)]
    allow_root: bool,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let clock = Clock::start();
    let loaded = global.load(Flags {
        listen: args.listen.clone(),
        domains: args.domain.clone(),
        store: args.store.clone(),
        log: args.log.clone(),
        admin: None,
    });
    let _ = std::io::stderr().write_all(loaded.findings.human(global.color()).as_bytes());
    if loaded.findings.errors() > 0 {
        let summary = loaded.findings.summary();
        return fail(exit::NOT_STARTED, &format!("{summary}; the server will not start like this"));
    }
    if nix::unistd::geteuid().is_root() && !args.allow_root {
        // Refusing would be safer; containers and test machines know only root. docs/config.md says how to do better.
        let why = "an account of its own would do; --allow-root says that it is meant";
        fail(exit::YES, &format!("warning: running as root: {why}"));
    }
    crash::install_hook();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build_local(tokio::runtime::LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::NOT_STARTED, &format!("cannot start: {error}")),
    };
    let log = Log::start(loaded.settings.log_level, loaded.settings.log_format);
    runtime.block_on(async {
        match start::start(&loaded.settings, clock, log).await {
            Ok(running) => serve(&loaded, args, running).await,
            Err(error) => refuse(&error),
        }
    })
}

fn refuse(error: &StartError) -> u8 {
    let code = match error {
        StartError::Bind(bind) if bind.error.kind() == std::io::ErrorKind::AddrInUse => {
            exit::NOT_SENT
        }
        _ => exit::NOT_STARTED,
    };
    let hint = match error {
        StartError::Bind(bind) => match bind.error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; somebody else has this port (ss -lnup): stop it, or choose another with --listen"
            }
            std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address (ip addr)",
            std::io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
            }
            _ => "",
        },
        _ => "",
    };
    fail(code, &format!("{error}{hint}"))
}

/// This thread's turn, and who sends what a full socket kept.
struct Desk {
    shell: Arc<Shell>,
    turn: RefCell<Turn>,
    blocked: Notify,
}

impl Desk {
    fn flush(&self) {
        if self.turn.borrow_mut().flush(self.shell.clock.now()) == Flush::Blocked {
            self.blocked.notify_one();
        }
    }
}

async fn serve(loaded: &Loaded, args: &Args, running: Running) -> u8 {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(hang_up)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        return fail(exit::NOT_STARTED, "cannot listen to signals");
    };
    let settings = &loaded.settings;
    let shell = Arc::clone(&running.shell);
    let ours = running.sockets.first().cloned().unwrap_or_default();
    let desk = Rc::new(Desk {
        shell: Arc::clone(&shell),
        turn: RefCell::new(Turn::new(Arc::clone(&shell), &ours)),
        blocked: Notify::new(),
    });
    desk.turn.borrow_mut().input(shell.clock.now(), TENDING, shell.tend());
    desk.flush();
    let writer = tokio::task::spawn_local(running.writer.run(committed(Rc::clone(&desk))));
    tokio::task::spawn_local(running.resolver.run(resolved(Rc::clone(&desk))));
    tokio::task::spawn_local(resend(desk));
    tokio::task::spawn_local(expire(Arc::clone(&shell)));
    let sockets = running.sockets.clone();
    tokio::task::spawn_local(spread::supervise(Arc::clone(&shell), settings.spread, sockets));
    let (accounts, known) = (running.accounts.clone(), loaded.clone());
    let in_force = Rc::new(InForce::new(known, Arc::clone(&shell), accounts, running.rules));
    tokio::task::spawn_local(reload_on(hang_up, Rc::clone(&in_force)));
    let counter = admin::server::Desk {
        shell: Arc::clone(&shell),
        accounts: running.accounts.clone(),
        sockets: running.sockets.clone(),
        in_force: Rc::clone(&in_force),
    };
    if let Err(error) = open_admin(settings.admin.as_deref(), counter) {
        return fail(exit::NOT_STARTED, &error);
    }
    greet(loaded, args, &shell, &running.facts);
    warn_of_small_buffer(&shell, &running.facts);

    let first = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    let timeout = in_force.settings().drain_timeout;
    drain(&shell, timeout, first, &mut terminate, &mut interrupt).await;
    if let Some(path) = &settings.admin {
        let _ = std::fs::remove_file(path);
    }
    running.accounts.finish().await;
    let closed = writer.await;
    start::stop(&running.stop, running.threads);
    if let Ok(Err(error)) = closed {
        let why = error.to_string();
        shell.observer.log.line(
            shell.clock.now(),
            LogLevel::Error,
            "store_failed",
            &[("why", (&*why).into())],
        );
    }
    shell.observer.log.line(shell.clock.now(), LogLevel::Info, "stopped", &[]);
    shell.observer.log.flush();
    exit::YES
}

/// Beside everything else: a file that is slow to read delays no end. Signals that come meanwhile are one.
async fn reload_on(mut hang_up: Signal, in_force: Rc<InForce>) {
    while hang_up.recv().await.is_some() {
        // What came of it is in the log.
        let _ = in_force.reload("SIGHUP").await;
    }
}

fn open_admin(path: Option<&Path>, desk: admin::server::Desk) -> Result<(), String> {
    let listener = admin::server::listen(path).map_err(|error| {
        let place = path.unwrap_or(Path::new("")).display();
        format!("cannot make the admin socket {place}: {error}")
    })?;
    if let Some(listener) = listener {
        tokio::task::spawn_local(admin::server::serve(listener, Rc::new(desk)));
    }
    Ok(())
}

fn warn_of_small_buffer(shell: &Shell, facts: &start::Facts) {
    if facts.receive_buffer < RECEIVE_BUFFER_WANTED {
        let fields = [
            ("bytes", (facts.receive_buffer as u64).into()),
            ("why", "bursts may be lost; raise net.core.rmem_max".into()),
        ];
        shell.observer.log.line(shell.clock.now(), LogLevel::Warn, "small_receive_buffer", &fields);
    }
}

/// The answers to the nodes' questions, handled here: the REGISTERs of a whole commit leave in one go.
fn committed(desk: Rc<Desk>) -> impl FnMut(&mut Vec<(Asker, store::Stored)>) {
    move |group| {
        if group.is_empty() {
            return;
        }
        let now = desk.shell.clock.now();
        {
            let mut turn = desk.turn.borrow_mut();
            for ((node, ask), stored) in group.drain(..) {
                let answer = match stored {
                    Ok(()) => Answer::Stored,
                    Err(why) => Answer::StoreFailed(why.to_string()),
                };
                turn.input(now, node, Input::Answer { ask, answer });
            }
        }
        desk.flush();
    }
}

/// What came of a question to the DNS, handled here.
fn resolved(desk: Rc<Desk>) -> impl FnMut(&[Asker], &Resolution) {
    move |askers, resolution| {
        let now = desk.shell.clock.now();
        for (node, ask) in askers {
            let answer = Answer::Resolved(resolution.clone());
            desk.turn.borrow_mut().input(now, *node, Input::Answer { ask: *ask, answer });
        }
        desk.flush();
    }
}

/// A socket that was full is empty again within a millisecond; this thread does not wait for its readiness because every
/// datagram that arrives would wake it.
async fn resend(desk: Rc<Desk>) {
    loop {
        desk.blocked.notified().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        desk.flush();
    }
}

async fn expire(shell: Arc<Shell>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let now = shell.clock.now();
        let changed = shell.shared.location.expire(now, EXPIRED_MAX, shell.config.load().durable);
        for event in &changed.events {
            shell.observer.event(now, event);
        }
        for network in shell.shared.bans.expire(now) {
            // A full queue leaves a row behind; it is past its time and not loaded again.
            let _ = shell.writer.as_ref().map(|w| w.push_ban(BanWrite::Remove(network)));
        }
        if let Some(writer) = &shell.writer
            && !changed.writes.is_empty()
        {
            // A full queue leaves rows behind; they are past their time and not loaded again.
            let _ = writer.push(changed.writes, None);
        }
    }
}

/// Finishes what was begun: calls being set up, REGISTERs the store has not answered. A second signal means now.
async fn drain(
    shell: &Shell,
    timeout: Duration,
    signal: &str,
    terminate: &mut Signal,
    interrupt: &mut Signal,
) {
    let now = shell.clock.now();
    shell.drain();
    shell.observer.log.line(now, LogLevel::Info, "draining", &[("why", signal.into())]);
    let wait = async {
        loop {
            let sizes = shell.sizes();
            if sizes.contexts_active == 0 && sizes.registers_pending == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        () = wait => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(timeout) => {
            let left = shell.sizes().contexts_active as u64;
            shell.observer.log.line(now, LogLevel::Warn, "drain_timeout", &[("unfinished", left.into())]);
        }
    }
}

fn greet(loaded: &Loaded, args: &Args, shell: &Shell, facts: &start::Facts) {
    let (settings, config) = (&loaded.settings, &shell.config.load());
    let ms = u64::try_from(shell.clock.uptime().as_millis()).unwrap_or(u64::MAX);
    let listen = start::listening(config);
    if args.json {
        let line = json!({
            "v": 1, "event": "ready", "version": env!("CARGO_PKG_VERSION"), "ms": ms,
            "pid": std::process::id(), "config": loaded.path, "listen": listen,
            "domains": config.domains.served, "admin": settings.admin, "bindings": facts.bindings,
            "accounts": facts.accounts, "workers": settings.workers,
        });
        print(&format!("{line}\n"));
        return;
    }
    let mut page = format!("ringway {}  ", env!("CARGO_PKG_VERSION"));
    page.push_str(&match &loaded.path {
        Some(path) => format!("configuration {}\n", path.display()),
        None => "no configuration found, using defaults\n".to_owned(),
    });
    let mut line = |name: &str, words: &str| page.push_str(&format!("{name:9} {words}\n"));
    match &settings.store {
        Home::Directory(path) => {
            let new = if facts.store_created {
                " (new)".to_owned()
            } else {
                format!(" ({} accounts, {} bindings)", facts.accounts, facts.bindings)
            };
            let here = if path.is_relative() && !path.starts_with(".") { "./" } else { "" };
            line("data", &format!("{here}{}{new}", path.display()));
        }
        Home::Memory => line("data", "in memory only: nothing survives a restart"),
    }
    if facts.bindings_left_out > 0 {
        line(
            "",
            &format!(
                "{} rows of the location table make no sense and were left out",
                facts.bindings_left_out
            ),
        );
    }
    line("domain", &domain_words(settings, config));
    for place in &listen {
        line("listen", place);
    }
    for address in &facts.skipped {
        line("", &format!("not on {address} yet: the machine has only just got it; restart later"));
    }
    match &settings.balance {
        Some(balance) => line("policy", &balance_words(settings, balance)),
        None => line("policy", policy(settings)),
    }
    if settings.balance.is_none() && !settings.dispatch.gateways.is_empty() {
        line("gateways", &gateway_words(settings));
    }
    match &settings.admin {
        Some(path) => line("admin", &format!("{} (ringway status)", path.display())),
        None => line("admin", "off: memory: has no place for a socket; set admin.socket"),
    }
    if facts.accounts == 0 && settings.auth.enabled && settings.balance.is_none() {
        line("users", "none yet: ringway user add alice; then call: ringway call bob --as alice");
    }
    line("ready in", &format!("{ms} ms"));
    print(&page.replace("ready in  ", "ready in "));
}

fn domain_words(settings: &Settings, config: &sip_core::config::Config) -> String {
    let mut names: Vec<&str> = config.domains.served.iter().map(|name| &**name).collect();
    // That we are also called localhost goes without saying.
    let local = |name: &str| {
        let host = name.trim_matches(['[', ']']);
        name == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    };
    let aliases = config.domains.aliases.iter().map(|(name, _)| &**name).filter(|n| !local(n));
    match settings.domains {
        DomainChoice::Named(_) => names.join(", "),
        DomainChoice::Auto => {
            names.extend(aliases.take(3));
            format!("{}        add names: --domain sip.example.com", names.join(", "))
        }
    }
}

fn balance_words(settings: &Settings, balance: &Balance) -> String {
    let (count, set) = (settings.dispatch.members(&balance.set).count(), &balance.set);
    format!(
        "stateless: every call goes to one of the {count} gateways of `{set}`, chosen by its Call-ID; nobody is registered here"
    )
}

/// `pstn: carrier-a, carrier-b; 3 routes`.
fn gateway_words(settings: &Settings) -> String {
    let dispatch = &settings.dispatch;
    let set = |name: &str| {
        let members: Vec<&str> = dispatch.members(name).map(|gateway| &*gateway.name).collect();
        format!("{name}: {}", members.join(", "))
    };
    let sets: Vec<String> = dispatch.sets.iter().map(|known| set(&known.name)).collect();
    format!("{}; routes: {}", sets.join("; "), dispatch.routes.len())
}

fn policy(settings: &Settings) -> &'static str {
    match (settings.auth.enabled, settings.allow_inbound) {
        (true, false) => {
            "only registered users may call; nobody may use this server as a relay to elsewhere"
        }
        (true, true) => {
            "anybody may call a registered user; nobody may use this server as a relay to elsewhere"
        }
        (false, _) => "NO AUTHENTICATION: anybody may register as anybody; for laboratories only",
    }
}
