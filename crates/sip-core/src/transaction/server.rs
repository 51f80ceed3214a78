//! Server transactions: matching requests, sending and repeating responses (RFC 3261 §17.2, RFC 6026).

use core::net::SocketAddr;

use bytes::Bytes;
use sip_message::{Message, Method, Request};

use super::invite_server::{self, InviteServer};
use super::non_invite_server::{self, NonInviteServer};
use super::residue::ResponseResidue;
use super::{
    ContextId, Happening, Kind, Matched, ServerId, ServerKey, TransactionLayer, is_stopped,
};
use crate::flow::{Flow, ListenerId, Transport};
use crate::limits::{self, LimitReached};
use crate::output::Outbox;
use crate::time::Instant;
use crate::timer::{Doubling, Owner, Timer};

#[derive(Clone, Copy, Debug)]
enum Machine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

/// What the state needs beside itself.
#[derive(Debug)]
enum Tail {
    /// Slot in `live_servers`.
    Live(u32),
    /// INVITE in Accepted: where further 2xx go. The usual flow is kept in place.
    AcceptedUdp {
        ip: [u8; 4],
        port: u16,
        listener: u16,
    },
    /// Any other: slot in `flows`.
    Accepted(u32),
    /// Slot in `residues`.
    Completed(u32),
    CompletedPlain,
    Nothing,
}

#[derive(Debug)]
pub(super) struct ServerSlot {
    key: u64,
    tail: Tail,
    context: ContextId,
    machine: Machine,
    pub(super) epoch: u8,
    is_rfc2543: bool,
    /// The request had a To tag, so every response has the same one.
    has_to_tag: bool,
}

#[derive(Debug)]
pub(super) struct LiveServer {
    flow: Flow,
    /// The most recent response.
    response: Option<Bytes>,
}

/// What an action may need from the message at hand.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Request(&'a Request, &'a Flow),
    Response(&'a Bytes),
    Timer,
}

impl TransactionLayer {
    /// Which transaction `request` belongs to; a retransmission is dealt with here (RFC 3261 §17.2.3).
    pub fn receive_request(
        &mut self,
        now: Instant,
        request: &Request,
        flow: &Flow,
        out: &mut Outbox,
    ) -> Matched {
        let key = match ServerKey::of(&self.seal, request) {
            Ok(key) => key,
            Err(error) => return Matched::Unreadable(error),
        };
        let slot = self.server_slot(key);
        match (request.method(), slot) {
            (Method::Ack, Some(slot)) => self.receive_ack(now, slot, request, flow, out),
            (Method::Ack, None) => Matched::AckForTwoXx,
            (Method::Cancel, Some(slot)) => match self.servers.at(slot) {
                Some(server) => {
                    Matched::Cancel { server: self.server_id(slot), context: server.context }
                }
                None => Matched::CancelUnmatched,
            },
            (Method::Cancel, None) => Matched::CancelUnmatched,
            (_, Some(slot)) => {
                let cause = Cause::Request(request, flow);
                self.server_event(now, slot, Event::Retransmission, cause, out);
                Matched::Retransmission
            }
            (_, None) => Matched::New(key),
        }
    }

    /// Makes the server transaction that `receive_request` called new, for a TU that will `respond` to it.
    pub fn accept(
        &mut self,
        key: ServerKey,
        request: &Request,
        flow: &Flow,
        context: ContextId,
    ) -> Result<ServerId, LimitReached> {
        if self.servers.len() >= limits::SERVER_TRANSACTIONS.max {
            return Err(LimitReached { limit: limits::SERVER_TRANSACTIONS });
        }
        let reliable = flow.transport.is_reliable();
        let machine = match key.kind {
            Kind::Invite => Machine::Invite(InviteServer::start(reliable)),
            Kind::NonInvite => Machine::NonInvite(NonInviteServer::start(reliable)),
        };
        let (live, _) = self.live_servers.insert(LiveServer { flow: *flow, response: None });
        let (slot, generation) = self.servers.insert(ServerSlot {
            key: key.hash,
            tail: Tail::Live(live),
            context,
            machine,
            epoch: 0,
            is_rfc2543: key.is_rfc2543,
            has_to_tag: request.to().is_ok_and(|to| to.tag().is_some()),
        });
        let servers = &self.servers;
        let hash_of = |&slot: &u32| servers.at(slot).map_or(0, |server| server.key);
        self.index.insert_unique(key.hash, slot, hash_of);
        Ok(ServerId { slot, generation })
    }

