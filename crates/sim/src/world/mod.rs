//! `World`: servers, phones and the network between them, in virtual time. A minute of SIP takes microseconds, and
//! the same seed always gives the same minute.

mod account;
mod carriage;
mod clock;
mod nat;
mod weather;

pub use nat::Nat;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sip_core::config::Config;
use sip_core::flow::{ConnectionId, Transport};
use sip_core::forwarding::Forwards;
use sip_core::input::{Command, Input};
use sip_core::output::ClientToken;
use sip_core::time::{Duration, Instant};
use sip_core::ua::NextHop;
use sip_message::frame::Framer;

use crate::dns::Dns;
use crate::heard::Heard;
use crate::network::{Network, PlaceId};
use crate::phone::Phone;
use crate::phone::agent::Agent;
use crate::phone::softphone::{Mind, Softphone};
use crate::server::{Server, Store};
use crate::wire::Trace;

/// Where the virtual clock starts, in Unix seconds. Any moment will do; it must not be zero, nonces carry it.
pub const START: Instant = Instant::from_secs(1_800_000_000);
/// 64*T1: RFC 3261 §17.
pub const GIVE_UP: Duration = Duration::from_secs(32);

/// What is under way.
enum Parcel {
    Datagram {
        to: PlaceId,
        from: SocketAddr,
        bytes: Bytes,
        message: Rc<Heard>,
    },
    Segment {
        to: PlaceId,
        connection: ConnectionId,
        bytes: Bytes,
    },
    Closed {
        server: usize,
        connection: ConnectionId,
    },
    Work {
        server: usize,
        node: usize,
        input: Input,
    },
    /// A user agent's request could not be sent.
    Unsent {
        phone: usize,
        token: ClientToken,
    },
}

#[derive(Clone, Debug)]
enum Kind {
    Server(usize),
    Phone(usize),
}

