//! The way to a phone behind a NAT is kept open: an OPTIONS to each, every `nat.keepalive`, by the node that took its
//! REGISTER. Whatever is answered says that the phone is there.
//!
//! A ping is one datagram and no transaction: the next one is its repetition, and repeating it sooner would send eleven
//! datagrams to every phone that is gone. What an answer belongs to is sealed into the branch, so nothing is remembered
//! of a ping under way but one bit of its binding.
//!
//! A ring of slots turns once in an interval and each slot has the phones of some users: they are spread evenly however
//! they came, and a turn costs what its slot holds. It never looks at a clock and never at all phones.

use bytes::Bytes;
use sip_message::{Response, Uri};

use super::health::Health;
use crate::flow::Flow;
use crate::hex;
use crate::limits;
use crate::output::Event;
use crate::registrar::binding::ContactUri;
use crate::seal::{Purpose, Seal};
use crate::time::Instant;
use crate::transaction::branch::COOKIE;
use crate::turn::Turn;

/// A power of two: an interval of 25 s is cut into tenths of a second.
const SLOTS: usize = 256;

/// Turns that are still served when they are late.
const LATE_MAX: u64 = 4;

/// One binding that is pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The keyed hash of its address of record, as the location table has it.
    pub user: u64,
    /// Which of his.
    pub key: u32,
}

impl Watched {
    pub fn new(user: u64, contact: &str, call_id: &str) -> Self {
        Self { user, key: Health::key_of(contact, call_id) }
    }

    /// Users choose their names but not their hashes.
    const fn slot(self) -> usize {
        (self.user >> 20) as usize % SLOTS
    }
}

/// A ping of one binding that is due, from the location table.
#[derive(Debug)]
pub struct Due {
    pub contact: ContactUri,
    pub flow: Flow,
    pub event: Option<Event>,
}

#[derive(Debug, Default)]
struct Slot {
    watched: Vec<Watched>,
    /// Where the next turn begins: more than a turn may send are pinged by turns.
    next: usize,
}

/// The bindings one node pings.
#[derive(Debug, Default)]
pub struct Keepalive {
    /// None until the first phone comes.
    slots: Vec<Slot>,
    len: usize,
    /// The next turn that has somebody; turn n is at n times the width and belongs to slot n.
    due: Option<u64>,
    /// Microseconds from one turn to the next; 0: nobody is pinged.
    width: u64,
    scratch: Vec<u8>,
}

impl Keepalive {
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.map(|turn| Instant(turn.saturating_mul(self.width)))
    }

    /// Pings this binding from now on, until it is gone. One that is known already stays where it is.
    pub fn watch(&mut self, turn: &mut Turn<'_>, watched: Watched) {
        self.configure(turn);
        if self.width == 0 {
            return;
        }
        if self.len >= limits::WATCHED.max {
            turn.out.events.push(Event::LimitHit { limit: limits::WATCHED.name, flow: None });
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(watched.slot()) else { return };
        if slot.watched.contains(&watched) {
            return;
        }
        slot.watched.push(watched);
        self.len += 1;
        let now = turn.now.0 / self.width;
        let ahead = (watched.slot() as u64).wrapping_sub(now + 1) % SLOTS as u64;
        let at = now + 1 + ahead;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Sends the pings of all turns that are due.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        self.configure(turn);
        if self.width == 0 {
            return;
        }
        let now = turn.now.0 / self.width;
        while let Some(due) = self.due.filter(|due| *due <= now) {
            // What a machine missed that slept is not made up for in one go: it has its turn in the next round.
            let earliest = now.saturating_sub(LATE_MAX);
            if due >= earliest {
                self.serve(turn, due);
            }
            self.due = self.after(due.max(earliest.saturating_sub(1)));
        }
    }

    /// The interval may change while the server runs.
    fn configure(&mut self, turn: &Turn<'_>) {
        let interval = u64::try_from(turn.config.nat.keepalive.as_micros()).unwrap_or(u64::MAX);
        let width = interval / SLOTS as u64;
        if width == self.width {
            return;
        }
        self.width = width;
        match turn.now.0.checked_div(width) {
            Some(now) => self.due = self.after(now),
            None => *self = Self::default(),
        }
    }

    /// The first turn after this one that has somebody.
    fn after(&self, turn: u64) -> Option<u64> {
        let filled = |turn: &u64| {
            let slot = self.slots.get(*turn as usize % SLOTS);
            slot.is_some_and(|slot| !slot.watched.is_empty())
        };
        (turn + 1..=turn + SLOTS as u64).find(filled)
    }

    fn serve(&mut self, turn: &mut Turn<'_>, due: u64) {
        let Some(slot) = self.slots.get_mut(due as usize % SLOTS) else { return };
        let second = limits::PINGS.max as u64;
        let most =
            usize::try_from(second.saturating_mul(self.width) / 1_000_000).unwrap_or(0).max(1);
        if slot.watched.len() > most {
            turn.out.events.push(Event::LimitHit { limit: limits::PINGS.name, flow: None });
        }
        let mut count = 0;
        for _ in 0..slot.watched.len().min(most) {
            if slot.next >= slot.watched.len() {
                slot.next = 0;
            }
            let Some(watched) = slot.watched.get(slot.next).copied() else { break };
            match turn.shared.location.ping(turn.now, watched) {
                Some(due) => {
                    slot.next += 1;
                    turn.out.events.extend(due.event.clone());
                    count += u32::from(ping(turn, watched, &due, &mut self.scratch));
                }
                None => {
                    slot.watched.swap_remove(slot.next);
                    self.len -= 1;
                }
            }
        }
        if count > 0 {
            turn.out.events.push(Event::Pinged { count });
        }
    }
}