    /// Sends a response of the TU: any number of 1xx, one final, and to an INVITE any number of 2xx after a 2xx
    /// (RFC 6026 §7.1). `wire` begins with a status line of `status`. What the state forbids is dropped.
    pub fn respond(
        &mut self,
        now: Instant,
        server: ServerId,
        status: u16,
        wire: Bytes,
        out: &mut Outbox,
    ) {
        if self.servers.named(server.slot, server.generation).is_some() {
            let cause = Cause::Response(&wire);
            self.server_event(now, server.slot, Event::Response(status), cause, out);
        }
    }

    /// Ends a non-INVITE transaction without a final response, where RFC 4320 §4.2 forbids the only one there is to
    /// give. `ServerGone` follows.
    pub fn abandon(&mut self, server: ServerId) {
        let is_waiting = |s: &ServerSlot| {
            matches!(s.machine, Machine::NonInvite(_)) && matches!(s.tail, Tail::Live(_))
        };
        if self.servers.named(server.slot, server.generation).is_some_and(is_waiting) {
            self.end_server(server.slot);
        }
    }

    /// The context that a server transaction still works for.
    pub fn server_context(&self, server: ServerId) -> Option<ContextId> {
        self.servers.named(server.slot, server.generation).map(|server| server.context)
    }

    fn server_id(&self, slot: u32) -> ServerId {
        ServerId { slot, generation: self.servers.generation(slot) }
    }

    fn server_slot(&self, key: ServerKey) -> Option<u32> {
        let is_it = |&slot: &u32| self.servers.at(slot).is_some_and(|s| s.key == key.hash);
        self.index.find(key.hash, is_it).copied()
    }

    fn receive_ack(
        &mut self,
        now: Instant,
        slot: u32,
        ack: &Request,
        flow: &Flow,
        out: &mut Outbox,
    ) -> Matched {
        let Some(server) = self.servers.at(slot) else { return Matched::AckForTwoXx };
        // RFC 3261 §17.2.3: from an RFC 2543 peer the To tag must also be that of the response we sent.
        if server.is_rfc2543 && !self.is_acknowledged_by(server, ack) {
            return Matched::AckForTwoXx;
        }
        let passed = self.server_event(now, slot, Event::Ack, Cause::Request(ack, flow), out);
        if passed { Matched::AckForTwoXx } else { Matched::Ack }
    }

    fn is_acknowledged_by(&self, server: &ServerSlot, ack: &Request) -> bool {
        let Tail::Live(live) = server.tail else { return true };
        let Some(LiveServer { response: Some(response), .. }) = self.live_servers.at(live) else {
            return true;
        };
        let Ok(Message::Response(response)) = Message::parse(response.clone()) else { return true };
        match (response.to(), ack.to()) {
            (Ok(sent), Ok(acknowledged)) => sent.tag() == acknowledged.tag(),
            _ => false,
        }
    }

    pub(super) fn server_timer(&mut self, now: Instant, slot: u32, timer: Timer, out: &mut Outbox) {
        self.server_event(now, slot, Event::Timer(timer), Cause::Timer, out);
    }

