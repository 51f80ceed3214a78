//! A server as the world sees it: N nodes that share one location table, owners chosen by Call-ID, and a store that
//! answers late or not at all. It does what the shell does, without sockets.

use std::sync::Arc;

use core::net::SocketAddr;

use sip_core::auth::account::Ha1;
use sip_core::config::{self, Config, Domains, Limits, Listener, Network};
use sip_core::dispatcher::hash::{HashedSet, Member};
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::input::{Answer, Input};
use sip_core::node::{Node, Sizes};
use sip_core::output::{BindingRow, BindingWrite, Event, Outbox};
use sip_core::seal::Seal;
use sip_core::shard;
use sip_core::shared::Shared;
use sip_core::stateless::{Forwarder, Hop, Settings};
use sip_core::time::{Duration, Instant};

use crate::network::PlaceId;
use crate::random::{Dice, hash, mix};
use crate::world::START;

/// How the store answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Store {
    pub delay: Duration,
    /// In thousandths.
    pub failure: u32,
}

pub struct Server {
    pub place: PlaceId,
    pub address: SocketAddr,
    pub address_6: SocketAddr,
    pub domain: String,
    pub config: Config,
    pub shared: Arc<Shared>,
    pub store: Store,
    pub events: Vec<(Instant, Event)>,
    pub dead: bool,
    seal: Seal,
    nodes: Vec<Node>,
    count: usize,
    /// In place of nodes.
    forwarder: Option<Forwarder>,
    balance: Option<Arc<Settings>>,
}

/// What one turn of a node asks the world to do.
pub struct Turn {
    pub node: usize,
    pub outbox: Outbox,
}

impl Server {
    pub fn new(
        place: PlaceId,
        address: SocketAddr,
        address_6: SocketAddr,
        domain: &str,
        nodes: usize,
    ) -> Self {
        let seal = Seal::new([place.0 as u8 + 1; 16]);
        Self {
            place,
            address,
            address_6,
            domain: domain.to_owned(),
            config: laboratory(address, address_6, domain),
            shared: Arc::new(Shared::new(seal.clone(), START)),
            store: Store::default(),
            events: Vec::new(),
            dead: false,
            seal,
            nodes: Vec::new(),
            count: nodes,
            forwarder: None,
            balance: None,
        }
    }

    /// From now on a stateless proxy in front of these addresses.
    pub fn balance(&mut self, cores: &[SocketAddr], record_route: bool) {
        let member = |core: &SocketAddr| {
            let flow = Flow::udp(ListenerId(0), *core);
            let hop = Hop::new(flow, true);
            Member::new(&core.to_string(), 1, hop)
        };
        let set = HashedSet::new(cores.iter().map(member).collect());
        self.balance = Some(Arc::new(Settings::new(set, record_route)));
        self.restart_balancer();
    }

    pub fn restart_balancer(&mut self) {
        self.shared = Arc::new(Shared::new(self.seal.clone(), START));
        let settings = self.balance.clone();
        self.forwarder = settings.map(|set| Forwarder::new(set, self.seal.clone()));
    }

    pub const fn is_stateless(&self) -> bool {
        self.forwarder.is_some()
    }

    /// Nodes come to life at the first message: until then a scenario may change the configuration.
    fn start(&mut self) {
        if self.nodes.is_empty() {
            let config = Arc::new(self.config.clone());
            for index in 0..self.count {
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                self.nodes.push(Node::new(index, Arc::clone(&config), Arc::clone(&self.shared)));
            }
        }
    }

    /// The binding a phone would have made before the scenario begins.
    pub fn preload(&mut self, now: Instant, user: &str, contact: &str, flow: Flow) {
        self.preload_with_q(now, user, contact, flow, 1000);
    }

    pub fn preload_with_q(&mut self, now: Instant, user: &str, contact: &str, flow: Flow, q: u16) {
        self.shared.location.load(
            now,
            self.config.registrar.expires_max,
            [&BindingRow {
                aor: format!("{user}@{}", self.domain).into(),
                contact: contact.into(),
                call_id: format!("preloaded-{contact}").into(),
                cseq: 1,
                q,
                expires_at: now + Duration::from_secs(3600),
                modified_at: now,
                flow,
                user_agent: "sim".into(),
                path: "".into(),
            }],
        );
    }

    pub fn add_account(&mut self, user: &str, password: &str) {
        let ha1 = Ha1::from_password(user, &self.domain, password);
        self.shared.accounts.set(&format!("{user}@{}", self.domain), ha1);
    }

