//! `World`: servers, phones and the network between them, in virtual time. A minute of SIP takes microseconds, and
//! the same seed always gives the same minute.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sip_core::config::Config;
use sip_core::flow::{ConnectionId, Flow, Transport};
use sip_core::input::Input;
use sip_core::output::{Ask, ClientToken, Transmit};
use sip_core::time::{Duration, Instant};
use sip_core::timer::LINGER_STEP;
use sip_message::frame::{Frame, Framer};

use crate::heard::{self, Heard};
use crate::ladder;
use crate::network::{Effect, Network, PlaceId, Which};
use crate::phone::Phone;
use crate::phone::agent::{Agent, Out};
use crate::phone::draft::Target;
use crate::server::{Server, Store, Turn};
use crate::wire::{Trace, Wire};

/// Where the virtual clock starts, in Unix seconds. Any moment will do; it must not be zero, nonces carry it.
pub const START: Instant = Instant::from_secs(1_800_000_000);
/// 64*T1: RFC 3261 §17.
pub const GIVE_UP: Duration = Duration::from_secs(32);
/// More turns than this at one instant: something answers itself.
const TURNS_MAX: u32 = 100_000;

/// What is under way.
enum Parcel {
    Datagram { to: PlaceId, from: SocketAddr, bytes: Bytes, message: Rc<Heard> },
    Segment { to: PlaceId, connection: ConnectionId, bytes: Bytes },
    Closed { server: usize, connection: ConnectionId },
    Work { server: usize, node: usize, input: Input },
}

#[derive(Clone, Debug)]
enum Kind {
    Server(usize),
    Phone(usize),
}

struct Place {
    name: String,
    ip: IpAddr,
    kind: Kind,
}

/// A stream between a phone and a server.
struct Connection {
    server: usize,
    phone: usize,
    /// The phone's end as the server sees it.
    remote: SocketAddr,
    open: bool,
    framer: Framer,
    /// Streams keep order: the last arrival towards the server, towards the phone.
    last: [Instant; 2],
}

pub struct World {
    pub seed: u64,
    pub now: Instant,
    pub network: Network,
    pub trace: Trace,
    /// Streams arrive in pieces of at most this many bytes; 0: whole.
    pub segment: usize,
    /// Violations that this scenario provokes on purpose contain one of these words.
    pub allowed: Vec<String>,
    servers: Vec<Server>,
    phones: Vec<Phone>,
    places: Vec<Place>,
    connections: Vec<Connection>,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    posted: u64,
    nodes: usize,
    /// Client transactions that were told that their transport failed.
    failed: Vec<(usize, usize, ClientToken)>,
}