    /// Asks the machine and does what it says; whether an ACK is to be passed to the TU.
    fn server_event(
        &mut self,
        now: Instant,
        slot: u32,
        event: Event,
        cause: Cause<'_>,
        out: &mut Outbox,
    ) -> bool {
        let Some(server) = self.servers.at_mut(slot) else { return false };
        let (actions, doubling, is_terminated) = match &mut server.machine {
            Machine::Invite(machine) => {
                let Some(event) = event.of_invite() else { return false };
                let actions = machine.on_event(event);
                let is_terminated = machine.state() == invite_server::State::Terminated;
                (Actions::Invite(actions), machine.doubling(), is_terminated)
            }
            Machine::NonInvite(machine) => {
                let Some(event) = event.of_non_invite() else { return false };
                let actions = machine.on_event(event);
                let is_terminated = machine.state() == non_invite_server::State::Terminated;
                (Actions::NonInvite(actions), Doubling::default(), is_terminated)
            }
        };
        let passed = match actions {
            Actions::Invite(actions) => self.act_invite(now, slot, actions, doubling, cause, out),
            Actions::NonInvite(actions) => {
                self.act_non_invite(now, slot, actions, cause, out);
                false
            }
        };
        if is_terminated {
            self.end_server(slot);
        }
        passed
    }

    fn act_invite(
        &mut self,
        now: Instant,
        slot: u32,
        actions: &[invite_server::Action],
        doubling: Doubling,
        cause: Cause<'_>,
        out: &mut Outbox,
    ) -> bool {
        use invite_server::Action;
        let mut passed = false;
        for action in actions {
            match *action {
                Action::Remember => self.remember_response(slot, cause),
                Action::SendResponse => self.send_response(slot, cause, out),
                Action::Forget => self.forget(slot),
                Action::DeliverAck => passed = true,
                Action::StopTimers => self.stop_server_timers(slot, doubling),
                Action::Start(timer) => self.arm_server(now, slot, timer, doubling),
                Action::ReportTimeout => {
                    if let Some(server) = self.servers.at(slot) {
                        self.happenings.push(Happening::ServerTimeout { context: server.context });
                    }
                }
                // RFC 3261 §16.9: a proxy that cannot forward a response drops it.
                Action::ReportTransportError => {}
            }
        }
        passed
    }

    fn act_non_invite(
        &mut self,
        now: Instant,
        slot: u32,
        actions: &[non_invite_server::Action],
        cause: Cause<'_>,
        out: &mut Outbox,
    ) {
        use non_invite_server::Action;
        for action in actions {
            match *action {
                Action::Remember => self.remember_response(slot, cause),
                Action::RememberFinal => self.remember_residue(slot, cause),
                Action::SendResponse => self.send_response(slot, cause, out),
                Action::Start(timer) => self.arm_server(now, slot, timer, Doubling::default()),
                // RFC 3261 §16.9: a proxy that cannot forward a response drops it.
                Action::ReportTransportError => {}
            }
        }
    }

    fn live_server(&mut self, slot: u32) -> Option<&mut LiveServer> {
        let Tail::Live(live) = self.servers.at(slot)?.tail else { return None };
        self.live_servers.at_mut(live)
    }

    fn remember_response(&mut self, slot: u32, cause: Cause<'_>) {
        if let Cause::Response(wire) = cause
            && let Some(live) = self.live_server(slot)
        {
            live.response = Some(wire.clone());
        }
    }

    fn remember_residue(&mut self, slot: u32, cause: Cause<'_>) {
        if let Cause::Response(wire) = cause
            && let Some(server) = self.servers.at(slot)
        {
            let tail = match ResponseResidue::of(wire, server.has_to_tag) {
                Some(residue) => Tail::Completed(self.residues.insert(residue).0),
                None => Tail::CompletedPlain,
            };
            self.shrink(slot, tail);
        }
    }

    fn forget(&mut self, slot: u32) {
        let Some(server) = self.servers.at(slot) else { return };
        let is_accepted = match server.machine {
            Machine::Invite(machine) => machine.state() == invite_server::State::Accepted,
            Machine::NonInvite(_) => false,
        };
        let flow = self.live_server(slot).map(|live| live.flow).filter(|_| is_accepted);
        let tail = match flow {
            Some(Flow {
                transport: Transport::Udp, listener, remote: SocketAddr::V4(to), ..
            }) => Tail::AcceptedUdp { ip: to.ip().octets(), port: to.port(), listener: listener.0 },
            Some(flow) => Tail::Accepted(self.flows.insert(flow).0),
            None => Tail::Nothing,
        };
        self.shrink(slot, tail);
    }

