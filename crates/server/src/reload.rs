//! The configuration in force, and how another takes its place while calls run. All or nothing: the file is read on the
//! road of `run` and `check`, everything that follows from it is made, and only then is it put in place, which cannot fail.
//! What is refused leaves nothing behind, so the next good file works. It reads no setting by itself: what can change
//! while the server runs is the table in `config/change.rs`.

use std::cell::{Ref, RefCell};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use sip_core::config::Config;
use sip_core::dispatcher::Dispatcher;
use sip_core::stateless;
use sip_core::time::Instant;
use store::Writer;
use tokio::sync::{Mutex, watch};

use crate::config::change::{self, Change, Comparison};
use crate::config::{self, DomainChoice, Findings, Flags, Loaded, LogLevel, Settings};
use crate::resolver::Rules;
use crate::shard::{Asker, Shell};
use crate::start::{self, StartError};

/// Lines of the log that one bad file may write.
const LINES_MAX: usize = 20;

pub struct InForce {
    shell: Arc<Shell>,
    accounts: Writer<Asker>,
    rules: watch::Sender<Rules>,
    /// The file of the start, for ever: one that is missing for a moment must not become the defaults. None: there was none.
    path: Option<PathBuf>,
    flags: Flags,
    /// One reload after the other.
    turn: Mutex<()>,
    state: RefCell<State>,
}

struct State {
    settings: Settings,
    path: Option<PathBuf>,
    since: Instant,
    /// What the file says and the next start will do.
    restart: Vec<Change>,
    /// Why the last reload changed nothing, if it did not.
    refused: Option<String>,
}

/// It is done.
pub struct Reloaded {
    pub path: Option<PathBuf>,
    pub comparison: Comparison,
    /// Warnings.
    pub findings: Findings,
    /// Settings of the file that a flag of `run` overrides.
    pub overridden: Vec<&'static str>,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{}; the configuration in force stays", findings.summary())]
    Mistakes { findings: Findings },
    #[error("{error}{}; the configuration in force stays", if *listen_waits { " (what it says now needs a restart)" } else { "" })]
    Impossible { error: StartError, listen_waits: bool },
    #[error("the reader of the configuration failed; the configuration in force stays")]
    Broken,
}

/// What the core is told.
struct Made {
    config: Arc<Config>,
    stateless: Option<Arc<stateless::Settings>>,
}

impl InForce {
    pub fn new(
        loaded: Loaded,
        shell: Arc<Shell>,
        accounts: Writer<Asker>,
        rules: watch::Sender<Rules>,
    ) -> Self {
        let Loaded { settings, path, flags, .. } = loaded;
        let since = shell.clock.now();
        let (restart, refused) = (Vec::new(), None);
        let state = State { settings, path: path.clone(), since, restart, refused };
        let (turn, state) = (Mutex::new(()), RefCell::new(state));
        Self { shell, accounts, rules, path, flags, turn, state }
    }

    pub fn path(&self) -> Option<PathBuf> {
        self.state.borrow().path.clone()
    }

