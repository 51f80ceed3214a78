//! Client transactions: sending and repeating requests, matching responses, CANCEL and the hop-by-hop ACK (RFC 3261
//! §17.1, §9.1, RFC 6026).

use core::net::SocketAddr;

use bytes::Bytes;
use sip_message::{Message, Method, Request, Response, write};

use super::branch::{Branch, BranchParts};
use super::invite_client::{self, InviteClient};
use super::non_invite_client::{self, NonInviteClient};
use super::residue::AckResidue;
use super::{
    ClientId, ContextId, Delivered, Happening, Kind, Received, ServerId, TransactionLayer,
    is_stopped,
};
use crate::flow::{Flow, Transport};
use crate::limits::{self, LimitReached};
use crate::output::{ClientToken, Outbox, Transmit};
use crate::time::Instant;
use crate::timer::{Doubling, Owner, Timer};

#[derive(Clone, Copy, Debug)]
enum Machine {
    /// Has a branch and was not sent yet.
    Reserved(Kind),
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

/// What the state needs beside itself.
#[derive(Debug)]
enum Tail {
    /// Slot in `live_clients`.
    Live(u32),
    /// INVITE in Completed: slot in `acks`.
    Ack(u32),
    /// INVITE in Accepted that was handed over: where further 2xx go.
    Server(ServerId),
    Nothing,
}

/// How a client transaction stands to CANCEL. A CANCEL is a transaction of its own with the branch of its INVITE
/// (RFC 3261 §9.1): the two know each other by slot, and whoever ends first tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    /// Nobody asked.
    No,
    /// An INVITE that waits for its first provisional response to be cancelled.
    Wanted,
    /// A CANCEL was sent and has ended.
    Done,
    /// A CANCEL was sent: its slot.
    By(u32),
    /// This is a CANCEL, of the INVITE in this slot.
    Of(u32),
    /// This is a CANCEL, and its INVITE is gone.
    OfNothing,
}

#[derive(Debug)]
pub(super) struct ClientSlot {
    tail: Tail,
    cancel: Cancel,
    context: ContextId,
    machine: Machine,
    pub(super) epoch: u8,
    fork: u8,
}

#[derive(Debug)]
pub(super) struct LiveClient {
    flow: Flow,
    /// The request as sent.
    request: Bytes,
    /// It was too large for a datagram and went by a stream: how it would have gone otherwise.
    otherwise: Option<Box<(Flow, Bytes)>>,
}

impl TransactionLayer {
    /// Takes a place for a request and returns the branch its Via must carry. To be followed by `send` or `release`.
    pub fn reserve(
        &mut self,
        kind: Kind,
        context: ContextId,
        fork: u16,
        loop_hash: u32,
    ) -> Result<(ClientId, Branch), LimitReached> {
        let Some(fork) =
            u8::try_from(fork).ok().filter(|&f| usize::from(f) < limits::FORKS_IN_ALL.max)
        else {
            return Err(LimitReached { limit: limits::FORKS_IN_ALL });
        };
        let client = self.add_client(ClientSlot {
            tail: Tail::Nothing,
            cancel: Cancel::No,
            context,
            machine: Machine::Reserved(kind),
            epoch: 0,
            fork,
        })?;
        let ClientId { slot, generation } = client;
        let parts = BranchParts { node: self.node, slot, generation, fork, loop_hash };
        Ok((client, Branch::new(&self.seal, parts)))
    }

    fn add_client(&mut self, client: ClientSlot) -> Result<ClientId, LimitReached> {
        if self.clients.len() >= limits::CLIENT_TRANSACTIONS.max {
            return Err(LimitReached { limit: limits::CLIENT_TRANSACTIONS });
        }
        let (slot, generation) = self.clients.insert(client);
        Ok(ClientId { slot, generation })
    }

    /// Gives back a place that was reserved and will not be used. No `ClientGone` follows.
    pub fn release(&mut self, client: ClientId) {
        let is_reserved = |c: &ClientSlot| matches!(c.machine, Machine::Reserved(_));
        if self.clients.named(client.slot, client.generation).is_some_and(is_reserved) {
            self.clients.remove(client.slot);
        }
    }

