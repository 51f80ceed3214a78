//! MESSAGE from one user of the population to the next, outside of any dialog (RFC 3428 §4, §7); the callee answers 200.
//! A challenge is answered once. Any final answer below 300 is a success: 202 says that the server keeps it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Unit;
use super::answer::{copy_head, tag};
use super::desk::Desk;
use super::scan::{Message, Start};
use super::schedule::Random;
use super::script::{Id, Script, Side};
use super::tally::Failure;
use super::timer::{Alarm, Kind, Nanos};
use super::wallet::Wallet;

#[derive(Clone, Default)]
struct Letter {
    /// Counts the slot's tenants; 0 is a registration's.
    generation: u32,
    waiting: bool,
    attempt: u8,
    cseq: u32,
    /// Uses of the sender's nonce; 0: without credentials.
    nc: u32,
    users: [u32; 2],
    size: usize,
    began: Nanos,
    /// When it left; 0 once it was repeated or has arrived.
    sent: Nanos,
    /// The CSeq that reached the callee.
    heard: u32,
}

pub struct Letters {
    letters: Vec<Letter>,
    free: VecDeque<u32>,
    wallet: Wallet,
    next: u32,
    sizes: (usize, usize),
    random: Random,
}

impl Letters {
    pub fn new(active_max: usize, sizes: (usize, usize), wallet: Wallet) -> Self {
        let count = u32::try_from(active_max).unwrap_or(u32::MAX);
        let letters = vec![Letter::default(); active_max];
        let random = Random::default();
        Self { letters, free: (0..count).collect(), wallet, next: 0, sizes, random }
    }

    fn live(&mut self, id: Id) -> Option<&mut Letter> {
        let letter = self.letters.get_mut(id.slot as usize)?;
        (letter.generation == id.generation).then_some(letter)
    }

    fn send(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let Some(letter) = self.letters.get(slot as usize) else { return };
        let [from, to] = letter.users;
        let (mut authorization, mut uri) = (desk.buffer(), desk.buffer());
        script.push_user_uri(to, &mut uri);
        let field = b"Proxy-Authorization: ";
        self.wallet.write(from, letter.nc, field, b"MESSAGE", &uri, &mut authorization);
        let id = Id { slot, generation: letter.generation };
        let mut out = desk.buffer();
        script.message(letter.users, id, letter.cseq, &authorization, letter.size, &mut out);
        desk.send(Side::Caller, desk.target, out);
        desk.recycle(authorization);
        desk.recycle(uri);
        let alarm = Alarm {
            slot,
            generation: letter.generation,
            kind: Kind::Request,
            attempt: letter.attempt,
            cseq: letter.cseq as u8,
        };
        let began = letter.began;
        if !desk.timers.arm_retry(desk.now, alarm) {
            desk.tally.fail(began, Failure::Timeout);
            self.finish(slot);
        }
    }

    fn finish(&mut self, slot: u32) {
        if let Some(letter) = self.letters.get_mut(slot as usize) {
            letter.waiting = false;
            self.free.push_back(slot);
        }
    }

    fn challenged(&mut self, slot: u32, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(letter) = self.letters.get_mut(slot as usize) else { return };
        let mut name = desk.buffer();
        let [from, _] = letter.users;
        let nc = self.wallet.answer(from, letter.cseq - 1, message, script.users(), &mut name);
        desk.recycle(name);
        let Some(nc) = nc else {
            desk.tally.fail(letter.began, Failure::Credentials);
            return self.finish(slot);
        };
        letter.nc = nc;
        letter.cseq += 1;
        letter.attempt = 0;
        letter.sent = desk.now;
        desk.tally.challenges += 1;
        self.send(slot, desk, script);
    }

    fn answered(&mut self, status: u16, message: &Message<'_>, desk: &mut Desk, script: &Script) {
        let Some(id) = script.id(message.call_id) else {
            return desk.tally.unexpected(desk.now);
        };
        let fresh = |letter: &&mut Letter| letter.waiting && letter.cseq == message.cseq;
        let Some(letter) = self.live(id).filter(fresh) else {
            desk.tally.repeats += 1;
            return;
        };
        match status {
            ..200 => return,
            200..300 => {
                desk.tally.succeed(letter.began);
                desk.tally.set_up(letter.began, desk.now.saturating_sub(letter.began));
            }
            401 | 407 => return self.challenged(id.slot, message, desk, script),
            status => desk.tally.fail(letter.began, Failure::Status(status)),
        }
        self.finish(id.slot);
    }

    /// A MESSAGE reached the callee: 200 without Contact or body (RFC 3428 §7). A repeated one gets the same again.
    fn deliver(
        &mut self,
        source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let id = script.id(message.call_id);
        let Some((id, letter)) = id.and_then(|id| Some((id, self.live(id)?))) else {
            return desk.tally.unexpected(desk.now);
        };
        if letter.heard == message.cseq {
            desk.tally.repeats += 1;
        } else if letter.sent > 0 {
            desk.tally.passed(letter.began, desk.now.saturating_sub(letter.sent));
        }
        letter.heard = message.cseq;
        letter.sent = 0;
        let mut out = desk.buffer();
        copy_head(b"SIP/2.0 200 OK\r\n", message, &tag(id), &mut out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        desk.send(Side::Callee, source, out);
    }
}

impl Unit for Letters {
    fn active(&self) -> usize {
        self.letters.len() - self.free.len()
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let Some(slot) = self.free.pop_front() else { return false };
        let Some(letter) = self.letters.get_mut(slot as usize) else { return false };
        let count = script.users().count();
        let from = self.next;
        self.next = (from + 1) % count;
        let (least, most) = self.sizes;
        let more = self.random.below(most.saturating_sub(least) as u64 + 1) as usize;
        *letter = Letter {
            generation: letter.generation.wrapping_add(1).max(1),
            waiting: true,
            attempt: 0,
            cseq: 1,
            nc: self.wallet.reuse(from),
            users: [from, (from + 1) % count],
            size: least + more,
            began: desk.now,
            sent: desk.now,
            heard: 0,
        };
        desk.tally.begin(desk.now);
        self.send(slot, desk, script);
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
            (Start::Response(status), _) => self.answered(status, message, desk, script),
            (Start::Request(b"MESSAGE"), Side::Callee) => {
                self.deliver(source, message, desk, script);
            }
            (Start::Request(_), _) => desk.tally.unexpected(desk.now),
        }
    }

    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script) {
        let id = Id { slot: alarm.slot, generation: alarm.generation };
        let due = |letter: &&mut Letter| {
            letter.waiting && letter.cseq as u8 == alarm.cseq && letter.attempt == alarm.attempt
        };
        let Some(letter) = self.live(id).filter(due) else { return };
        letter.attempt += 1;
        letter.sent = 0;
        desk.tally.repeat(letter.began);
        self.send(alarm.slot, desk, script);
    }
}
