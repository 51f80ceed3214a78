//! Calls between users of the population: both phones live here, the proxy is in between.
//! INVITE, 180, 200, ACK, (hold), BYE, 200; RFC 3261 §13, §15, §17. A challenge is answered once.
//!
//! A call is found by its slot number in the Call-ID. Slots are reused oldest first, so that a late repetition still
//! meets its call.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Unit;
use super::desk::Desk;
use super::plan::Secret;
use super::register::choose;
use super::scan::{self, Message, Name, Start};
use super::script::{Dialog, Id, Script, Side};
use super::tally::Failure;
use super::timer::{Alarm, Kind, Nanos};
use crate::digest::Credential;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Caller {
    #[default]
    Gone,
    /// INVITE sent, nothing heard: repeat it.
    Inviting,
    /// A provisional answer came: wait.
    Proceeding,
    Talking,
    /// BYE sent: repeat it.
    Ending,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Callee {
    #[default]
    Quiet,
    Ringing,
    /// 200 sent: repeat it until the ACK is there.
    Answered,
    Talking,
}

#[derive(Default)]
struct Call {
    generation: u32,
    caller: Caller,
    callee: Callee,
    attempt: u8,
    answer_attempt: u8,
    cseq: u32,
    /// Uses of the caller's nonce for this INVITE; 0: sent without credentials.
    nc: u32,
    users: [u32; 2],
    began: Nanos,
    /// When the INVITE, later the BYE, left the caller; 0 once it was repeated or has arrived.
    sent: Nanos,
    /// The same for the callee's 200.
    answered: Nanos,
    rang: bool,
    target: Vec<u8>,
    routes: Vec<u8>,
    to: Vec<u8>,
    ringing: Vec<u8>,
    answer: Vec<u8>,
    answer_target: Option<SocketAddr>,
}

pub struct Calls {
    calls: Vec<Call>,
    free: VecDeque<u32>,
    secret: Option<Secret>,
    credentials: Vec<Option<Box<Credential>>>,
    next: u32,
}

const CNONCE: &[u8] = b"7a6f";
/// An alarm that does not repeat anything: 64*T1 without a final answer.
const GIVE_UP: u8 = u8::MAX;

impl Calls {
    pub fn new(active_max: usize, users: u32, secret: Option<Secret>) -> Self {
        let count = u32::try_from(active_max).unwrap_or(u32::MAX);
        Self {
            calls: (0..count).map(|_| Call::default()).collect(),
            free: (0..count).collect(),
            secret,
            credentials: (0..users).map(|_| None).collect(),
            next: 0,
        }
    }

    fn live(&mut self, id: Id) -> Option<&mut Call> {
        let call = self.calls.get_mut(id.slot as usize)?;
        (call.generation == id.generation).then_some(call)
    }

    fn finish(&mut self, slot: u32) {
        let call = self.calls.get_mut(slot as usize);
        if let Some(call) = call.filter(|call| call.caller != Caller::Gone) {
            call.caller = Caller::Gone;
            // The callee stops repeating: its call is over.
            call.callee = Callee::Talking;
            self.free.push_back(slot);
        }
    }

    fn fail(&mut self, slot: u32, failure: Failure, desk: &mut Desk) {
        desk.tally.fail(failure);
        self.finish(slot);
    }

    fn send_invite(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let Some(call) = self.calls.get(slot as usize) else { return };
        let [caller, callee] = call.users;
        let mut authorization = desk.buffer();
        let credential = self.credentials.get(caller as usize).and_then(Option::as_ref);
        if let (Some(credential), 1..) = (credential, call.nc) {
            let mut uri = desk.buffer();
            script.push_user_uri(callee, &mut uri);
            authorization.extend_from_slice(b"Proxy-Authorization: ");
            credential.write(call.nc, b"INVITE", &uri, CNONCE, &mut authorization);
            authorization.extend_from_slice(b"\r\n");
            desk.recycle(uri);
        }
        let id = Id { slot, generation: call.generation };
        let mut out = desk.buffer();
        script.invite(caller, callee, id, call.cseq, &authorization, &mut out);
        desk.send(Side::Caller, desk.target, out);
        desk.recycle(authorization);
        let alarm = call.alarm(slot, Kind::Invite);
        if !desk.timers.arm_retry(desk.now, alarm) {
            self.fail(slot, Failure::Timeout, desk);
        }
    }

    fn send_bye(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let Some(call) = self.calls.get_mut(slot as usize) else { return };
        if call.caller == Caller::Talking {
            call.caller = Caller::Ending;
            call.cseq += 1;
            call.attempt = 0;
            call.sent = desk.now;
        }
        call.send_within(slot, true, desk, script);
        if !desk.timers.arm_retry(desk.now, call.alarm(slot, Kind::Request)) {
            self.fail(slot, Failure::Timeout, desk);
        }
    }

    fn invite_answered(
        &mut self,
        id: Id,
        status: u16,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let Some(call) = self.live(id) else {
            desk.tally.repeats += 1;
            return;
        };
        let waiting = matches!(call.caller, Caller::Inviting | Caller::Proceeding);
        let fresh = waiting && call.cseq == message.cseq;
        match status {
            ..200 if fresh => call.provisional(id.slot, status, desk),
            ..200 => {}
            200..300 if fresh => {
                call.learn(message);
                call.caller = Caller::Talking;
                let pauses = desk.timers.pauses();
                let setup = desk.now.saturating_sub(call.began);
                desk.tally.setup.record(setup.saturating_sub(pauses.ring));
                if call.answered > 0 {
                    desk.tally.passed(call.answered, desk.now);
                }
                call.send_within(id.slot, false, desk, script);
                if pauses.hold == 0 {
                    self.send_bye(id.slot, desk, script);
                } else {
                    let alarm = call.alarm(id.slot, Kind::Hold);
                    desk.timers.arm_hold(desk.now, alarm);
                }
            }
            200..300 => {
                // The callee did not hear our ACK: each 2xx is acknowledged anew (RFC 3261 §13.2.2.4).
                desk.tally.repeats += 1;
                if call.caller != Caller::Gone {
                    call.send_within(id.slot, false, desk, script);
                }
            }
            _ => {
                self.acknowledge_refusal(id, message, desk, script);
                match status {
                    _ if !fresh => desk.tally.repeats += 1,
                    401 | 407 => self.challenged(id.slot, message, desk, script),
                    status => self.fail(id.slot, Failure::Status(status), desk),
                }
            }
        }
    }

    fn acknowledge_refusal(
        &mut self,
        id: Id,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let Some(call) = self.calls.get(id.slot as usize) else { return };
        let to = message.lines().find(|line| line.name == Name::To);
        let [caller, callee] = call.users;
        let mut out = desk.buffer();
        let to = to.map_or(&b""[..], |line| line.value);
        script.ack_refusal(caller, callee, id, message.cseq, to, &mut out);
        desk.send(Side::Caller, desk.target, out);
    }

    fn challenged(&mut self, slot: u32, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let (Some(call), Some(secret)) = (self.calls.get_mut(slot as usize), &self.secret) else {
            return self.fail(slot, Failure::Credentials, desk);
        };
        let challenge = choose(message, secret);
        // The first INVITE has CSeq 1; a used nonce may be stale once, a password wrong never.
        let refused = call.nc > 0 && !challenge.is_some_and(|c| c.stale);
        let Some(challenge) = challenge.filter(|_| !refused && call.cseq < 3) else {
            if let Some(credential) = self.credentials.get_mut(call.users[0] as usize) {
                *credential = None;
            }
            return self.fail(slot, Failure::Credentials, desk);
        };
        let mut name = desk.buffer();
        script.users().push_name(call.users[0], &mut name);
        let mut credential = Credential::new(&challenge, &name, secret.password.as_bytes());
        desk.recycle(name);
        call.nc = credential.next_use();
        call.cseq += 1;
        call.attempt = 0;
        call.caller = Caller::Inviting;
        call.sent = desk.now;
        if let Some(place) = self.credentials.get_mut(call.users[0] as usize) {
            *place = Some(Box::new(credential));
        }
        desk.tally.challenges += 1;
        self.send_invite(slot, desk, script);
    }

    fn response(&mut self, status: u16, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(id) = script.id(message.call_id) else {
            desk.tally.unexpected += 1;
            return;
        };
        match message.method {
            b"INVITE" => self.invite_answered(id, status, message, desk, script),
            b"BYE" => {
                let ending =
                    |call: &&mut Call| call.caller == Caller::Ending && call.cseq == message.cseq;
                match (status, self.live(id).filter(ending)) {
                    (_, None) => desk.tally.repeats += 1,
                    (..200, _) => {}
                    (200..300, _) => {
                        desk.tally.ok += 1;
                        self.finish(id.slot);
                    }
                    (status, _) => self.fail(id.slot, Failure::Status(status), desk),
                }
            }
            // The rest of a registration.
            _ => desk.tally.repeats += 1,
        }
    }

    fn request(
        &mut self,
        method: &[u8],
        source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let id = script.id(message.call_id);
        let call = id.and_then(|id| Some((id, self.live(id)?)));
        match (method, call) {
            (b"INVITE", Some((id, call))) => call.ring(id.slot, source, message, desk, script),
            (b"ACK", Some((_, call))) => {
                if call.callee == Callee::Answered {
                    call.callee = Callee::Talking;
                }
            }
            (b"BYE", call) => {
                if let Some((_, call)) = call.filter(|(_, call)| call.sent > 0) {
                    desk.tally.passed(call.sent, desk.now);
                    call.sent = 0;
                }
                let mut out = desk.buffer();
                copy_head(b"SIP/2.0 200 OK\r\n", message, b"", &mut out);
                out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
                desk.send(Side::Callee, source, out);
            }
            (b"ACK", None) => desk.tally.repeats += 1,
            _ => desk.tally.unexpected += 1,
        }
    }
}

impl Call {
    fn alarm(&self, slot: u32, kind: Kind) -> Alarm {
        let attempt = if kind == Kind::Answer { self.answer_attempt } else { self.attempt };
        Alarm { slot, generation: self.generation, kind, attempt, cseq: self.cseq as u8 }
    }

    fn provisional(&mut self, slot: u32, status: u16, desk: &mut Desk) {
        if self.caller == Caller::Inviting {
            self.caller = Caller::Proceeding;
            let alarm = Alarm { attempt: GIVE_UP, ..self.alarm(slot, Kind::Invite) };
            desk.timers.arm_guard(desk.now, alarm);
        }
        if status >= 180 && !self.rang {
            self.rang = true;
            desk.tally.dial.record(desk.now.saturating_sub(self.began));
        }
    }

    /// Remote target, route set (reversed) and To tag of the 2xx (RFC 3261 §12.1.2).
    fn learn(&mut self, message: &Message<'_>) {
        self.target.clear();
        self.routes.clear();
        self.to.clear();
        for line in message.lines() {
            match line.name {
                Name::To => self.to.extend_from_slice(line.value),
                Name::Contact => self.target.extend_from_slice(scan::uri(line.value)),
                Name::RecordRoute => {
                    for element in scan::elements(line.value) {
                        let end = self.routes.len();
                        self.routes.extend_from_slice(b"Route: ");
                        self.routes.extend_from_slice(element);
                        self.routes.extend_from_slice(b"\r\n");
                        let added = self.routes.len() - end;
                        self.routes.rotate_right(added);
                    }
                }
                _ => {}
            }
        }
    }

    fn send_within(&self, slot: u32, bye: bool, desk: &mut Desk, script: &Script) {
        let dialog = Dialog { target: &self.target, routes: &self.routes, to: &self.to };
        let id = Id { slot, generation: self.generation };
        // A BYE in progress has moved the CSeq on; an ACK bears its INVITE's.
        let ending = self.caller == Caller::Ending;
        let cseq = if ending && !bye { self.cseq - 1 } else { self.cseq };
        let mut out = desk.buffer();
        script.within(&dialog, self.users[0], id, cseq, bye, &mut out);
        desk.send(Side::Caller, desk.target, out);
    }

    /// An INVITE reached the callee: 180 at once, 200 at once or after ringing. A repeated one gets the same again.
    fn ring(
        &mut self,
        slot: u32,
        source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        match self.callee {
            Callee::Quiet => {}
            Callee::Ringing => {
                desk.tally.repeats += 1;
                return desk.send_copy(Side::Callee, source, &self.ringing);
            }
            Callee::Answered | Callee::Talking => {
                desk.tally.repeats += 1;
                return desk.send_copy(Side::Callee, source, &self.answer);
            }
        }
        if self.sent > 0 {
            desk.tally.passed(self.sent, desk.now);
            self.sent = 0;
        }
        self.callee = Callee::Ringing;
        self.answer_target = Some(source);
        let id = Id { slot, generation: self.generation };
        let mut tag = *b";tag=c0000000000000000";
        crate::digest::push_hex(u64::from(id.generation) << 32 | u64::from(id.slot), &mut tag[6..]);
        self.ringing.clear();
        copy_head(b"SIP/2.0 180 Ringing\r\n", message, &tag, &mut self.ringing);
        script.finish_answer(self.users[1], false, &mut self.ringing);
        self.answer.clear();
        copy_head(b"SIP/2.0 200 OK\r\n", message, &tag, &mut self.answer);
        script.finish_answer(self.users[1], true, &mut self.answer);
        desk.send_copy(Side::Callee, source, &self.ringing);
        if desk.timers.pauses().ring == 0 {
            self.pick_up(slot, desk);
        } else {
            desk.timers.arm_ring(desk.now, self.alarm(slot, Kind::Ring));
        }
    }

    fn pick_up(&mut self, slot: u32, desk: &mut Desk) {
        self.callee = Callee::Answered;
        self.answered = desk.now;
        self.answer_attempt = 0;
        self.send_answer(slot, desk);
    }

    fn send_answer(&mut self, slot: u32, desk: &mut Desk) {
        let Some(target) = self.answer_target else { return };
        desk.send_copy(Side::Callee, target, &self.answer);
        // When it gives up, the caller's own timers end the call.
        desk.timers.arm_retry(desk.now, self.alarm(slot, Kind::Answer));
    }
}

/// A response's head: the request's Via, Record-Route, From, To, Call-ID and CSeq (RFC 3261 §8.2.6.2, §12.1.1).
fn copy_head(status_line: &[u8], request: &Message<'_>, tag: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(status_line);
    for line in request.lines() {
        match line.name {
            Name::To if !tag.is_empty() => {
                out.extend_from_slice(b"To: ");
                out.extend_from_slice(line.value);
                out.extend_from_slice(tag);
                out.extend_from_slice(b"\r\n");
            }
            Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::RecordRoute => {
                out.extend_from_slice(line.whole);
            }
            _ => {}
        }
    }
}

impl Unit for Calls {
    fn active(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let Some(slot) = self.free.pop_front() else { return false };
        let count = script.users().count();
        let caller = self.next;
        self.next = (caller + 1) % count;
        let reuse = self.secret.as_ref().is_some_and(|secret| secret.reuse_nonce);
        let credential = self.credentials.get_mut(caller as usize).and_then(Option::as_mut);
        let nc = credential.filter(|_| reuse).map_or(0, |credential| credential.next_use());
        let Some(call) = self.calls.get_mut(slot as usize) else { return false };
        call.generation = call.generation.wrapping_add(1).max(1);
        call.caller = Caller::Inviting;
        call.callee = Callee::Quiet;
        call.attempt = 0;
        call.answer_attempt = 0;
        call.cseq = 1;
        call.nc = nc;
        call.users = [caller, (caller + 1) % count];
        call.began = desk.now;
        call.sent = desk.now;
        call.answered = 0;
        call.rang = false;
        desk.tally.started += 1;
        self.send_invite(slot, desk, script);
        true
    }

    fn receive(
        &mut self,
        side: Side,
        source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        match (message.start, side) {
            (Start::Response(status), _) => self.response(status, message, desk, script),
            (Start::Request(method), Side::Callee) => {
                self.request(method, source, message, desk, script);
            }
            (Start::Request(_), Side::Caller) => desk.tally.unexpected += 1,
        }
    }

    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script) {
        let id = Id { slot: alarm.slot, generation: alarm.generation };
        let Some(call) = self.live(id) else { return };
        let mine = alarm.cseq == call.cseq as u8;
        match (alarm.kind, call.caller) {
            (Kind::Invite, Caller::Inviting | Caller::Proceeding)
                if mine && alarm.attempt == GIVE_UP =>
            {
                self.fail(alarm.slot, Failure::Timeout, desk);
            }
            (Kind::Invite, Caller::Inviting) if mine && alarm.attempt == call.attempt => {
                call.attempt += 1;
                call.sent = 0;
                desk.tally.retransmissions += 1;
                self.send_invite(alarm.slot, desk, script);
            }
            (Kind::Request, Caller::Ending) if mine && alarm.attempt == call.attempt => {
                call.attempt += 1;
                call.sent = 0;
                desk.tally.retransmissions += 1;
                self.send_bye(alarm.slot, desk, script);
            }
            (Kind::Answer, _) if call.callee == Callee::Answered => {
                call.answer_attempt += 1;
                call.answered = 0;
                desk.tally.retransmissions += 1;
                call.send_answer(alarm.slot, desk);
            }
            (Kind::Ring, _) if call.callee == Callee::Ringing => call.pick_up(alarm.slot, desk),
            (Kind::Hold, Caller::Talking) => self.send_bye(alarm.slot, desk, script),
            _ => {}
        }
    }
}
