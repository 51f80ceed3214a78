//! The population at the registrar: one phone per user, each with its own Call-ID, CSeq and nonce, as real ones.
//! RFC 3261 §10.2 (refresh with the same Call-ID and a higher CSeq), §10.2.4, §22.2.

use super::Unit;
use super::desk::Desk;
use super::scan::{Message, Start};
use super::schedule::Schedule;
use super::script::{Id, Script, Side};
use super::storm::{Storm, StormEnd};
use super::tally::Failure;
use super::timer::{Alarm, Kind, MILLI, Nanos};
use super::wallet::Wallet;

/// Calls begin at generation 1: what is 0 is a registration.
const GENERATION: u32 = 0;
/// A phone that got no answer, or a 5xx without Retry-After, comes again in one to two seconds.
const RETRY: Nanos = 1_000 * MILLI;

#[derive(Default)]
struct Phone {
    cseq: u32,
    waiting: bool,
    /// The registrar has its binding.
    bound: bool,
    attempt: u8,
    /// Challenges answered in this unit: one, or two when the first answer's nonce was stale.
    answered: u8,
    /// Uses of the nonce; 0: this REGISTER has no credentials.
    nc: u32,
    began: Nanos,
}

/// Whose turn it is.
enum Round {
    /// User after user, again and again.
    InTurn,
    /// Each at its own time: `every`, give or take a fifth.
    Refresh { schedule: Schedule, every: Nanos },
    /// Everybody at once, and who fails again later, until all are back.
    Storm { schedule: Schedule, storm: Storm },
    /// Every binding is taken away.
    Leave,
}

pub struct Registrations {
    phones: Vec<Phone>,
    wallet: Wallet,
    round: Round,
    next: u32,
    active: usize,
}

impl Registrations {
    pub fn new(users: u32, wallet: Wallet) -> Self {
        let phones = (0..users).map(|_| Phone::default()).collect();
        Self { phones, wallet, round: Round::InTurn, next: 0, active: 0 }
    }

    fn users(&self) -> u32 {
        self.phones.len() as u32
    }

    /// From now on everybody refreshes once in `every`.
    pub fn refresh(&mut self, now: Nanos, every: Nanos) {
        let schedule = Schedule::spread(self.users(), now, every);
        self.round = Round::Refresh { schedule, every };
    }

    /// From now on nobody is registered and everybody wants to be.
    pub fn storm(&mut self, now: Nanos) {
        let schedule = Schedule::together(self.users(), now);
        self.round = Round::Storm { schedule, storm: Storm::new(self.users(), now) };
    }

    pub fn storm_end(&self) -> Option<StormEnd> {
        match &self.round {
            Round::Storm { storm, .. } => Some(storm.end()),
            _ => None,
        }
    }

    /// From now on every unit takes a binding away.
    pub fn leave(&mut self) {
        self.round = Round::Leave;
        self.next = 0;
    }

    /// Whose turn it is; None when nobody can begin now.
    fn take_turn(&mut self, desk: &Desk) -> Option<u32> {
        match &mut self.round {
            Round::InTurn => {
                let user = self.next;
                self.phones.get(user as usize).filter(|phone| !phone.waiting)?;
                self.next = (user + 1) % self.users();
                Some(user)
            }
            Round::Refresh { schedule, every } => {
                let user = schedule.pop(desk.now)?;
                let every = *every as f64 / desk.scale;
                schedule.push(user, desk.now, (every * 0.8) as Nanos, (every * 0.4) as Nanos);
                Some(user)
            }
            Round::Storm { schedule, .. } => schedule.pop(desk.now),
            Round::Leave => {
                let rest = self.phones.iter().skip(self.next as usize);
                let skipped = rest.take_while(|phone| !phone.bound || phone.waiting).count();
                let user = self.next + skipped as u32;
                self.next = user + 1;
                Some(user).filter(|user| *user < self.users())
            }
        }
    }

