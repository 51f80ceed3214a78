//! Drives one `UserAgent`: bytes in, bytes out, names to addresses, time. One current-thread loop; everything it learns
//! comes out of `next` as events. It decides nothing about a call and prints nothing.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sip_core::config::Listener;
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::time::Instant;
use sip_core::ua::{
    CallId, Command, Event, Input, Outbox, RequestId, Resolve, ResolveFailure, Settings, UserAgent,
};
use sip_message::Message;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::resolve;
use crate::transport::{Arrival, BindError, Network};

/// Addresses whose last error is remembered.
const TROUBLES_MAX: usize = 64;

/// A message on its way, for those who want to see it.
pub struct Sight<'a> {
    pub at: Instant,
    pub sent: bool,
    pub flow: Flow,
    pub bytes: &'a [u8],
}

/// Sees every message.
pub type Witness = Box<dyn FnMut(&Sight<'_>)>;

pub struct Engine {
    agent: UserAgent,
    clock: Clock,
    network: Network,
    arrivals: mpsc::Receiver<Arrival>,
    /// What is to be told to the agent before anything new is read.
    inputs: VecDeque<Input>,
    out: Outbox,
    events: VecDeque<Event>,
    troubles: HashMap<SocketAddr, io::Error>,
    witness: Option<Witness>,
    /// Who answered last: whom to name when things go wrong.
    heard: Option<Flow>,
    invited: String,
}

/// Runs a program of the phone to its end on a loop of its own.
pub fn run<T>(program: impl Future<Output = T>) -> io::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default())?;
    let done = runtime.block_on(program);
    // A resolver that hangs must not hold the program.
    runtime.shutdown_background();
    Ok(done)
}

/// The sockets of a phone that is to be.
pub struct Open {
    network: Network,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Open {
    /// Binds UDP and TCP. An unspecified address advertises `advertised`.
    pub fn bind(
        local: SocketAddr,
        first: Transport,
        advertised: IpAddr,
    ) -> Result<Self, BindError> {
        let (network, arrivals) = Network::open(local, first, advertised)?;
        Ok(Self { network, arrivals })
    }

    pub fn listeners(&self) -> &[Listener] {
        self.network.listeners()
    }
}

impl Engine {
    pub fn new(settings: Settings, open: Open, witness: Option<Witness>) -> io::Result<Self> {
        let mut seed = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self {
            agent: UserAgent::new(settings, seed),
            clock: Clock::start(),
            network: open.network,
            arrivals: open.arrivals,
            inputs: VecDeque::new(),
            out: Outbox::default(),
            events: VecDeque::new(),
            troubles: HashMap::new(),
            witness,
            heard: None,
            invited: String::new(),
        })
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub const fn settings(&self) -> &Settings {
        self.agent.settings()
    }

    pub const fn new_call(&mut self) -> CallId {
        self.agent.new_call()
    }

    pub const fn new_request(&mut self) -> RequestId {
        self.agent.new_request()
    }

    /// What went wrong last with this address.
    pub fn trouble(&self, remote: SocketAddr) -> Option<&io::Error> {
        self.troubles.get(&remote)
    }

    /// The Call-ID of the INVITE we sent last.
    pub fn invited(&self) -> &str {
        &self.invited
    }

    /// Who sent us the last message.
    pub const fn heard(&self) -> Option<Flow> {
        self.heard
    }

    pub fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
        self.settle();
    }

