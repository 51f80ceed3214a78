//! Calls between users of the population: both phones live here, the proxy is in between.
//! INVITE, 180, 200, ACK, (hold), BYE, 200; RFC 3261 §13, §15, §17. A challenge is answered once.
//!
//! A call is found by its slot number in the Call-ID. Slots are reused oldest first, so that a late repetition still
//! meets its call.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Unit;
use super::answer::{copy_head, tag};
use super::desk::Desk;
use super::scan::{self, Message, Name, Start};
use super::script::{Dialog, Id, Script, Side};
use super::talk::{CallSound, TALKS_MAX, Talks};
use super::tally::Failure;
use super::timer::{Alarm, Kind, Nanos};
use super::wallet::Wallet;

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
    /// The other's SDP was of no use.
    mute: bool,
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
    wallet: Wallet,
    /// With sound.
    talks: Option<Talks>,
    next: u32,
}

/// An alarm that does not repeat anything: 64*T1 without a final answer.
const GIVE_UP: u8 = u8::MAX;

impl Calls {
    pub fn new(active_max: usize, sound: bool, wallet: Wallet) -> Self {
        let active_max = if sound { active_max.min(TALKS_MAX) } else { active_max };
        let count = u32::try_from(active_max).unwrap_or(u32::MAX);
        Self {
            calls: (0..count).map(|_| Call::default()).collect(),
            free: (0..count).collect(),
            wallet,
            talks: sound.then(|| Talks::new(active_max)),
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

    /// The BYE was answered: a call with sound is a success when both were heard.
    fn succeed(&mut self, slot: u32, desk: &mut Desk) {
        let Some(call) = self.calls.get(slot as usize) else { return };
        let (began, mute) = (call.began, call.mute);
        match self.count_sound(slot, true, desk) {
            _ if mute => desk.tally.fail(began, Failure::NoSdp),
            Some(sound) if sound.is_one_way() => desk.tally.fail(began, Failure::OneWay),
            _ => desk.tally.succeed(began),
        }
        self.finish(slot);
    }

    fn count_sound(&mut self, slot: u32, whole: bool, desk: &mut Desk) -> Option<CallSound> {
        let sound = self.talks.as_mut()?.end(slot, whole)?;
        desk.tally.heard(self.calls.get(slot as usize)?.began, &sound);
        Some(sound)
    }

    /// The hold is over. With sound both fall silent, and a moment later the caller hangs up.
    fn hang_up(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let (Some(talks), Some(call)) = (&mut self.talks, self.calls.get(slot as usize)) else {
            return self.send_bye(slot, desk, script);
        };
        talks.stop(slot);
        desk.timers.arm_drain(desk.now, call.alarm(slot, Kind::Drain));
    }

    fn fail(&mut self, slot: u32, failure: Failure, desk: &mut Desk) {
        self.count_sound(slot, false, desk);
        if let Some(call) = self.calls.get(slot as usize) {
            desk.tally.fail(call.began, failure);
        }
        self.finish(slot);
    }

    fn send_invite(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let Some(call) = self.calls.get(slot as usize) else { return };
        let [caller, callee] = call.users;
        let (mut authorization, mut uri) = (desk.buffer(), desk.buffer());
        script.push_user_uri(callee, &mut uri);
        let field = b"Proxy-Authorization: ";
        self.wallet.write(caller, call.nc, field, b"INVITE", &uri, &mut authorization);
        desk.recycle(uri);
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
            200..300 if fresh => self.picked_up(id.slot, message, desk, script),
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

    /// The first 2xx: ACK, talk, hang up when the hold is over.
    fn picked_up(&mut self, slot: u32, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(call) = self.calls.get_mut(slot as usize) else { return };
        call.learn(message);
        call.caller = Caller::Talking;
        let pauses = desk.timers.pauses();
        let setup = desk.now.saturating_sub(call.began);
        desk.tally.set_up(call.began, setup.saturating_sub(pauses.ring));
        if call.answered > 0 {
            desk.tally.passed(call.began, desk.now.saturating_sub(call.answered));
        }
        call.send_within(slot, false, desk, script);
        if let Some(talks) = &mut self.talks {
            talks.aim(slot, Side::Caller, scan::pcmu(message.body()));
            call.mute = !talks.begin(slot, desk.now);
        }
        if call.mute || pauses.hold == 0 {
            self.hang_up(slot, desk, script);
        } else {
            let alarm = call.alarm(slot, Kind::Hold);
            desk.timers.arm_hold(desk.now, alarm);
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
        let Some(call) = self.calls.get_mut(slot as usize) else { return };
        let (mut name, [caller, _]) = (desk.buffer(), call.users);
        // The first INVITE has CSeq 1.
        let nc = self.wallet.answer(caller, call.cseq - 1, message, script.users(), &mut name);
        desk.recycle(name);
        let Some(nc) = nc else { return self.fail(slot, Failure::Credentials, desk) };
        call.nc = nc;
        call.cseq += 1;
        call.attempt = 0;
        call.caller = Caller::Inviting;
        call.sent = desk.now;
        desk.tally.challenges += 1;
        self.send_invite(slot, desk, script);
    }

    fn response(&mut self, status: u16, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(id) = script.id(message.call_id) else {
            desk.tally.unexpected(desk.now);
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
                    (200..300, _) => self.succeed(id.slot, desk),
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
            (b"INVITE", Some((id, call))) => {
                call.ring(id.slot, source, message, desk, script);
                if let Some(talks) = &mut self.talks {
                    talks.aim(id.slot, Side::Callee, scan::pcmu(message.body()));
                }
            }
            (b"ACK", Some((_, call))) => {
                if call.callee == Callee::Answered {
                    call.callee = Callee::Talking;
                }
            }
            (b"BYE", call) => {
                if let Some((_, call)) = call.filter(|(_, call)| call.sent > 0) {
                    desk.tally.passed(call.began, desk.now.saturating_sub(call.sent));
                    call.sent = 0;
                }
                let mut out = desk.buffer();
                copy_head(b"SIP/2.0 200 OK\r\n", message, b"", &mut out);
                out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
                desk.send(Side::Callee, source, out);
            }
            (b"ACK", None) => desk.tally.repeats += 1,
            _ => desk.tally.unexpected(desk.now),
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
            desk.tally.rang(self.began, desk.now.saturating_sub(self.began));
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
            desk.tally.passed(self.began, desk.now.saturating_sub(self.sent));
            self.sent = 0;
        }
        self.callee = Callee::Ringing;
        self.answer_target = Some(source);
        let id = Id { slot, generation: self.generation };
        let tag = tag(id);
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

impl Unit for Calls {
    fn active(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let Some(slot) = self.free.pop_front() else { return false };
        let count = script.users().count();
        let caller = self.next;
        self.next = (caller + 1) % count;
        let nc = self.wallet.reuse(caller);
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
        call.mute = false;
        if let Some(talks) = &mut self.talks {
            talks.reset(Id { slot, generation: call.generation });
        }
        desk.tally.begin(desk.now);
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
            (Start::Request(_), Side::Caller) => desk.tally.unexpected(desk.now),
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
                desk.tally.repeat(call.began);
                self.send_invite(alarm.slot, desk, script);
            }
            (Kind::Request, Caller::Ending) if mine && alarm.attempt == call.attempt => {
                call.attempt += 1;
                call.sent = 0;
                desk.tally.repeat(call.began);
                self.send_bye(alarm.slot, desk, script);
            }
            (Kind::Answer, _) if call.callee == Callee::Answered => {
                call.answer_attempt += 1;
                call.answered = 0;
                desk.tally.repeat(call.began);
                call.send_answer(alarm.slot, desk);
            }
            (Kind::Ring, _) if call.callee == Callee::Ringing => call.pick_up(alarm.slot, desk),
            (Kind::Hold, Caller::Talking) => self.hang_up(alarm.slot, desk, script),
            (Kind::Drain, Caller::Talking) => self.send_bye(alarm.slot, desk, script),
            _ => {}
        }
    }

    fn tick(&mut self, desk: &mut Desk) {
        if let Some(talks) = &mut self.talks {
            talks.talk(desk);
        }
    }

    fn next_tick(&self) -> Option<Nanos> {
        self.talks.as_ref().and_then(Talks::next)
    }

    fn hear(&mut self, side: Side, bytes: &[u8], desk: &mut Desk) {
        if let Some(talks) = &mut self.talks {
            talks.hear(side, bytes, desk);
        }
    }

    fn abandon(&mut self, desk: &mut Desk) {
        for slot in 0..self.calls.len() as u32 {
            self.count_sound(slot, false, desk);
        }
    }
}
