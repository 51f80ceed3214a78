//! How messages move: from a phone or a node onto the network, and from the network to a phone or a node.

use core::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use sip_core::flow::{ConnectionId, Flow, Transport};
use sip_core::input::{Answer, Input};
use sip_core::output::{Ask, ClientToken, Question, Transmit};
use sip_core::route::nat;
use sip_core::time::{Duration, Instant};
use sip_message::frame::{Frame, Framer};

use super::{Connection, Kind, Parcel, World};
use crate::heard::{self, Heard};
use crate::network::PlaceId;
use crate::phone::agent::{Agent, Out};
use crate::phone::draft::Target;
use crate::server::Turn;
use crate::wire::Wire;

impl World {
    pub(super) fn deliver(&mut self, parcel: Parcel) {
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
                if let Some(phone) = self.connection(connection).map(|c| c.phone) {
                    self.tell_phone(phone, |agent, now| agent.flow_closed(now, connection));
                }
            }
            Parcel::Unsent { phone, token } => {
                self.tell_phone(phone, |agent, now| agent.send_failed(now, token));
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
            let address = self.servers.get(server).map_or(remote, |s| s.address_for(remote));
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
                // RFC 5626 §4.4.1.
                Frame::KeepAlive => self.send_segment(to, id, Bytes::from_static(b"\r\n")),
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
        let is_real = p.agent.borrow().mind.is_some();
        if !message.broken || is_real {
            p.agent.borrow_mut().receive(self.now, message, bytes, from);
        }
        self.flush(phone);
    }

    /// What a phone wants sent.
    pub(super) fn flush(&mut self, phone: usize) {
        let Some(p) = self.phones.get(phone).cloned() else { return };
        let outs = std::mem::take(&mut p.agent.borrow_mut().out);
        let closes = p.agent.borrow_mut().mind.as_mut().map(|m| std::mem::take(&mut m.closes));
        for id in closes.unwrap_or_default() {
            self.close(usize::try_from(id.0).map_or(0, |i| i.saturating_sub(1)));
        }
        for Out { target, bytes, token } in outs {
            self.judge(phone, &bytes);
            match target.transport {
                Transport::Udp => {
                    let mut source = p.address();
                    if let Some(nat) = self.nats.get_mut(&p.place) {
                        source.set_port(nat.outbound(self.now, target.address));
                    }
                    self.send_datagram(p.place, source, target.address, bytes);
                }
                Transport::Tcp => self.send_stream_from_phone(phone, target, bytes, token),
            }
        }
    }

    /// What a real user agent sends must be beyond reproach, like what the server sends.
    fn judge(&mut self, phone: usize, bytes: &Bytes) {
        let is_real = self.phones.get(phone).is_some_and(|p| p.agent.borrow().mind.is_some());
        let is_blank = bytes.iter().all(|b| matches!(b, b'\r' | b'\n'));
        if is_real
            && !is_blank
            && let Err(why) = heard::strict(bytes)
        {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let what = format!("a user agent sent what nobody can read ({why}):\n{text}");
            self.trace.violation(self.now, &what);
        }
    }

    fn tell_phone(&mut self, phone: usize, act: impl FnOnce(&mut Agent, Instant)) {
        if let Some(p) = self.phones.get(phone).cloned() {
            act(&mut p.agent.borrow_mut(), self.now);
            self.flush(phone);
        }
    }

    /// What the nodes of a server want done.
    pub(super) fn take(&mut self, server: usize, turns: Vec<Turn>) {
        for Turn { node, outbox } in turns {
            for transmit in outbox.transmits {
                self.transmit(server, node, transmit);
            }
            for Ask { id, question } in outbox.asks {
                let Some(s) = self.servers.get(server) else { continue };
                let (at, answer) = match question {
                    Question::Store(rows) => s.answer(self.seed, self.now, &rows),
                    Question::Resolve { query, until } => {
                        let (at, resolution) = self.dns.answer(self.now, &query, until);
                        (at, Answer::Resolved(resolution))
                    }
                };
                self.post(
                    at,
                    Parcel::Work { server, node, input: Input::Answer { ask: id, answer } },
                );
            }
        }
    }

    fn transmit(&mut self, server: usize, node: usize, transmit: Transmit) {
        let Transmit { flow, bytes, token, second } = transmit;
        let Some((place, source)) =
            self.servers.get(server).map(|s| (s.place, s.address_for(flow.remote)))
        else {
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
            if self.refusing.contains(&flow.remote)
                && let Some(token) = token
            {
                let input = Input::Unreachable { token, remote: flow.remote };
                let at = self.now + Duration::from_millis(1);
                self.post(at, Parcel::Work { server, node, input });
            }
            return self.send_datagram(place, source, flow.remote, bytes);
        }
        let way = self.stream_from_server(server, flow);
        let second = second.or_else(|| nat::way_back(&bytes, &flow));
        match way.or_else(|| second.and_then(|second| self.stream_from_server(server, second))) {
            Some(id) => self.send_segment(place, id, bytes),
            None => {
                if let Some(s) = self.servers.get(server) {
                    s.shared.refusals.note(self.now, flow.remote);
                }
                let phone = self.connection(flow.connection).map(|c| c.phone);
                let phone = phone.and_then(|p| self.phones.get(p)).map(|p| p.place);
                self.record(
                    place,
                    phone.or_else(|| self.place_of(flow.remote)),
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
            // Once for the connection, once for the second way.
            let failed = self.failed.iter().filter(|f| **f == (server, node, token)).count();
            if failed > 1 {
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

    fn send_stream_from_phone(
        &mut self,
        phone: usize,
        target: Target,
        bytes: Bytes,
        token: Option<ClientToken>,
    ) {
        let Some(place) = self.phones.get(phone).map(|p| p.place) else { return };
        let Some(server) = self
            .servers
            .iter()
            .position(|s| s.address_for(target.address).ip() == target.address.ip())
        else {
            self.record(place, None, ConnectionId::NONE, true, (&bytes, hear(&bytes)), Vec::new());
            if let Some(token) = token {
                let at = self.now + Duration::from_millis(1);
                self.post(at, Parcel::Unsent { phone, token });
            }
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
        let place = self.place_of(to);
        let message = hear(&bytes);
        let (label, call_id) = (message.label(), message.call_id.clone());
        let mut arrivals = match place {
            Some(place) => self.network.fate(self.now, (from, place), false, &call_id, &label),
            None => Vec::new(),
        };
        let nat = place.and_then(|place| self.nats.get(&place));
        if nat.is_some_and(|nat| !nat.lets_in(self.now, to.port(), source)) {
            arrivals.clear();
        }
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

    /// Whoever listens at this address and port.
    pub(crate) fn place_of(&self, address: SocketAddr) -> Option<PlaceId> {
        let found = self.places.iter().position(|p| p.ips.contains(&address.ip()))?;
        let listens = match self.places.get(found).map(|p| &p.kind) {
            // Whether it gets through is the NAT's to say.
            _ if self.nats.contains_key(&PlaceId(found)) => true,
            Some(Kind::Phone(phone)) => {
                self.phones.get(*phone).is_some_and(|p| p.listens_on(address.port()))
            }
            _ => address.port() == 5060,
        };
        listens.then_some(PlaceId(found))
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
}

fn hear(bytes: &Bytes) -> Rc<Heard> {
    if !bytes.is_empty() && bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
        return Heard::blank();
    }
    Heard::parse(bytes).unwrap_or_else(|_| Heard::broken())
}
