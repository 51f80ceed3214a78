//! The population at the registrar: one phone per user, each with its own Call-ID, CSeq and nonce, as real ones.
//! RFC 3261 §10.2 (refresh with the same Call-ID and a higher CSeq), §22.2, RFC 7616 §3.4.

use super::Unit;
use super::desk::Desk;
use super::plan::Secret;
use super::scan::{Message, Name, Start};
use super::script::{Id, Script, Side};
use super::tally::Failure;
use super::timer::{Alarm, Kind, Nanos};
use crate::digest::{Challenge, Credential};

/// Calls begin at generation 1: what is 0 is a registration.
const GENERATION: u32 = 0;
const CNONCE: &[u8] = b"7a6f";

#[derive(Default)]
struct Phone {
    cseq: u32,
    waiting: bool,
    attempt: u8,
    /// Challenges answered in this unit: one, or two when the first answer's nonce was stale.
    answered: u8,
    /// Uses of the nonce; 0: this REGISTER has no credentials.
    nc: u32,
    began: Nanos,
    credential: Option<Box<Credential>>,
}

pub struct Registrations {
    phones: Vec<Phone>,
    secret: Option<Secret>,
    next: u32,
    active: usize,
    /// Remove the bindings instead of refreshing them.
    remove: bool,
}

impl Registrations {
    pub fn new(users: u32, secret: Option<Secret>) -> Self {
        let phones = (0..users).map(|_| Phone::default()).collect();
        Self { phones, secret, next: 0, active: 0, remove: false }
    }

    /// From now on every unit takes a binding away.
    pub fn unregister(&mut self) {
        self.remove = true;
    }

    fn send(&mut self, user: u32, desk: &mut Desk, script: &Script) {
        let Some(phone) = self.phones.get_mut(user as usize) else { return };
        let mut authorization = desk.buffer();
        if let (Some(credential), 1..) = (&phone.credential, phone.nc) {
            authorization.extend_from_slice(b"Authorization: ");
            let uri = script.domain_uri();
            credential.write(phone.nc, b"REGISTER", uri, CNONCE, &mut authorization);
            authorization.extend_from_slice(b"\r\n");
        }
        let id = Id { slot: user, generation: GENERATION };
        let mut out = desk.buffer();
        script.register(user, id, phone.cseq, self.remove, &authorization, &mut out);
        desk.send(Side::Callee, desk.target, out);
        desk.recycle(authorization);
        let alarm = Alarm {
            slot: user,
            generation: GENERATION,
            kind: Kind::Request,
            attempt: phone.attempt,
            cseq: phone.cseq as u8,
        };
        if !desk.timers.arm_retry(desk.now, alarm) {
            self.fail(user, Failure::Timeout, desk);
        }
    }

    fn fail(&mut self, user: u32, failure: Failure, desk: &mut Desk) {
        if let Some(phone) = self.phones.get_mut(user as usize) {
            phone.waiting = false;
            phone.credential = None;
            self.active -= 1;
            desk.tally.fail(failure);
        }
    }

    fn challenged(&mut self, user: u32, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let (Some(phone), Some(secret)) = (self.phones.get_mut(user as usize), &self.secret) else {
            return self.fail(user, Failure::Credentials, desk);
        };
        let challenge = choose(message, secret);
        let again = phone.answered > 0 && !challenge.is_some_and(|c| c.stale);
        let Some(challenge) = challenge.filter(|_| !again && phone.answered < 2) else {
            return self.fail(user, Failure::Credentials, desk);
        };
        let mut name = desk.buffer();
        script.users().push_name(user, &mut name);
        let mut credential = Credential::new(&challenge, &name, secret.password.as_bytes());
        desk.recycle(name);
        phone.nc = credential.next_use();
        phone.credential = Some(Box::new(credential));
        phone.answered += 1;
        phone.attempt = 0;
        phone.cseq += 1;
        desk.tally.challenges += 1;
        self.send(user, desk, script);
    }
}

/// The first challenge that we can answer, of the wanted algorithm if one is wanted.
pub(super) fn choose<'a>(message: &Message<'a>, secret: &Secret) -> Option<Challenge<'a>> {
    message
        .lines()
        .filter(|line| line.name == Name::Challenge)
        .filter_map(|line| Challenge::read(line.value))
        .find(|challenge| secret.algorithm.is_none_or(|wanted| wanted == challenge.algorithm))
}

impl Unit for Registrations {
    fn active(&self) -> usize {
        self.active
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let user = self.next;
        let Some(phone) = self.phones.get_mut(user as usize).filter(|phone| !phone.waiting) else {
            return false;
        };
        self.next = (user + 1) % script.users().count();
        phone.waiting = true;
        phone.began = desk.now;
        phone.attempt = 0;
        phone.answered = 0;
        phone.cseq += 1;
        let reuse = self.secret.as_ref().is_some_and(|secret| secret.reuse_nonce);
        phone.nc = match &mut phone.credential {
            Some(credential) if reuse => credential.next_use(),
            _ => 0,
        };
        self.active += 1;
        desk.tally.started += 1;
        self.send(user, desk, script);
        true
    }

    fn receive(
        &mut self,
        _side: Side,
        _source: std::net::SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let id = script.id(message.call_id);
        let user = id.filter(|id| id.generation == GENERATION).map_or(u32::MAX, |id| id.slot);
        let (Start::Response(status), Some(phone)) =
            (message.start, self.phones.get_mut(user as usize))
        else {
            desk.tally.unexpected += 1;
            return;
        };
        if !phone.waiting || phone.cseq != message.cseq {
            desk.tally.repeats += 1;
            return;
        }
        match status {
            100..200 => {}
            200..300 => {
                phone.waiting = false;
                self.active -= 1;
                desk.tally.ok += 1;
                desk.tally.setup.record(desk.now.saturating_sub(phone.began));
            }
            401 | 407 => self.challenged(user, message, desk, script),
            status => self.fail(user, Failure::Status(status), desk),
        }
    }

    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script) {
        let Some(phone) = self.phones.get_mut(alarm.slot as usize) else { return };
        let due = phone.waiting && alarm.generation == GENERATION && alarm.kind == Kind::Request;
        if !due || alarm.cseq != phone.cseq as u8 || alarm.attempt != phone.attempt {
            return;
        }
        phone.attempt += 1;
        desk.tally.retransmissions += 1;
        self.send(alarm.slot, desk, script);
    }
}