    fn send(&mut self, user: u32, desk: &mut Desk, script: &Script) {
        let Some(phone) = self.phones.get_mut(user as usize) else { return };
        let mut authorization = desk.buffer();
        let (field, uri) = (b"Authorization: ", script.domain_uri());
        self.wallet.write(user, phone.nc, field, b"REGISTER", uri, &mut authorization);
        let id = Id { slot: user, generation: GENERATION };
        let mut out = desk.buffer();
        let remove = matches!(self.round, Round::Leave);
        script.register(user, id, phone.cseq, remove, &authorization, &mut out);
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
            self.fail(user, Failure::Timeout, None, desk);
        }
    }

    fn succeed(&mut self, user: u32, desk: &mut Desk) {
        let Some(phone) = self.phones.get_mut(user as usize) else { return };
        phone.waiting = false;
        phone.bound = !matches!(self.round, Round::Leave);
        self.active -= 1;
        desk.tally.succeed(phone.began);
        desk.tally.set_up(phone.began, desk.now.saturating_sub(phone.began));
        if let Round::Storm { storm, .. } = &mut self.round {
            storm.is_back(desk.now);
        }
    }

    fn fail(&mut self, user: u32, failure: Failure, retry_after: Option<u32>, desk: &mut Desk) {
        let Some(phone) = self.phones.get_mut(user as usize) else { return };
        phone.waiting = false;
        self.wallet.forget(user);
        self.active -= 1;
        desk.tally.fail(phone.began, failure);
        if let Round::Storm { schedule, storm } = &mut self.round {
            match failure {
                Failure::Timeout | Failure::Status(408 | 500..600) => {
                    let pause = retry_after.map_or(RETRY, |after| Nanos::from(after) * RETRY);
                    schedule.push(user, desk.now, pause, RETRY);
                }
                _ => storm.is_refused(),
            }
        }
    }

    fn challenged(&mut self, user: u32, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(phone) = self.phones.get_mut(user as usize) else { return };
        let (mut name, answered) = (desk.buffer(), phone.answered.into());
        let nc = self.wallet.answer(user, answered, message, script.users(), &mut name);
        desk.recycle(name);
        let Some(nc) = nc else { return self.fail(user, Failure::Credentials, None, desk) };
        phone.nc = nc;
        phone.answered += 1;
        phone.attempt = 0;
        phone.cseq += 1;
        desk.tally.challenges += 1;
        self.send(user, desk, script);
    }
}

impl Unit for Registrations {
    fn active(&self) -> usize {
        self.active
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let Some(user) = self.take_turn(desk) else { return false };
        let Some(phone) = self.phones.get_mut(user as usize) else { return false };
        if phone.waiting {
            // Its last refresh is still under way: a phone does not begin a second one.
            return true;
        }
        phone.waiting = true;
        phone.began = desk.now;
        phone.attempt = 0;
        phone.answered = 0;
        phone.cseq += 1;
        phone.nc = self.wallet.reuse(user);
        self.active += 1;
        desk.tally.begin(desk.now);
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
            (message.start, self.phones.get(user as usize))
        else {
            return desk.tally.unexpected(desk.now);
        };
        if !phone.waiting || phone.cseq != message.cseq {
            desk.tally.repeats += 1;
            return;
        }
        match status {
            100..200 => {}
            200..300 => self.succeed(user, desk),
            401 | 407 => self.challenged(user, message, desk, script),
            status => self.fail(user, Failure::Status(status), message.retry_after(), desk),
        }
    }

    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script) {
        let Some(phone) = self.phones.get_mut(alarm.slot as usize) else { return };
        let due = phone.waiting && alarm.generation == GENERATION && alarm.kind == Kind::Request;
        if !due || alarm.cseq != phone.cseq as u8 || alarm.attempt != phone.attempt {
            return;
        }
        phone.attempt += 1;
        desk.tally.repeat(phone.began);
        self.send(alarm.slot, desk, script);
    }

    fn due(&self) -> Option<Nanos> {
        match &self.round {
            Round::Refresh { schedule, .. } | Round::Storm { schedule, .. } => schedule.next(),
            Round::InTurn | Round::Leave => None,
        }
    }

    fn postpone(&mut self, by: Nanos) {
        if let Round::Refresh { schedule, .. } | Round::Storm { schedule, .. } = &mut self.round {
            schedule.postpone(by);
        }
    }

    fn is_over(&self) -> bool {
        matches!(&self.round, Round::Storm { storm, .. } if storm.is_over())
    }
}