    /// The next thing that happened. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let deadline = self.agent.next_deadline();
            tokio::select! {
                biased;
                arrival = self.arrivals.recv() => match arrival {
                    Some(arrival) => self.arrive(arrival),
                    // We hold a sender ourselves.
                    None => std::future::pending().await,
                },
                () = until(&self.clock, deadline) => self.handle(Input::Tick),
            }
            self.settle();
        }
    }

    /// Whether nothing of ours is under way: every request answered, every transaction that must repeat itself done.
    pub fn is_idle(&self) -> bool {
        let sizes = self.agent.sizes();
        sizes.exchanges == 0 && sizes.calls == 0
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { flow, bytes } => {
                self.see(false, flow, &bytes);
                self.heard = Some(flow);
                self.troubles.remove(&flow.remote);
                self.handle(Input::Message { flow, bytes });
            }
            Arrival::Accepted { stream, remote } => self.network.accept(stream, remote),
            Arrival::Closed { connection, remote, error } => self.closed(connection, remote, error),
            Arrival::Refused { remote, error } => {
                self.note(remote, error);
                self.fail_sent(remote);
            }
            Arrival::Resolved { ask, flows } => self.handle(Input::Resolved { ask, flows }),
        }
    }

    fn closed(&mut self, connection: ConnectionId, remote: SocketAddr, error: Option<io::Error>) {
        self.network.forget(connection, remote);
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection");
        self.note(remote, error.unwrap_or_else(closed));
        self.handle(Input::FlowClosed { connection });
        self.fail_sent(remote);
    }

    fn fail_sent(&mut self, remote: SocketAddr) {
        let tokens = self.network.sent_to(remote).into_iter();
        self.inputs.extend(tokens.map(|token| Input::SendFailed { token }));
    }

    fn note(&mut self, remote: SocketAddr, error: io::Error) {
        if self.troubles.len() < TROUBLES_MAX || self.troubles.contains_key(&remote) {
            self.troubles.insert(remote, error);
        }
    }

    /// One turn of the agent, and what follows from what follows.
    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.agent.handle(now, input, &mut self.out);
        self.carry_out();
    }

    fn settle(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            self.handle(input);
        }
    }

    fn carry_out(&mut self) {
        self.events.extend(self.out.events.drain(..));
        for resolve in std::mem::take(&mut self.out.resolves) {
            self.resolve(resolve);
        }
        for transmit in std::mem::take(&mut self.out.transmits) {
            self.see(true, transmit.flow, &transmit.bytes);
            if transmit.bytes.starts_with(b"INVITE ")
                && let Ok(Message::Request(invite)) = Message::parse(transmit.bytes.clone())
                && let Ok(call_id) = invite.call_id()
            {
                self.invited = String::from_utf8_lossy(call_id).into_owned();
            }
            let remote = transmit.flow.remote;
            if let Err((token, error)) = self.network.send(transmit) {
                self.note(remote, error);
                self.inputs.extend(token.map(|token| Input::SendFailed { token }));
            }
        }
    }

    fn see(&mut self, sent: bool, flow: Flow, bytes: &Bytes) {
        let at = self.clock.now();
        if let Some(witness) = &mut self.witness {
            witness(&Sight { at, sent, flow, bytes });
        }
    }

    fn resolve(&self, resolve: Resolve) {
        let listeners = self.network.listeners().to_vec();
        let arrivals = self.network.arrivals();
        tokio::task::spawn_local(async move {
            let Resolve { ask, hop } = resolve;
            let flows = match resolve::addresses(&hop).await {
                Ok(addresses) => flows(&listeners, hop.transport, &addresses),
                Err(why) => Err(ResolveFailure { why: why.into() }),
            };
            let _ = arrivals.send(Arrival::Resolved { ask, flows }).await;
        });
    }
}

async fn until(clock: &Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(clock.monotonic(deadline)).await,
        None => std::future::pending().await,
    }
}

/// The ways there from our listeners.
fn flows(
    listeners: &[Listener],
    transport: Option<Transport>,
    addresses: &[SocketAddr],
) -> Result<Vec<Flow>, ResolveFailure> {
    let transport = transport.unwrap_or(Transport::Udp);
    let flow = |remote: &SocketAddr| {
        let fits =
            |l: &Listener| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4();
        let listener = ListenerId(u16::try_from(listeners.iter().position(fits)?).ok()?);
        Some(Flow { transport, listener, connection: ConnectionId::NONE, remote: *remote })
    };
    let flows: Vec<Flow> = addresses.iter().filter_map(flow).collect();
    if flows.is_empty() {
        let ours = if addresses.iter().any(SocketAddr::is_ipv4) { "IPv6" } else { "IPv4" };
        let why = format!("none of its addresses is {ours}, which we are bound to; try --bind");
        return Err(ResolveFailure { why: why.into() });
    }
    Ok(flows)
}