    fn shrink(&mut self, slot: u32, tail: Tail) {
        let Some(server) = self.servers.at_mut(slot) else { return };
        if let Tail::Live(live) = core::mem::replace(&mut server.tail, tail) {
            self.live_servers.remove(live);
        }
    }

    /// The response at hand, or else the remembered one.
    fn send_response(&mut self, slot: u32, cause: Cause<'_>, out: &mut Outbox) {
        let Some(server) = self.servers.at(slot) else { return };
        let live = match server.tail {
            Tail::Live(live) => self.live_servers.at(live),
            _ => None,
        };
        let flow = match server.tail {
            Tail::AcceptedUdp { ip, port, listener } => {
                Some(Flow::udp(ListenerId(listener), (ip, port).into()))
            }
            Tail::Accepted(flow) => self.flows.at(flow).copied(),
            _ => live.map(|live| live.flow),
        };
        match (cause, live, flow) {
            (Cause::Response(wire), _, Some(flow)) => out.send(flow, wire.clone()),
            (_, Some(LiveServer { flow, response: Some(response) }), _) => {
                out.send(*flow, response.clone());
            }
            (Cause::Request(request, flow), ..) => {
                let residue = match server.tail {
                    Tail::Completed(residue) => self.residues.at(residue),
                    Tail::CompletedPlain => None,
                    _ => return,
                };
                out.send(*flow, ResponseResidue::rebuild(residue, request));
            }
            _ => {}
        }
    }

    fn stop_server_timers(&mut self, slot: u32, doubling: Doubling) {
        if let Some(server) = self.servers.at_mut(slot) {
            server.epoch = server.epoch.wrapping_add(1);
        }
        let (servers, clients) = (&self.servers, &self.clients);
        self.timers.trim(doubling, |mark| is_stopped(servers, clients, mark));
    }

    fn arm_server(&mut self, now: Instant, slot: u32, timer: Timer, doubling: Doubling) {
        let Some(epoch) = self.servers.at(slot).map(|server| server.epoch) else { return };
        let generation = self.servers.generation(slot);
        self.timers.arm(now, timer, doubling, Owner::Server(slot), generation, epoch);
    }

    fn end_server(&mut self, slot: u32) {
        let Some(server) = self.servers.remove(slot) else { return };
        match server.tail {
            Tail::Live(live) => drop(self.live_servers.remove(live)),
            Tail::Accepted(flow) => drop(self.flows.remove(flow)),
            Tail::Completed(residue) => drop(self.residues.remove(residue)),
            Tail::AcceptedUdp { .. } | Tail::CompletedPlain | Tail::Nothing => {}
        }
        if let Ok(entry) = self.index.find_entry(server.key, |&other| other == slot) {
            entry.remove();
        }
        self.happenings.push(Happening::ServerGone { context: server.context });
    }
}

enum Actions {
    Invite(&'static [invite_server::Action]),
    NonInvite(&'static [non_invite_server::Action]),
}

/// An event before it is known which machine it is for.
#[derive(Clone, Copy)]
enum Event {
    Retransmission,
    Ack,
    Response(u16),
    Timer(Timer),
}

impl Event {
    const fn of_invite(self) -> Option<invite_server::Event> {
        use invite_server::Event;
        Some(match self {
            Self::Retransmission => Event::Invite,
            Self::Ack => Event::Ack,
            Self::Response(..200) => Event::Provisional,
            Self::Response(..300) => Event::Success,
            Self::Response(_) => Event::Failure,
            Self::Timer(timer) => Event::Timer(timer),
        })
    }

    const fn of_non_invite(self) -> Option<non_invite_server::Event> {
        use non_invite_server::Event;
        Some(match self {
            Self::Retransmission => Event::Request,
            Self::Ack => return None,
            Self::Response(..200) => Event::Provisional,
            Self::Response(_) => Event::Final,
            Self::Timer(timer) => Event::Timer(timer),
        })
    }
}