    pub fn settings(&self) -> Ref<'_, Settings> {
        Ref::map(self.state.borrow(), |state| &state.settings)
    }

    /// Reads the file again and puts it in force. `by`: who wanted it, for the log.
    pub async fn reload(&self, by: &str) -> Result<Reloaded, Refused> {
        let _turn = self.turn.lock().await;
        let reloaded = self.try_reload().await;
        match &reloaded {
            Ok(reloaded) => self.tell(by, reloaded),
            Err(refused) => {
                self.state.borrow_mut().refused = Some(refused.to_string());
                self.tell_refused(by, refused);
            }
        }
        reloaded
    }

    async fn try_reload(&self) -> Result<Reloaded, Refused> {
        let (path, flags) = (self.path.clone(), self.flags.clone());
        // Files can be slow, and this thread has more to do.
        let loaded = tokio::task::spawn_blocking(move || config::load(path.as_deref(), &flags));
        let Loaded { mut settings, findings, path, overridden, .. } =
            loaded.await.map_err(|_| Refused::Broken)?;
        if findings.errors() > 0 {
            return Err(Refused::Mistakes { findings });
        }
        let comparison = change::settle(&self.settings(), &mut settings);
        let made = self.make(&settings).await.map_err(|error| {
            let listen_waits = comparison.restart.iter().any(|c| c.setting == "sip.listen");
            Refused::Impossible { error, listen_waits }
        })?;
        let dispatcher = Arc::clone(&made.config.dispatcher);
        self.apply(&settings, made, &comparison);
        self.keep_gateways(&dispatcher).await;
        let (restart, since) = (comparison.restart.clone(), self.shell.clock.now());
        *self.state.borrow_mut() =
            State { settings, path: path.clone(), since, restart, refused: None };
        Ok(Reloaded { path, comparison, findings, overridden })
    }

    /// Everything that can go wrong.
    async fn make(&self, settings: &Settings) -> Result<Made, StartError> {
        let listeners = self.shell.config.load().listeners.clone();
        let own = start::own_addresses(listeners.iter().map(|l| l.address.ip()));
        let served = match &settings.domains {
            DomainChoice::Named(names) => names.clone(),
            DomainChoice::Auto => vec![self.accounts.domain_or(&start::auto_domain(&own)).await?],
        };
        let domains = start::with_aliases(&served, &own);
        let mut config = start::core_config(settings, listeners, domains);
        start::gateway::configure(&settings.dispatch, &mut config, &self.shell.shared)?;
        let stateless = settings
            .balance
            .as_ref()
            .map(|balance| start::gateway::members(&settings.dispatch, balance, &config));
        Ok(Made { config: Arc::new(config), stateless: stateless.map(Arc::new) })
    }

    /// Nothing that can go wrong. Whoever keeps settings of his own gets them here.
    fn apply(&self, settings: &Settings, made: Made, comparison: &Comparison) {
        let shell = &self.shell;
        shell.adopt(&made.config, made.stateless);
        shell.observer.log.set_level(settings.log_level);
        let listeners = made.config.listeners.len();
        shell.streams.limit(start::connections_max(settings, listeners, shell.links.len()));
        // The resolver ends with the server.
        let _ = self.rules.send(settings.resolver.clone());
        if comparison.changed.iter().any(|change| change.setting.starts_with("dns.")) {
            shell.shared.hops.forget_answers();
        }
    }

    /// The store's table of gateways is for others to read, and for the next start; that it could not be written undoes nothing.
    async fn keep_gateways(&self, dispatcher: &Dispatcher) {
        let rows = start::gateway::rows(dispatcher, &self.shell.shared);
        if let Err(error) = self.accounts.set_gateways(rows).await {
            let (now, why) = (self.shell.clock.now(), error.to_string());
            let fields = [("why", (&*why).into())];
            self.shell.observer.log.line(now, LogLevel::Error, "store_failed", &fields);
        }
    }

    fn tell(&self, by: &str, reloaded: &Reloaded) {
        let names = |changes: &[Change]| {
            let names: Vec<&str> = changes.iter().map(|change| &*change.setting).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let Comparison { changed, restart, .. } = &reloaded.comparison;
        let (changed, restart) = (names(changed), names(restart));
        let config = reloaded.path.as_ref().map(|path| path.display().to_string());
        let fields = [
            ("by", by.into()),
            ("config", config.as_deref().unwrap_or("none").into()),
            ("changed", (&*changed).into()),
            ("needs_restart", (&*restart).into()),
        ];
        let now = self.shell.clock.now();
        self.shell.observer.log.line(now, LogLevel::Info, "reloaded", &fields);
    }

    fn tell_refused(&self, by: &str, refused: &Refused) {
        let (log, now, why) =
            (&self.shell.observer.log, self.shell.clock.now(), refused.to_string());
        log.line(
            now,
            LogLevel::Error,
            "reload_refused",
            &[("by", by.into()), ("why", (&*why).into())],
        );
        let Refused::Mistakes { findings } = refused else { return };
        for (mistake, line) in findings.lines().take(LINES_MAX) {
            let fields = [
                ("file", findings.path.as_str().into()),
                ("line", line.into()),
                ("code", mistake.code.into()),
                ("why", mistake.message.as_str().into()),
            ];
            log.line(now, LogLevel::Error, "config_mistake", &fields);
        }
    }

    /// For `status`: which file, since when, what waits for a restart, and what went wrong last.
    pub fn status(&self) -> (Value, Option<String>) {
        let state = self.state.borrow();
        let restart: Vec<&str> = state.restart.iter().map(|change| &*change.setting).collect();
        let about = json!({
            "file": state.path,
            "since": crate::observe::log::timestamp(state.since),
            "needs_restart": restart,
        });
        (about, state.refused.clone())
    }
}