impl World {
    /// A world with one server, `proxy`, of the domain `example.com`, made of `nodes` nodes.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let mut world = Self {
            seed,
            now: START,
            network: Network::new(seed),
            trace: Trace::default(),
            segment: 0,
            allowed: Vec::new(),
            servers: Vec::new(),
            phones: Vec::new(),
            places: Vec::new(),
            connections: Vec::new(),
            parcels: BTreeMap::new(),
            posted: 0,
            nodes,
            failed: Vec::new(),
        };
        world.add_server("proxy", "example.com");
        world
    }

    // ---- who is there ----

    /// One more server with a domain of its own. Gives its address.
    pub fn add_server(&mut self, name: &str, domain: &str) -> SocketAddr {
        let index = self.servers.len();
        let address = SocketAddr::from(([10, 0, 0, index as u8 + 1], 5060));
        let place = PlaceId(self.places.len());
        self.places.push(Place {
            name: name.to_owned(),
            ip: address.ip(),
            kind: Kind::Server(index),
        });
        self.servers.push(Server::new(place, address, domain, self.nodes));
        address
    }

    /// A phone of `example.com` with an account (its password is its name) and a binding.
    pub fn phone(&mut self, name: &str) -> Phone {
        self.phone_of(name, name, Transport::Udp, 0, true)
    }

    /// The same, registered over a stream it listens on.
    pub fn tcp_phone(&mut self, name: &str) -> Phone {
        self.phone_of(name, name, Transport::Tcp, 0, true)
    }

    /// One more device of a user.
    pub fn device(&mut self, user: &str, name: &str) -> Phone {
        self.phone_of(name, user, Transport::Udp, 0, true)
    }

    /// A phone with an account that has not registered yet.
    pub fn unregistered(&mut self, name: &str) -> Phone {
        self.phone_of(name, name, Transport::Udp, 0, false)
    }

    /// A registered phone of the server `number` (0 is the first).
    pub fn phone_at(&mut self, number: usize, name: &str) -> Phone {
        self.phone_of(name, name, Transport::Udp, number, true)
    }

    /// Somebody without account and binding, From another domain.
    pub fn stranger(&mut self, name: &str) -> Phone {
        let phone = self.add_phone(name, name, Transport::Udp, 0);
        "elsewhere.net".clone_into(&mut phone.agent.borrow_mut().domain);
        phone
    }

    pub fn phone_of(
        &mut self,
        name: &str,
        user: &str,
        transport: Transport,
        server: usize,
        registered: bool,
    ) -> Phone {
        let phone = self.add_phone(name, user, transport, server);
        phone.password(user);
        let (contact, address) = (phone.contact(), phone.address());
        let now = self.now;
        if let Some(s) = self.servers.get_mut(server) {
            s.add_account(user, user);
            if registered {
                let flow = s.flow(transport, ConnectionId::NONE, address);
                s.preload(now, user, &contact, flow);
            }
        }
        phone
    }

    /// An account without a phone; its password is its name.
    pub fn add_account(&mut self, server: usize, user: &str) {
        if let Some(s) = self.servers.get_mut(server) {
            s.add_account(user, user);
        }
    }

    fn add_phone(&mut self, name: &str, user: &str, transport: Transport, server: usize) -> Phone {
        let index = self.phones.len();
        let address =
            SocketAddr::from(([10, 0, 1 + (index / 250) as u8, (index % 250) as u8 + 1], 5060));
        let place = PlaceId(self.places.len());
        self.places.push(Place {
            name: name.to_owned(),
            ip: address.ip(),
            kind: Kind::Phone(index),
        });
        let (domain, proxy) = self
            .servers
            .get(server)
            .map_or((String::new(), address), |s| (s.domain.clone(), s.address));
        let mut agent = Agent::new(name, user, &domain, address, proxy);
        agent.transport = transport;
        let phone = Phone { agent: Rc::new(RefCell::new(agent)), place };
        self.phones.push(phone.clone());
        phone
    }

    /// Gives `user` of the first server one more contact, whatever it is.
    pub fn bind(&mut self, user: &str, contact: &str) {
        self.bind_at(0, user, contact);
    }

    /// The same at another server.
    pub fn bind_at(&mut self, server: usize, user: &str, contact: &str) {
        let now = self.now;
        let remote = crate::phone::draft::address_of(contact)
            .map_or(SocketAddr::from(([10, 9, 9, 9], 5060)), |(address, _)| address);
        if let Some(s) = self.servers.get_mut(server) {
            let flow = s.flow(Transport::Udp, ConnectionId::NONE, remote);
            s.preload(now, user, contact, flow);
        }
    }

    /// Changes the configuration of the first server; before the first message.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        self.configure_server(0, change);
    }

    pub fn configure_server(&mut self, server: usize, change: impl FnOnce(&mut Config)) {
        if let Some(s) = self.servers.get_mut(server) {
            change(&mut s.config);
        }
    }

    /// The first server asks for passwords.
    pub fn require_passwords(&mut self) {
        self.configure(|c| c.auth.enabled = true);
    }

    /// Bindings of the first server live in a store that answers like this.
    pub fn store(&mut self, store: Store) {
        self.configure(|c| c.durable = true);
        if let Some(s) = self.servers.first_mut() {
            s.store = store;
        }
    }

    pub fn rename_server(&mut self, server: usize, name: &str) {
        let place = self.servers.get(server).map(|s| s.place.0);
        if let Some(place) = place.and_then(|p| self.places.get_mut(p)) {
            name.clone_into(&mut place.name);
        }
    }

    /// Power off: nothing is received, nothing is sent.
    pub fn kill_server(&mut self, server: usize) {
        if let Some(s) = self.servers.get_mut(server) {
            s.dead = true;
        }
    }

    pub fn phones(&self) -> &[Phone] {
        &self.phones
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub fn name(&self, place: PlaceId) -> &str {
        self.places.get(place.0).map_or("?", |p| &p.name)
    }

    pub fn is_server(&self, place: PlaceId) -> bool {
        self.places.get(place.0).is_some_and(|p| matches!(p.kind, Kind::Server(_)))
    }

    // ---- weather ----

    /// The n-th messages (from 1) of this label, `"200 BYE"`, on this way, `"bob -> proxy"`, are lost.
    pub fn lose(&mut self, way: &str, label: &str, nth: &[u32]) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Lose);
    }

    pub fn lose_all(&mut self, way: &str, label: &str) {
        self.rule(way, label, Which::All, Effect::Lose);
    }

    pub fn delay(&mut self, way: &str, label: &str, nth: &[u32], by: Duration) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Delay(by));
    }

    /// The network delivers the n-th of them once more, this much later.
    pub fn repeat(&mut self, way: &str, label: &str, nth: &[u32], later: Duration) {
        self.rule(way, label, Which::Nth(nth.to_vec()), Effect::Repeat(later));
    }

    /// # Panics
    /// The way is not `"name -> name"` of parties that exist: a mistake in the scenario.
    #[expect(clippy::expect_used, reason = "a scenario with a wrong name must fail loudly")]
    fn rule(&mut self, way: &str, label: &str, which: Which, effect: Effect) {
        let (from, to) = way.split_once(" -> ").expect("a way is written `from -> to`");
        let find = |name: &str| self.places.iter().position(|p| p.name == name).map(PlaceId);
        let from = find(from).expect("no party has the first name");
        let to = find(to).expect("no party has the second name");
        self.network.rule(from, to, label, which, effect);
    }

    /// Every stream of this phone breaks.
    pub fn cut(&mut self, phone: &Phone) {
        for index in 0..self.connections.len() {
            let mine = self.connections.get(index).is_some_and(|c| {
                c.open && self.phones.get(c.phone).is_some_and(|p| p.place == phone.place)
            });
            if mine {
                self.close(index);
            }
        }
    }

    fn close(&mut self, index: usize) {
        let Some(c) = self.connections.get_mut(index) else { return };
        c.open = false;
        let (server, at) = (c.server, self.now + Duration::from_millis(1));
        let connection = ConnectionId(index as u64 + 1);
        self.post(at, Parcel::Closed { server, connection });
    }

    // ---- time ----

    /// Runs until nothing can happen any more: 64*T1 after the last message.
    pub fn run(&mut self) {
        loop {
            self.adopt();
            match self.next_wake() {
                Some(at) if self.next_busy().is_some() || at <= self.silence_ends() => {
                    self.step_to(at);
                }
                _ => break,
            }
        }
        self.now = self.now.max(self.silence_ends());
    }

    /// Runs for this long, whatever happens.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.adopt();
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            self.step_to(at);
            self.adopt();
        }
        self.now = end;
    }

    /// When the tables must be empty. A call that only rings lasts until Timer C (RFC 3261 §16.6 step 11).
    fn silence_ends(&self) -> Instant {
        // The RFC's lingering times are least values, and the core rounds them up.
        let grace = GIVE_UP + LINGER_STEP + Duration::from_millis(1);
        let ringing = self.servers.iter().any(|s| !s.leftovers().is_empty())
            && crate::check::unanswered(self).next().is_some();
        let timer_c =
            self.servers.iter().map(|s| s.config.timers.timer_c).max().unwrap_or_default();
        self.trace.last_moved() + if ringing { timer_c + grace } else { grace }
    }

    fn adopt(&mut self) {
        for phone in &self.phones {
            phone.agent.borrow_mut().adopt(self.now);
        }
    }

    /// Something that is under way or planned by a phone.
    fn next_busy(&self) -> Option<Instant> {
        let parcel = self.parcels.keys().next().map(|(at, _)| *at);
        let alarm = self.phones.iter().filter_map(|p| p.agent.borrow().next_alarm()).min();
        parcel.into_iter().chain(alarm).min()
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline =
            self.servers.iter().filter(|s| !s.dead).filter_map(Server::next_deadline).min();
        self.next_busy().into_iter().chain(deadline).min()
    }

    /// Moves the clock to `at` and does everything that is due: arrivals, then phones, then timers of nodes.
    fn step_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        for _ in 0..TURNS_MAX {
            let Some(entry) = self.parcels.first_entry() else { break };
            if entry.key().0 > self.now {
                break;
            }
            let parcel = entry.remove();
            self.deliver(parcel);
        }
        for index in 0..self.phones.len() {
            let Some(phone) = self.phones.get(index).cloned() else { continue };
            phone.agent.borrow_mut().wake(self.now);
            self.flush(index);
        }
        for index in 0..self.servers.len() {
            let Some(server) = self.servers.get_mut(index).filter(|s| !s.dead) else { continue };
            let turns = server.tick(self.now);
            if server.next_deadline().is_some_and(|at| at <= self.now)
                && turns.iter().all(|t| t.outbox.is_empty())
            {
                self.trace.violation(self.now, "a node's deadline does not move when it is ticked");
                self.now = self.now + Duration::from_millis(1);
            }
            self.take(index, turns);
        }
    }

    fn post(&mut self, at: Instant, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }

    // ---- moving messages ----

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Datagram { to, from, bytes, message } => {
                match self.places.get(to.0).map(|p| &p.kind) {
                    Some(Kind::Server(s)) => {
                        let s = *s;
                        self.arrive(s, Transport::Udp, ConnectionId::NONE, from, bytes);
                    }
                    Some(Kind::Phone(p)) => {
                        let p = *p;
                        self.reach(p, Target::new(from, Transport::Udp), &bytes, &message);
                    }
                    None => {}
                }
            }
            Parcel::Segment { to, connection, bytes } => {
                self.deliver_segment(to, connection, bytes)
            }
            Parcel::Closed { server, connection } => {
                let Some(s) = self.servers.get_mut(server) else { return };
                let turns = s.close(self.now, connection);
                self.take(server, turns);
            }
            Parcel::Work { server, node, input } => {
                let Some(s) = self.servers.get_mut(server) else { return };
                let turn = s.handle(self.now, node, input);
                self.take(server, vec![turn]);
            }
        }
    }

    fn deliver_segment(&mut self, to: PlaceId, id: ConnectionId, bytes: Bytes) {
        let Some(c) = self.connection(id).filter(|c| c.open) else { return };
        let (server, phone, remote) = (c.server, c.phone, c.remote);
        if !self.is_server(to) {
            let address = self.servers.get(server).map_or(remote, |s| s.address);
            let from = Target { address, transport: Transport::Tcp, connection: id };
            return self.reach(phone, from, &bytes, &hear(&bytes));
        }
        let Some(c) = self.connection(id) else { return };
        c.framer.push(&bytes);
        let mut frames = Vec::new();
        while let Some(frame) = c.framer.next() {
            frames.push(frame);
        }
        for frame in frames {
            match frame {
                Frame::Message(bytes) => self.arrive(server, Transport::Tcp, id, remote, bytes),
                Frame::KeepAlive => {}
                Frame::Broken(bytes) => {
                    self.arrive(server, Transport::Tcp, id, remote, bytes);
                    self.close(usize::try_from(id.0).map_or(0, |i| i.saturating_sub(1)));
                }
            }
        }
    }

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(usize::try_from(id.0).ok()?.checked_sub(1)?)
    }

    fn arrive(
        &mut self,
        server: usize,
        transport: Transport,
        connection: ConnectionId,
        remote: SocketAddr,
        bytes: Bytes,
    ) {
        let Some(s) = self.servers.get_mut(server).filter(|s| !s.dead) else { return };
        let flow = s.flow(transport, connection, remote);
        let turn = s.receive(self.now, flow, bytes);
        self.take(server, vec![turn]);
    }

    fn reach(&mut self, phone: usize, from: Target, bytes: &Bytes, message: &Rc<Heard>) {
        let Some(p) = self.phones.get(phone).cloned() else { return };
        if !message.broken {
            p.agent.borrow_mut().receive(self.now, message, bytes, from);
        }
        self.flush(phone);
    }

    /// What a phone wants sent.
    fn flush(&mut self, phone: usize) {
        let Some(p) = self.phones.get(phone).cloned() else { return };
        let outs = std::mem::take(&mut p.agent.borrow_mut().out);
        let source = p.address();
        for Out { target, bytes } in outs {
            match target.transport {
                Transport::Udp => self.send_datagram(p.place, source, target.address, bytes),
                Transport::Tcp => self.send_stream_from_phone(phone, target, bytes),
            }
        }
    }

    /// What the nodes of a server want done.
    fn take(&mut self, server: usize, turns: Vec<Turn>) {
        for Turn { node, outbox } in turns {
            for transmit in outbox.transmits {
                self.transmit(server, node, transmit);
            }
            for Ask { id, question } in outbox.asks {
                let Some(s) = self.servers.get(server) else { continue };
                let (at, answer) = s.answer(self.seed, self.now, &question);
                self.post(
                    at,
                    Parcel::Work { server, node, input: Input::Answer { ask: id, answer } },
                );
            }
        }
    }

    fn transmit(&mut self, server: usize, node: usize, transmit: Transmit) {
        let Transmit { flow, bytes, token } = transmit;
        let Some((place, source)) = self.servers.get(server).map(|s| (s.place, s.address)) else {
            return;
        };
        if let Err(why) = heard::strict(&bytes) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.trace.violation(
                self.now,
                &format!("the server sent what nobody can read ({why}):\n{text}"),
            );
        }
        if flow.transport == Transport::Udp {
            return self.send_datagram(place, source, flow.remote, bytes);
        }
        match self.stream_from_server(server, flow) {
            Some(id) => self.send_segment(place, id, bytes),
            None => {
                self.record(
                    place,
                    self.place_of(flow.remote.ip()),
                    flow.connection,
                    true,
                    (&bytes, hear(&bytes)),
                    Vec::new(),
                );
                self.fail(server, node, token);
            }
        }
    }

    fn fail(&mut self, server: usize, node: usize, token: Option<ClientToken>) {
        if let Some(token) = token {
            if self.failed.contains(&(server, node, token)) {
                self.trace.violation(
                    self.now,
                    "a transaction that was told its flow is closed sent again",
                );
            }
            self.failed.push((server, node, token));
            let at = self.now + Duration::from_millis(1);
            self.post(at, Parcel::Work { server, node, input: Input::SendFailed { token } });
        }
    }

    /// The open connection for a flow, opened now if need be; None: it cannot be sent.
    fn stream_from_server(&mut self, server: usize, flow: Flow) -> Option<ConnectionId> {
        if flow.connection != ConnectionId::NONE {
            let open = self.connection(flow.connection).is_some_and(|c| c.open);
            return open.then_some(flow.connection);
        }
        let known = self
            .connections
            .iter()
            .position(|c| c.open && c.server == server && c.remote == flow.remote);
        if let Some(index) = known {
            return Some(ConnectionId(index as u64 + 1));
        }
        let phone = self.phones.iter().position(|p| {
            let agent = p.agent.borrow();
            agent.address == flow.remote && agent.transport == Transport::Tcp && !agent.dead
        })?;
        Some(self.connect(server, phone, flow.remote))
    }

    fn connect(&mut self, server: usize, phone: usize, remote: SocketAddr) -> ConnectionId {
        self.connections.push(Connection {
            server,
            phone,
            remote,
            open: true,
            framer: Framer::default(),
            last: [Instant::ZERO; 2],
        });
        ConnectionId(self.connections.len() as u64)
    }

    fn send_stream_from_phone(&mut self, phone: usize, target: Target, bytes: Bytes) {
        let Some(place) = self.phones.get(phone).map(|p| p.place) else { return };
        let Some(server) = self.servers.iter().position(|s| s.address.ip() == target.address.ip())
        else {
            self.record(place, None, ConnectionId::NONE, true, (&bytes, hear(&bytes)), Vec::new());
            return;
        };
        let open = |c: &Connection| c.open && c.phone == phone && c.server == server;
        let named = self.connection(target.connection).is_some_and(|c| open(c));
        let id = if named {
            target.connection
        } else {
            match self.connections.iter().position(open) {
                Some(index) => ConnectionId(index as u64 + 1),
                None => {
                    let port = 40_000 + u16::try_from(self.connections.len()).unwrap_or(0);
                    let ip =
                        self.phones.get(phone).map_or(target.address.ip(), |p| p.address().ip());
                    self.connect(server, phone, SocketAddr::new(ip, port))
                }
            }
        };
        self.send_segment(place, id, bytes);
    }

    fn send_segment(&mut self, from: PlaceId, id: ConnectionId, bytes: Bytes) {
        let Some(c) = self.connection(id) else { return };
        let (server, phone) = (c.server, c.phone);
        let Some(server) = self.servers.get(server).map(|s| s.place) else { return };
        let Some(phone) = self.phones.get(phone).map(|p| p.place) else { return };
        let to_server = from == phone;
        let to = if to_server { server } else { phone };
        let heard = hear(&bytes);
        let mut arrivals =
            self.network.fate(self.now, (from, to), true, &heard.call_id, &heard.label());
        let way = usize::from(!to_server);
        if let (Some(at), Some(c)) = (arrivals.first_mut(), self.connection(id))
            && let Some(last) = c.last.get_mut(way)
        {
            *at = (*at).max(*last);
            *last = *at;
        }
        self.record(from, Some(to), id, true, (&bytes, heard), arrivals.clone());
        let piece = if to_server && self.segment > 0 { self.segment } else { bytes.len().max(1) };
        for at in arrivals {
            let mut rest = bytes.clone();
            while !rest.is_empty() {
                let bytes = rest.split_to(piece.min(rest.len()));
                self.post(at, Parcel::Segment { to, connection: id, bytes });
            }
        }
    }

    fn send_datagram(&mut self, from: PlaceId, source: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let place = self.place_of(to.ip());
        let message = hear(&bytes);
        let (label, call_id) = (message.label(), message.call_id.clone());
        let arrivals = match place {
            Some(place) => self.network.fate(self.now, (from, place), false, &call_id, &label),
            None => Vec::new(),
        };
        self.record(
            from,
            place,
            ConnectionId::NONE,
            false,
            (&bytes, Rc::clone(&message)),
            arrivals.clone(),
        );
        for at in arrivals {
            if let Some(to) = place {
                let (bytes, message) = (bytes.clone(), Rc::clone(&message));
                self.post(at, Parcel::Datagram { to, from: source, bytes, message });
            }
        }
    }

    fn place_of(&self, ip: IpAddr) -> Option<PlaceId> {
        self.places.iter().position(|p| p.ip == ip).map(PlaceId)
    }

    fn record(
        &mut self,
        from: PlaceId,
        to: Option<PlaceId>,
        connection: ConnectionId,
        reliable: bool,
        (bytes, message): (&Bytes, Rc<Heard>),
        arrivals: Vec<Instant>,
    ) {
        self.trace.record(Wire {
            sent: self.now,
            from,
            to,
            connection,
            reliable,
            bytes: bytes.clone(),
            message,
            arrivals,
            again: false,
        });
    }

    // ---- after the run ----

    /// The call flow so far: the first phone on the left, then the servers, then the other phones.
    pub fn ladder(&self) -> String {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_key(|i| match self.places.get(*i).map(|p| &p.kind) {
            Some(Kind::Phone(0)) | None => 0,
            Some(Kind::Server(_)) => 1,
            Some(Kind::Phone(_)) => 2,
        });
        let parties: Vec<(PlaceId, &str)> =
            order.into_iter().map(|i| (PlaceId(i), self.name(PlaceId(i)))).collect();
        ladder::draw(&parties, &self.trace.wires, START)
    }

    /// Contacts of a user of the first server, as they are now, sorted.
    pub fn bindings(&self, user: &str) -> Vec<String> {
        let Some(s) = self.servers.first() else { return Vec::new() };
        let found = s.shared.location.lookup(self.now, &format!("{user}@{}", s.domain));
        let mut contacts: Vec<String> =
            found.iter().flat_map(|b| b.iter()).map(|b| b.contact().to_owned()).collect();
        contacts.sort_unstable();
        contacts
    }

    /// The last message of this label on any wire, as text.
    pub fn last(&self, label: &str) -> String {
        let found = self.trace.wires.iter().rev().find(|w| w.message.label() == label);
        found.map_or(String::new(), |w| String::from_utf8_lossy(&w.bytes).into_owned())
    }

    /// How many messages of this label left `from`, repetitions included.
    pub fn sent(&self, from: &str, label: &str) -> usize {
        let sent = |w: &&Wire| self.name(w.from) == from && w.message.label() == label;
        self.trace.wires.iter().filter(sent).count()
    }

    /// Seconds since the start of the world.
    pub fn elapsed(&self) -> Duration {
        self.now.since(START)
    }
}

fn hear(bytes: &Bytes) -> Rc<Heard> {
    Heard::parse(bytes).unwrap_or_else(|_| Heard::broken())
}