struct Place {
    name: String,
    /// Of every family it speaks.
    ips: Vec<IpAddr>,
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
    pub dns: Dns,
    /// Where nobody listens, and the network says so (ICMP).
    pub refusing: Vec<SocketAddr>,
    servers: Vec<Server>,
    phones: Vec<Phone>,
    places: Vec<Place>,
    connections: Vec<Connection>,
    /// Of phones behind one.
    nats: HashMap<PlaceId, nat::Translator>,
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
            dns: Dns::new(),
            refusing: Vec::new(),
            servers: Vec::new(),
            phones: Vec::new(),
            places: Vec::new(),
            connections: Vec::new(),
            nats: HashMap::new(),
            parcels: BTreeMap::new(),
            posted: 0,
            nodes,
            failed: Vec::new(),
        };
        world.add_server("proxy", "example.com");
        world
    }

    /// One more server with a domain of its own. Gives its address.
    pub fn add_server(&mut self, name: &str, domain: &str) -> SocketAddr {
        let index = self.servers.len();
        let address = SocketAddr::from(([10, 0, 0, index as u8 + 1], 5060));
        let place = PlaceId(self.places.len());
        self.places.push(Place {
            name: name.to_owned(),
            ips: vec![address.ip(), self::address_6(index, 0).ip()],
            kind: Kind::Server(index),
        });
        let address_6 = address_6(index, 0);
        self.servers.push(Server::new(place, address, address_6, domain, self.nodes));
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

    /// A phone that has only IPv6.
    pub fn ipv6_phone(&mut self, name: &str) -> Phone {
        let phone = self.add_phone(name, name, Transport::Udp, 0);
        let address = address_6(0, self.phones.len());
        if let Some(place) = self.places.get_mut(phone.place.0) {
            place.ips = vec![address.ip()];
        }
        let proxy = self.servers.first().map_or(address, |s| s.address_6);
        phone.moves_to(address, proxy);
        self.enroll(&phone, name, 0, true);
        phone
    }

    /// A phone behind a NAT: what it writes about itself is a private address; its packets come from somewhere else,
    /// and only what is sent back there reaches it (RFC 3581).
    pub fn natted_phone(&mut self, name: &str) -> Phone {
        let phone = self.add_phone(name, name, Transport::Udp, 0);
        let number = u8::try_from(self.phones.len()).unwrap_or(u8::MAX);
        phone.claims(SocketAddr::from(([192, 168, 0, number], 5060)));
        self.enroll(&phone, name, 0, true);
        phone
    }

    /// One more device of a user.
    pub fn device(&mut self, user: &str, name: &str) -> Phone {
        self.phone_of(name, user, Transport::Udp, 0, true)
    }

    /// One more device of a user, preferred by `q` thousandths (RFC 3261 §20.10).
    pub fn device_with_q(&mut self, user: &str, name: &str, q: u16) -> Phone {
        let phone = self.phone_of(name, user, Transport::Udp, 0, true);
        let (contact, address, now) = (phone.contact(), phone.address(), self.now);
        if let Some(s) = self.servers.first_mut() {
            let flow = s.flow(Transport::Udp, ConnectionId::NONE, address);
            s.preload_with_q(now, user, &contact, flow, q);
        }
        phone
    }

    /// How much this phone is preferred, if it is registered.
    pub fn prefer(&mut self, phone: &Phone, q: u16) {
        let (contact, user) = (phone.contact(), phone.agent.borrow().user.clone());
        if self.bindings(&user).contains(&contact) {
            let (address, transport, now) =
                (phone.address(), phone.agent.borrow().transport, self.now);
            if let Some(s) = self.servers.first_mut() {
                let flow = s.flow(transport, ConnectionId::NONE, address);
                s.preload_with_q(now, &user, &contact, flow, q);
            }
        }
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
        self.enroll(&phone, user, server, registered);
        phone
    }

    /// A real user agent with an account and a binding, reached over UDP.
    pub fn softphone(&mut self, name: &str) -> Softphone {
        self.softphone_of(name, name, Transport::Udp, true)
    }

    /// The same with everything said: `registered`, as if it had been before the scenario begins.
    pub fn softphone_of(
        &mut self,
        name: &str,
        user: &str,
        transport: Transport,
        registered: bool,
    ) -> Softphone {
        let phone = self.phone_of(name, user, transport, 0, registered);
        {
            let mut agent = phone.agent.borrow_mut();
            let (contact, address) = (agent.contact(), agent.address);
            let hop = NextHop::address(transport, agent.proxy);
            let mind = Mind::new(user, &agent.domain, &contact, address, hop);
            agent.mind = Some(Box::new(mind));
        }
        Softphone { phone }
    }

    /// Account, password and, if it is to be so, binding.
    fn enroll(&mut self, phone: &Phone, user: &str, server: usize, registered: bool) {
        phone.password(user);
        let (contact, address) = (phone.contact(), phone.address());
        let (now, transport) = (self.now, phone.agent.borrow().transport);
        if let Some(s) = self.servers.get_mut(server) {
            s.add_account(user, user);
            if registered {
                let flow = s.flow(transport, ConnectionId::NONE, address);
                s.preload(now, user, &contact, flow);
            }
        }
    }

    /// An account without a phone; its password is its name.
    pub fn add_account(&mut self, server: usize, user: &str) {
        if let Some(s) = self.servers.get_mut(server) {
            s.add_account(user, user);
        }
    }

    /// Where the calls of a user of the first server go.
    pub fn forward(&mut self, user: &str, change: impl FnOnce(&mut Forwards)) {
        if let Some(s) = self.servers.first() {
            let aor = format!("{user}@{}", s.domain);
            let mut forwards =
                s.shared.accounts.forwards(&aor).as_deref().cloned().unwrap_or_default();
            change(&mut forwards);
            s.shared.accounts.set_forwards(&aor, forwards);
        }
    }

    fn add_phone(&mut self, name: &str, user: &str, transport: Transport, server: usize) -> Phone {
        let index = self.phones.len();
        let address =
            SocketAddr::from(([10, 0, 1 + (index / 250) as u8, (index % 250) as u8 + 1], 5060));
        let place = PlaceId(self.places.len());
        self.places.push(Place {
            name: name.to_owned(),
            ips: vec![address.ip()],
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
        self.bind_with_q(server, user, contact, 1000);
    }

    /// The same with a preference in thousandths.
    pub fn bind_with_q(&mut self, server: usize, user: &str, contact: &str, q: u16) {
        let now = self.now;
        let remote = crate::phone::draft::address_of(contact)
            .map_or(SocketAddr::from(([10, 9, 9, 9], 5060)), |(address, _)| address);
        if let Some(s) = self.servers.get_mut(server) {
            let flow = s.flow(Transport::Udp, ConnectionId::NONE, remote);
            s.preload_with_q(now, user, contact, flow, q);
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

    /// The first node of the first server asks the gateways from now on.
    pub fn tend(&mut self) {
        let input = Input::Command(Command::Tend { nodes: self.nodes });
        self.post(self.now, Parcel::Work { server: 0, node: 0, input });
    }

    /// Changes the configuration of the first server while it runs.
    pub fn reload(&mut self, change: impl FnOnce(&mut Config)) {
        let Some(server) = self.servers.first_mut() else { return };
        change(&mut server.config);
        let config = std::sync::Arc::new(server.config.clone());
        for node in 0..self.nodes {
            let input = Input::Config(std::sync::Arc::clone(&config));
            self.post(self.now, Parcel::Work { server: 0, node, input });
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

    /// One more server, without state, in front of `cores`. Gives its address.
    pub fn add_balancer(
        &mut self,
        name: &str,
        cores: &[SocketAddr],
        record_route: bool,
    ) -> SocketAddr {
        let address = self.add_server(name, &format!("{name}.net"));
        if let Some(server) = self.servers.last_mut() {
            server.balance(cores, record_route);
        }
        address
    }

    /// The process ends and begins anew, with the same configuration and key.
    pub fn restart_balancer(&mut self, server: usize) {
        if let Some(s) = self.servers.get_mut(server) {
            s.restart_balancer();
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

    /// A real user agent.
    pub fn is_softphone(&self, place: PlaceId) -> bool {
        let found = self.phones.iter().find(|phone| phone.place == place);
        found.is_some_and(|phone| phone.agent.borrow().mind.is_some())
    }

    /// Its messages are ours to answer for: it remembers, so all of RFC 3261 §17 is its business.
    pub fn is_ours(&self, place: PlaceId) -> bool {
        let has_state = |s: &Server| s.place == place && !s.is_stateless();
        self.servers.iter().any(has_state) || self.is_softphone(place)
    }

    pub fn is_server(&self, place: PlaceId) -> bool {
        self.places.get(place.0).is_some_and(|p| matches!(p.kind, Kind::Server(_)))
    }
}

/// Servers have the host part 1, 2, ..; their phones come after.
fn address_6(server: usize, phone: usize) -> SocketAddr {
    let (server, phone) = (server as u16 + 1, phone as u16);
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, phone, server], 5060))
}