    pub fn receive(&mut self, now: Instant, flow: Flow, bytes: bytes::Bytes) -> Turn {
        if let Some(forwarder) = &mut self.forwarder {
            let mut outbox = Outbox::default();
            let (config, shared, out) = (&self.config, &*self.shared, &mut outbox);
            let mut turn = sip_core::turn::Turn { now, config, shared, draining: false, out };
            forwarder.handle(&mut turn, &flow, bytes);
            self.events.extend(outbox.events.drain(..).map(|e| (now, e)));
            return Turn { node: 0, outbox };
        }
        self.start();
        let call_id = sip_message::peek::call_id(&bytes).unwrap_or_default();
        let node = shard::owner(&self.seal, call_id, self.nodes.len());
        self.handle(now, node, Input::Message { flow, bytes })
    }

    pub fn handle(&mut self, now: Instant, node: usize, input: Input) -> Turn {
        self.start();
        let mut outbox = Outbox::default();
        if let Some(n) = self.nodes.get_mut(node) {
            n.handle(now, input, &mut outbox);
        }
        self.events.extend(outbox.events.drain(..).map(|e| (now, e)));
        Turn { node, outbox }
    }

    /// A stream ended: every node hears it.
    pub fn close(&mut self, now: Instant, connection: ConnectionId) -> Vec<Turn> {
        self.start();
        (0..self.nodes.len())
            .map(|node| self.handle(now, node, Input::FlowClosed { connection }))
            .collect()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.nodes.iter().filter_map(Node::next_deadline).min()
    }

    /// Nodes with a deadline that is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Turn> {
        let due = |n: &Node| n.next_deadline().is_some_and(|at| at <= now);
        let due: Vec<usize> =
            (0..self.nodes.len()).filter(|i| self.nodes.get(*i).is_some_and(due)).collect();
        due.into_iter().map(|node| self.handle(now, node, Input::Tick)).collect()
    }

    /// What the store says to a question, and when. The same question gets the same luck on every run.
    pub fn answer(&self, seed: u64, now: Instant, rows: &[BindingWrite]) -> (Instant, Answer) {
        let mut dice = Dice::new(mix(seed ^ hash(format!("{rows:?}").as_bytes())));
        let answer = if dice.chance(self.store.failure) {
            Answer::StoreFailed("the disk is full".to_owned())
        } else {
            Answer::Stored
        };
        (now + self.store.delay, answer)
    }

    /// Everything a node still remembers of calls, in words; empty when it forgot all.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let sizes = node.sizes();
            if sizes != Sizes::default() {
                left.push(format!("{} node {index}: {sizes:?}", self.domain));
            }
        }
        left
    }

    /// The address of ours that talks to this peer.
    pub const fn address_for(&self, peer: SocketAddr) -> SocketAddr {
        if peer.is_ipv4() { self.address } else { self.address_6 }
    }

    pub fn flow(&self, transport: Transport, connection: ConnectionId, remote: SocketAddr) -> Flow {
        let listener = match (transport, remote.is_ipv4()) {
            (Transport::Udp, true) => ListenerId(0),
            (Transport::Tcp, true) => ListenerId(1),
            (Transport::Udp, false) => ListenerId(2),
            (Transport::Tcp, false) => ListenerId(3),
        };
        Flow { transport, listener, connection, remote }
    }
}

/// The usual configuration: one domain, UDP and TCP on port 5060, no passwords, the whole network trusted.
fn laboratory(address: SocketAddr, address_6: SocketAddr, domain: &str) -> Config {
    let listener = |transport, address: SocketAddr| Listener {
        transport,
        address,
        advertised: address.to_string().into(),
    };
    let host_6 = format!("[{}]", address_6.ip());
    Config {
        listeners: vec![
            listener(Transport::Udp, address),
            listener(Transport::Tcp, address),
            listener(Transport::Udp, address_6),
            listener(Transport::Tcp, address_6),
        ],
        domains: Domains {
            served: vec![domain.into()],
            aliases: vec![(address.ip().to_string().into(), 0), (host_6.into(), 0)],
        },
        registrar: config::Registrar::default(),
        auth: config::Auth { enabled: false, ..config::Auth::default() },
        limits: Limits {
            trusted: vec![
                Network { address: [10, 0, 0, 0].into(), prefix: 8 },
                Network { address: [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), prefix: 32 },
            ],
            ..Limits::default()
        },
        forking: config::Forking::default(),
        redirect_domains: Vec::new(),
        // Scenarios about pings turn them on: the others end when nobody has anything to say any more.
        nat: config::Nat { keepalive: Duration::ZERO, ..config::Nat::default() },
        allow_inbound: false,
        // The flows of RFC 3665 cross two domains.
        allow_outbound: true,
        durable: false,
        dns: config::Dns::default(),
        timers: config::Timers::default(),
        dispatcher: Arc::default(),
    }
}