    /// Sends the request, whose top Via carries the reserved branch, and sees to its retransmission.
    pub fn send(
        &mut self,
        now: Instant,
        client: ClientId,
        flow: Flow,
        wire: Bytes,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.clients.named_mut(client.slot, client.generation) else { return };
        let Machine::Reserved(kind) = entry.machine else { return };
        let stream = self.streams.as_ref().and_then(|streams| streams.carry(now, &flow, &wire));
        let (flow, request, otherwise) = match stream {
            Some((other, patched)) => (other, patched, Some(Box::new((flow, wire)))),
            None => (flow, wire, None),
        };
        let (live, _) = self.live_clients.insert(LiveClient { flow, request, otherwise });
        entry.tail = Tail::Live(live);
        self.begin(now, client, kind, flow.transport.is_reliable(), out);
    }

    fn begin(
        &mut self,
        now: Instant,
        client: ClientId,
        kind: Kind,
        reliable: bool,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.clients.at_mut(client.slot) else { return };
        match kind {
            Kind::Invite => {
                let (machine, actions) = InviteClient::start(reliable);
                entry.machine = Machine::Invite(machine);
                self.act_invite_client(now, client, actions, machine.doubling(), None, out);
            }
            Kind::NonInvite => {
                let (machine, actions) = NonInviteClient::start(reliable);
                entry.machine = Machine::NonInvite(machine);
                self.act_non_invite_client(now, client, actions, machine.doubling(), out);
            }
        }
    }

    /// The stream that was to carry a large request was refused: it goes as a datagram after all, and its transaction
    /// begins anew, because datagrams are repeated (RFC 3261 §18.1.1, §17.1.1.2). False: there is no other way.
    pub fn fall_back(&mut self, now: Instant, token: ClientToken, out: &mut Outbox) -> bool {
        let client = ClientId { slot: token.slot, generation: token.generation };
        let Some(entry) = self.clients.named(client.slot, client.generation) else { return false };
        let (kind, doubling) = match entry.machine {
            Machine::Invite(machine) if machine.state() == invite_client::State::Calling => {
                (Kind::Invite, machine.doubling())
            }
            Machine::NonInvite(machine) if machine.state() == non_invite_client::State::Trying => {
                (Kind::NonInvite, machine.doubling())
            }
            _ => return false,
        };
        let Tail::Live(live) = entry.tail else { return false };
        let Some(live) = self.live_clients.at_mut(live) else { return false };
        let Some(datagram) = live.otherwise.take() else { return false };
        (live.flow, live.request) = *datagram;
        self.stop_client_timers(client.slot, doubling);
        self.begin(now, client, kind, false, out);
        true
    }

    /// Cancels an INVITE that has no final response yet (RFC 3261 §9.1). "If no provisional response has been
    /// received, the CANCEL request MUST NOT be sent; rather, the client MUST wait for the arrival of a provisional
    /// response". Whatever final response comes is delivered, 2xx included. For anything else, nothing happens.
    pub fn cancel(&mut self, now: Instant, client: ClientId, out: &mut Outbox) {
        let Some(entry) = self.clients.named_mut(client.slot, client.generation) else { return };
        if entry.cancel != Cancel::No {
            return;
        }
        let Machine::Invite(machine) = entry.machine else { return };
        match machine.state() {
            invite_client::State::Calling => entry.cancel = Cancel::Wanted,
            invite_client::State::Proceeding => self.send_cancel(now, client, out),
            _ => {}
        }
    }

    /// The TU has answered its caller and lets go of an INVITE that was accepted: what still comes for 64*T1 are
    /// further 2xx, and all there is to know of them is the server transaction they go through (RFC 6026 §7.1).
    /// Nothing more is told of this client. In any other state, nothing happens.
    pub fn hand_over(&mut self, client: ClientId, server: ServerId) {
        let Some(entry) = self.clients.named_mut(client.slot, client.generation) else { return };
        if let Machine::Invite(machine) = entry.machine
            && machine.state() == invite_client::State::Accepted
        {
            entry.tail = Tail::Server(server);
        }
    }

