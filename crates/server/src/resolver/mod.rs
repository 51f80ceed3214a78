//! Asks the DNS for the nodes (RFC 3263 says what, `sip_core::locate` what it means). It runs beside SIP, never in its way:
//! a name server that is dead or slow costs those who asked for a name their patience, and nobody else anything.
//!
//! At most [`OUTSTANDING_MAX`] questions are with a name server at the same time; equal ones are asked once. It keeps no
//! answer: the cache is the core's, which knows the time.

mod answer;
mod hosts;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use sip_core::locate::{Query, Resolution};
use sip_core::time::Instant;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::shard::Asker;
use hosts::Hosts;

/// Questions with a name server at the same time.
const OUTSTANDING_MAX: usize = 64;

/// Questions that wait for their turn. Whoever comes later has lost already: patience is shorter than this queue.
const WAITING_MAX: usize = 4_096;

/// Each question is sent so often within its time: a lost datagram is no dead server.
const SENDS: u32 = 3;

/// Where the machine's own name servers are written.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// RFC 1035 §4.2.1.
pub const PORT: u16 = 53;

/// `[dns]`, as far as the shell acts on it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Empty: the machine's own.
    pub servers: Vec<SocketAddr>,
    /// Names in this file are not asked about. None: there is no such file.
    pub hosts: Option<PathBuf>,
    /// One question, repetitions included.
    pub query_timeout: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts: Some("/etc/hosts".into()),
            query_timeout: Duration::from_secs(3),
        }
    }
}

/// A question of a node.
#[derive(Debug)]
pub struct Asked {
    pub query: Query,
    /// Nobody waits longer.
    pub until: Instant,
    pub asker: Asker,
}

/// Where threads put their questions.
pub type Questions = mpsc::Sender<Asked>;

/// To be run by somebody. Ends when nobody can ask any more.
pub struct ResolverTask {
    asked: mpsc::Receiver<Asked>,
    rules: watch::Receiver<Rules>,
    clock: Clock,
    hosts: Option<Hosts>,
    resolver: Option<TokioResolver>,
    query_timeout: Duration,
    outstanding: Arc<Semaphore>,
    /// Who waits for what.
    waiting: HashMap<Query, Vec<Asker>>,
}

/// Other rules may be sent later; without anybody who could, those of the start stay.
pub fn resolver(rules: Rules, clock: Clock) -> (Questions, watch::Sender<Rules>, ResolverTask) {
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let (changes, rules) = watch::channel(rules);
    let mut task = ResolverTask {
        asked,
        rules,
        clock,
        hosts: None,
        resolver: None,
        query_timeout: Duration::ZERO,
        outstanding: Arc::new(Semaphore::new(OUTSTANDING_MAX)),
        waiting: HashMap::new(),
    };
    task.obey();
    (questions, changes, task)
}

/// The `nameserver` lines of resolv.conf(5). Search lists are not for SIP: a host name in a URI is complete.
fn machine_servers(path: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let is_it = words.next() == Some("nameserver");
        let ip = words.next().filter(|_| is_it)?.parse().ok()?;
        Some(SocketAddr::new(ip, PORT))
    };
    text.lines().filter_map(address).collect()
}

/// None: there is no name server to ask.
fn build(servers: &[SocketAddr], query_timeout: Duration) -> Option<TokioResolver> {
    if servers.is_empty() {
        return None;
    }
    let server = |address: &SocketAddr| {
        let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for way in &mut ways {
            way.port = address.port();
        }
        NameServerConfig::new(address.ip(), true, ways.into())
    };
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = query_timeout / SENDS;
    options.attempts = SENDS as usize - 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().ok()
}

impl ResolverTask {
    /// The rules as they are now, from the next question on. Those under way are asked to their end.
    fn obey(&mut self) {
        let rules = self.rules.borrow_and_update().clone();
        let servers = match rules.servers.as_slice() {
            [] => machine_servers(Path::new(RESOLV_CONF)),
            named => named.to_vec(),
        };
        self.hosts = rules.hosts.map(Hosts::new);
        self.resolver = build(&servers, rules.query_timeout);
        self.query_timeout = rules.query_timeout;
    }

    /// `answered` hears what came of each question, and who asked it.
    pub async fn run(mut self, mut answered: impl FnMut(&[Asker], &Resolution)) {
        let mut tasks: JoinSet<(Query, Resolution)> = JoinSet::new();
        loop {
            tokio::select! {
                // Whoever asks after the rules have changed gets the new ones.
                biased;
                Ok(()) = self.rules.changed() => self.obey(),
                Some(done) = tasks.join_next() => {
                    // A task that panicked has told nobody which question it had; its askers are answered by their deadline.
                    let Ok((query, resolution)) = done else { continue };
                    let askers = self.waiting.remove(&query).unwrap_or_default();
                    answered(&askers, &resolution);
                }
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.ask(asked, &mut tasks, &mut answered),
                    None => return,
                },
            }
        }
    }

    fn ask(
        &mut self,
        asked: Asked,
        tasks: &mut JoinSet<(Query, Resolution)>,
        answered: &mut impl FnMut(&[Asker], &Resolution),
    ) {
        let Asked { query, until, asker } = asked;
        if let Some(resolution) = self.hosts.as_mut().and_then(|hosts| hosts.find(&query)) {
            return answered(&[asker], &resolution);
        }
        if let Some(askers) = self.waiting.get_mut(&query) {
            return askers.push(asker);
        }
        let Some(resolver) = self.resolver.clone().filter(|_| self.waiting.len() < WAITING_MAX)
        else {
            return answered(&[asker], &Resolution::Failed);
        };
        self.waiting.insert(query.clone(), vec![asker]);
        let outstanding = Arc::clone(&self.outstanding);
        let until = self.clock.monotonic(until).into();
        let query_timeout = self.query_timeout;
        tasks.spawn(async move {
            let looked_up = async {
                let _permit = outstanding.acquire().await;
                tokio::time::timeout(query_timeout, answer::look_up(&resolver, &query)).await
            };
            let resolution = match tokio::time::timeout_at(until, looked_up).await {
                Ok(Ok(resolution)) => resolution,
                Ok(Err(_)) | Err(_) => Resolution::Failed,
            };
            (query, resolution)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_the_machine() {
        let path = std::env::temp_dir().join(format!("ringway-resolv-{}", std::process::id()));
        let text = "# a comment\nsearch example.com\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n\
                    nameserver\nnameserver fe80::1%eth0\noptions timeout:9\n";
        std::fs::write(&path, text).unwrap();
        let servers = machine_servers(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            servers,
            ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]
        );
        assert!(machine_servers(&path).is_empty());
    }
}