/// Writes and sends one; false if there is no listener left to send it from.
fn ping(turn: &mut Turn<'_>, watched: Watched, due: &Due, scratch: &mut Vec<u8>) -> bool {
    let Some(flow) = turn.config.usable(due.flow) else { return false };
    let Some(listener) = turn.config.listener(flow.listener) else { return false };
    let contact = due.contact.as_bytes();
    let domain = turn.config.domains.served.first().map_or(&*listener.advertised, |name| name);
    let branch = Branch::new(&turn.shared.branch_seal, watched, turn.now);
    let token = &branch.0[COOKIE.len()..];
    scratch.clear();
    for piece in [
        &b"OPTIONS "[..],
        contact,
        b" SIP/2.0\r\nVia: SIP/2.0/",
        listener.transport.via_token().as_bytes(),
        b" ",
        listener.advertised.as_bytes(),
        b";branch=",
        &branch.0,
        b"\r\nMax-Forwards: 70\r\nFrom: <sip:",
        domain.as_bytes(),
        b">;tag=",
        token.get(..16).unwrap_or_default(),
        b"\r\nTo: <",
        contact,
        b">\r\nCall-ID: ",
        token,
        b"\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
    ] {
        scratch.extend_from_slice(piece);
    }
    turn.out.send(flow, Bytes::copy_from_slice(scratch));
    true
}

/// A response that belongs to no transaction: perhaps to a ping of ours.
pub fn answer(turn: &mut Turn<'_>, response: &Response) {
    let Ok(via) = response.via() else { return };
    let Some(branch) = via.branch else { return };
    let Some((watched, sent_at)) = Branch::read(&turn.shared.branch_seal, branch) else { return };
    if let Some(event) = turn.shared.location.answered(turn.now, watched, sent_at) {
        turn.out.events.push(Event::PingAnswered);
        turn.out.events.extend(event);
    }
}

/// How much of a Contact comes before its headers, which have no place in a Request-URI (RFC 3261 §19.1.1).
pub fn uri_length(contact: &str) -> usize {
    let headers = Uri::parse(contact.as_bytes()).ok().and_then(|uri| uri.headers);
    contact.len() - headers.map_or(0, |headers| headers.len() + 1)
}

/// `z9hG4bK p USER KEY TIME MAC`: which binding was pinged and when, in microseconds.
struct Branch([u8; Branch::LENGTH]);

impl Branch {
    const PAYLOAD: usize = 8 + 4 + 8;
    const LENGTH: usize = COOKIE.len() + 1 + 2 * (Self::PAYLOAD + 8);

    fn new(seal: &Seal, watched: Watched, now: Instant) -> Self {
        let mut payload = [0; Self::PAYLOAD + 8];
        payload[..8].copy_from_slice(&watched.user.to_be_bytes());
        payload[8..12].copy_from_slice(&watched.key.to_be_bytes());
        payload[12..20].copy_from_slice(&now.0.to_be_bytes());
        let mac = seal.mac(Purpose::Ping, &[&payload[..Self::PAYLOAD]]);
        payload[Self::PAYLOAD..].copy_from_slice(&mac.to_be_bytes());
        let mut text = [b'p'; Self::LENGTH];
        text[..COOKIE.len()].copy_from_slice(COOKIE);
        hex::write(&payload, &mut text[COOKIE.len() + 1..]);
        Self(text)
    }

    fn read(seal: &Seal, branch: &[u8]) -> Option<(Watched, Instant)> {
        use subtle::ConstantTimeEq as _;
        if branch.len() != Self::LENGTH || branch.get(COOKIE.len()) != Some(&b'p') {
            return None;
        }
        let mut payload = [0; Self::PAYLOAD + 8];
        hex::read_bytes(branch.get(COOKIE.len() + 1..)?, &mut payload)?;
        let (payload, mac) = payload.split_at(Self::PAYLOAD);
        let ours = seal.mac(Purpose::Ping, &[payload]).to_be_bytes();
        let (user, rest) = payload.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let time = rest.first_chunk()?;
        let watched = Watched { user: u64::from_be_bytes(*user), key: u32::from_be_bytes(*key) };
        let genuine: bool = ours.ct_eq(mac).into();
        genuine.then(|| (watched, Instant(u64::from_be_bytes(*time))))
    }
}

#[cfg(test)]
#[path = "keepalive_tests.rs"]
mod tests;