    fn send_cancel(&mut self, now: Instant, invite: ClientId, out: &mut Outbox) {
        let Some(entry) = self.clients.at(invite.slot) else { return };
        let (context, fork) = (entry.context, entry.fork);
        let Some((flow, as_sent)) = self.request_as_sent(invite.slot) else { return };
        let mut wire = Vec::with_capacity(512);
        write::cancel(&as_sent, &mut wire);
        let cancel = self.add_client(ClientSlot {
            tail: Tail::Nothing,
            cancel: Cancel::Of(invite.slot),
            context,
            machine: Machine::Reserved(Kind::NonInvite),
            epoch: 0,
            fork,
        });
        // Without room for it the INVITE still counts as cancelled when the time is up.
        let by = cancel.map_or(Cancel::Done, |cancel| Cancel::By(cancel.slot));
        if let Some(entry) = self.clients.at_mut(invite.slot) {
            entry.cancel = by;
        }
        self.arm_client(now, invite.slot, Timer::Cancel, Doubling::default());
        if let Ok(cancel) = cancel {
            self.send(now, cancel, flow, wire.into(), out);
        }
    }

    /// Which transaction a response belongs to (RFC 3261 §17.1.3), and whether the TU gets it.
    pub fn receive_response(
        &mut self,
        now: Instant,
        response: &Response,
        out: &mut Outbox,
    ) -> Received {
        let (Ok(via), Ok(cseq)) = (response.via(), response.cseq()) else {
            return Received::Unmatched;
        };
        let parts = via.branch.and_then(|branch| Branch::read(&self.seal, branch));
        let Some(parts) = parts.filter(|parts| parts.node == self.node) else {
            return Received::Unmatched;
        };
        let status = response.status();
        let client = ClientId { slot: parts.slot, generation: parts.generation };
        let Some(entry) = self.clients.named(client.slot, client.generation) else {
            let is_stray = cseq.method == Method::Invite && (200..300).contains(&status);
            return if is_stray { Received::Stray } else { Received::Unmatched };
        };
        // RFC 3261 §17.1.3: "the method is needed since a CANCEL request constitutes a different transaction, but
        // shares the same value of the branch parameter."
        match (entry.machine, cseq.method) {
            (Machine::Invite(_), Method::Cancel) => {
                let Cancel::By(slot) = entry.cancel else { return Received::Absorbed };
                let cancel = ClientId { slot, generation: self.clients.generation(slot) };
                self.client_event(now, cancel, Event::Response(status), Some(response), out);
                Received::Absorbed
            }
            (Machine::Invite(_), Method::Invite) => self.deliver(now, client, response, out),
            (Machine::NonInvite(_), Method::Invite | Method::Cancel) => Received::Unmatched,
            (Machine::NonInvite(_), _) if entry.cancel == Cancel::No => {
                self.deliver(now, client, response, out)
            }
            _ => Received::Unmatched,
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Response,
        out: &mut Outbox,
    ) -> Received {
        let Some(entry) = self.clients.at(client.slot) else { return Received::Unmatched };
        let delivered = Delivered { context: entry.context, fork: entry.fork.into(), client };
        let is_wanted = entry.cancel == Cancel::Wanted;
        let server = match entry.tail {
            Tail::Server(server) => Some(server),
            _ => None,
        };
        let event = Event::Response(response.status());
        let is_delivered = self.client_event(now, client, event, Some(response), out);
        if is_wanted && response.status() < 200 {
            self.send_cancel(now, client, out);
        }
        match (is_delivered, server) {
            (false, _) => Received::Absorbed,
            (true, None) => Received::Delivered(delivered),
            (true, Some(server)) => Received::Repeated { server },
        }
    }

    /// Sends the same request by another flow, because the connection it should have left by is gone: nothing has
    /// left yet, so it is still the same transaction. `elsewhere` is told how it was to be sent. False: there is no
    /// other way.
    pub fn resend(
        &mut self,
        token: ClientToken,
        elsewhere: impl FnOnce(&Request, &Flow) -> Option<Flow>,
        out: &mut Outbox,
    ) -> bool {
        let client = ClientId { slot: token.slot, generation: token.generation };
        if self.clients.named(client.slot, client.generation).is_none() {
            return false;
        }
        let Some((flow, request)) = self.request_as_sent(client.slot) else { return false };
        let Some(flow) = elsewhere(&request, &flow) else { return false };
        let Some(ClientSlot { tail: Tail::Live(live), .. }) = self.clients.at(client.slot) else {
            return false;
        };
        let live = *live;
        if let Some(live) = self.live_clients.at_mut(live) {
            live.flow = flow;
        }
        self.send_request(client, out);
        true
    }

    /// Tells the TU (`ClientSilent`) if nothing at all is heard of this one for 6*T1: there is somebody else.
    pub fn expect_soon(&mut self, now: Instant, client: ClientId) {
        if self.clients.named(client.slot, client.generation).is_some() {
            self.arm_client(now, client.slot, Timer::Silence, Doubling::default());
        }
    }

    /// The TU has turned to somebody else: what was sent is not repeated, and an INVITE is cancelled should its callee
    /// speak after all (RFC 3261 §9.1). A 2xx is delivered all the same.
    pub fn give_up(&mut self, now: Instant, client: ClientId, out: &mut Outbox) {
        self.cancel(now, client, out);
        if self.clients.named(client.slot, client.generation).is_some() {
            self.client_event(now, client, Event::GiveUp, None, out);
        }
    }

    /// The network says that a request with this token never reached `remote` (RFC 3261 §18.4). That can be forged: it
    /// is believed only of whom the request went to, and only until that one has spoken.
    pub fn unreachable(
        &mut self,
        now: Instant,
        token: ClientToken,
        remote: SocketAddr,
        out: &mut Outbox,
    ) {
        let client = ClientId { slot: token.slot, generation: token.generation };
        let Some(entry) = self.clients.named(client.slot, client.generation) else { return };
        let is_silent = match entry.machine {
            Machine::Invite(machine) => machine.state() == invite_client::State::Calling,
            Machine::NonInvite(machine) => machine.state() == non_invite_client::State::Trying,
            Machine::Reserved(_) => false,
        };
        let is_to =
            |live: &LiveClient| live.flow.transport == Transport::Udp && live.flow.remote == remote;
        if is_silent && self.live_client(client.slot).is_some_and(is_to) {
            self.client_event(now, client, Event::TransportError, None, out);
        }
    }

    /// A transmit with this token could not be sent (RFC 3261 §17.1.4, §18.4).
    pub fn send_failed(&mut self, now: Instant, token: ClientToken, out: &mut Outbox) {
        let client = ClientId { slot: token.slot, generation: token.generation };
        if self.clients.named(client.slot, client.generation).is_some() {
            self.client_event(now, client, Event::TransportError, None, out);
        }
    }

    pub(super) fn client_timer(&mut self, now: Instant, slot: u32, timer: Timer, out: &mut Outbox) {
        let client = ClientId { slot, generation: self.clients.generation(slot) };
        self.client_event(now, client, Event::Timer(timer), None, out);
    }

    /// Asks the machine and does what it says; whether the response is to be passed to the TU.
    fn client_event(
        &mut self,
        now: Instant,
        client: ClientId,
        event: Event,
        response: Option<&Response>,
        out: &mut Outbox,
    ) -> bool {
        let Some(entry) = self.clients.at_mut(client.slot) else { return false };
        let (delivered, is_live, is_terminated) = match &mut entry.machine {
            Machine::Reserved(_) => return false,
            Machine::Invite(machine) => {
                use invite_client::State::{Calling, Proceeding, Terminated};
                let actions = machine.on_event(event.of_invite());
                let (state, doubling) = (machine.state(), machine.doubling());
                let delivered =
                    self.act_invite_client(now, client, actions, doubling, response, out);
                (delivered, matches!(state, Calling | Proceeding), state == Terminated)
            }
            Machine::NonInvite(machine) => {
                use non_invite_client::State::{Proceeding, Terminated, Trying};
                let actions = machine.on_event(event.of_non_invite());
                let (state, doubling) = (machine.state(), machine.doubling());
                let delivered = self.act_non_invite_client(now, client, actions, doubling, out);
                (delivered, matches!(state, Trying | Proceeding), state == Terminated)
            }
        };
        if is_terminated {
            self.end_client(client.slot);
        } else if !is_live {
            self.shrink_client(client.slot);
        }
        delivered
    }

    fn act_invite_client(
        &mut self,
        now: Instant,
        client: ClientId,
        actions: &[invite_client::Action],
        doubling: Doubling,
        response: Option<&Response>,
        out: &mut Outbox,
    ) -> bool {
        use invite_client::Action;
        let mut delivered = false;
        for action in actions {
            match *action {
                Action::SendRequest => self.send_request(client, out),
                Action::SendAck => self.send_ack(client, response, out),
                Action::Deliver => delivered = true,
                Action::StopTimers => self.stop_client_timers(client.slot, doubling),
                Action::Start(timer) => self.arm_client(now, client.slot, timer, doubling),
                Action::ReportTimeout => self.report(client.slot, |context, fork| {
                    Happening::ClientTimeout { context, fork }
                }),
                Action::ReportCancelled => self.report(client.slot, |context, fork| {
                    Happening::ClientCancelled { context, fork }
                }),
                Action::ReportTransportError => self.report(client.slot, |context, fork| {
                    Happening::TransportError { context, fork }
                }),
                Action::ReportSilence => self
                    .report(client.slot, |context, fork| Happening::ClientSilent { context, fork }),
            }
        }
        delivered
    }

    fn act_non_invite_client(
        &mut self,
        now: Instant,
        client: ClientId,
        actions: &[non_invite_client::Action],
        doubling: Doubling,
        out: &mut Outbox,
    ) -> bool {
        use non_invite_client::Action;
        let mut delivered = false;
        for action in actions {
            match *action {
                Action::SendRequest => self.send_request(client, out),
                Action::Deliver => delivered = true,
                Action::StopTimers => self.stop_client_timers(client.slot, doubling),
                Action::Start(timer) => self.arm_client(now, client.slot, timer, doubling),
                Action::ReportTimeout => self.report(client.slot, |context, fork| {
                    Happening::ClientTimeout { context, fork }
                }),
                Action::ReportTransportError => self.report(client.slot, |context, fork| {
                    Happening::TransportError { context, fork }
                }),
                Action::ReportSilence => self
                    .report(client.slot, |context, fork| Happening::ClientSilent { context, fork }),
            }
        }
        delivered
    }

    fn report(&mut self, slot: u32, happening: impl Fn(ContextId, u16) -> Happening) {
        if let Some(entry) = self.clients.at(slot)
            && !entry.is_cancel()
        {
            self.happenings.push(happening(entry.context, entry.fork.into()));
        }
    }

    fn live_client(&self, slot: u32) -> Option<&LiveClient> {
        let Tail::Live(live) = self.clients.at(slot)?.tail else { return None };
        self.live_clients.at(live)
    }

    fn request_as_sent(&self, slot: u32) -> Option<(Flow, Request)> {
        let live = self.live_client(slot)?;
        match Message::parse(live.request.clone()) {
            Ok(Message::Request(request)) => Some((live.flow, request)),
            _ => None,
        }
    }

    fn send_request(&self, client: ClientId, out: &mut Outbox) {
        if let Some(LiveClient { flow, request, .. }) = self.live_client(client.slot) {
            let token = Some(client.token());
            out.transmits.push(Transmit {
                flow: *flow,
                bytes: request.clone(),
                token,
                second: None,
            });
        }
    }

    /// RFC 3261 §17.1.1.3: to the same address, port and transport as the INVITE.
    fn send_ack(&mut self, client: ClientId, response: Option<&Response>, out: &mut Outbox) {
        let Some(response) = response else { return };
        let Some(entry) = self.clients.at(client.slot) else { return };
        let ack = match entry.tail {
            Tail::Ack(ack) => self
                .acks
                .at(ack)
                .and_then(|residue| residue.rebuild(response).map(|ack| (residue.flow, ack))),
            _ => self.request_as_sent(client.slot).map(|(flow, invite)| {
                let mut wire = Vec::with_capacity(512);
                write::ack(&invite, response, &mut wire);
                (flow, wire.into())
            }),
        };
        if let Some((flow, bytes)) = ack {
            out.transmits.push(Transmit { flow, bytes, token: Some(client.token()), second: None });
        }
    }

    fn stop_client_timers(&mut self, slot: u32, doubling: Doubling) {
        if let Some(entry) = self.clients.at_mut(slot) {
            entry.epoch = entry.epoch.wrapping_add(1);
        }
        let (servers, clients) = (&self.servers, &self.clients);
        self.timers.trim(doubling, |mark| is_stopped(servers, clients, mark));
    }

    fn arm_client(&mut self, now: Instant, slot: u32, timer: Timer, doubling: Doubling) {
        let Some(epoch) = self.clients.at(slot).map(|entry| entry.epoch) else { return };
        let generation = self.clients.generation(slot);
        self.timers.arm(now, timer, doubling, Owner::Client(slot), generation, epoch);
    }

    /// Lets go of the request as sent; an INVITE in Completed keeps what its ACK needs.
    fn shrink_client(&mut self, slot: u32) {
        let Some(entry) = self.clients.at(slot) else { return };
        let Tail::Live(live) = entry.tail else { return };
        let tail = match entry.machine {
            Machine::Invite(machine) if machine.state() == invite_client::State::Completed => self
                .request_as_sent(slot)
                .and_then(|(flow, invite)| AckResidue::of(&invite, flow))
                .map_or(Tail::Nothing, |residue| Tail::Ack(self.acks.insert(residue).0)),
            _ => Tail::Nothing,
        };
        self.live_clients.remove(live);
        if let Some(entry) = self.clients.at_mut(slot) {
            entry.tail = tail;
        }
    }

    fn end_client(&mut self, slot: u32) {
        let Some(entry) = self.clients.remove(slot) else { return };
        match entry.tail {
            Tail::Live(live) => drop(self.live_clients.remove(live)),
            Tail::Ack(ack) => drop(self.acks.remove(ack)),
            Tail::Server(_) | Tail::Nothing => {}
        }
        let partner = match entry.cancel {
            Cancel::By(cancel) => Some((cancel, Cancel::OfNothing)),
            Cancel::Of(invite) => Some((invite, Cancel::Done)),
            _ => None,
        };
        if let Some((partner, told)) = partner
            && let Some(partner) = self.clients.at_mut(partner)
        {
            partner.cancel = told;
        }
        if !entry.is_cancel() && !matches!(entry.tail, Tail::Server(_)) {
            let (context, fork) = (entry.context, entry.fork.into());
            self.happenings.push(Happening::ClientGone { context, fork });
        }
    }
}

impl ClientSlot {
    const fn is_cancel(&self) -> bool {
        matches!(self.cancel, Cancel::Of(_) | Cancel::OfNothing)
    }
}

/// An event before it is known which machine it is for.
#[derive(Clone, Copy)]
enum Event {
    Response(u16),
    TransportError,
    GiveUp,
    Timer(Timer),
}

impl Event {
    const fn of_invite(self) -> invite_client::Event {
        use invite_client::Event;
        match self {
            Self::Response(..200) => Event::Provisional,
            Self::Response(..300) => Event::Success,
            Self::Response(_) => Event::Failure,
            Self::TransportError => Event::TransportError,
            Self::GiveUp => Event::GiveUp,
            Self::Timer(timer) => Event::Timer(timer),
        }
    }

    const fn of_non_invite(self) -> non_invite_client::Event {
        use non_invite_client::Event;
        match self {
            Self::Response(..200) => Event::Provisional,
            Self::Response(_) => Event::Final,
            Self::TransportError => Event::TransportError,
            Self::GiveUp => Event::GiveUp,
            Self::Timer(timer) => Event::Timer(timer),
        }
    }
}
