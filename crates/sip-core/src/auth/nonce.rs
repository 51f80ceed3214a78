//! Nonces (RFC 7616 §3.3, RFC 3261 §22.4): made without memory, believed once. A nonce is a time, something unique
//! and a MAC over both, the realm and this process; the ledger remembers a nonce only after a request with it was
//! right, so nobody without an account can fill it. It never sees a password.
//!
//! The ledger is bounded and forgets towards safety: what it has dropped, and everything as old as that, is stale,
//! which costs an honest client one more round trip and gives a replay nothing.

use core::net::IpAddr;
use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::seal::{Purpose, Seal};
use crate::source::source_hash;
use crate::time::{Duration, Instant};

/// Length of the nonce text: 21 bytes in the URL-safe base64 alphabet, which needs no quoting anywhere.
pub const NONCE_LENGTH: usize = 28;

/// How long a nonce may wait for its first use. Answering a challenge takes a phone a second; 32 s is what RFC 3261
/// gives a transaction (64*T1), after which the challenged request is given up anyway.
pub const FIRST_USE_WITHIN: Duration = Duration::from_secs(32);

/// How many values of `nc` behind the highest may still come in, each once: UDP reorders, phones pipeline.
const WINDOW: u32 = 64;

/// How many of the last accepted requests are recognised when they come again unchanged, and for how long: nobody
/// retransmits after 64*T1 (RFC 3261 §17.1), and an INVITE replayed later would ring again.
const RECENT: usize = 4;
const RETRANSMITTED_WITHIN: u16 = 32;

/// How far ahead of the worker's clock a nonce may be, in ticks: one second.
const AHEAD: u64 = 256;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A nonce of ours, read back and found genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// In ticks of 1/256 s.
    issued: u64,
    /// The MAC: unguessable and unique, so it is the nonce's name in the ledger.
    key: u64,
    /// Which address it was sent to.
    source: u32,
}

impl Nonce {
    /// A hash-like name, uniform in all its bits.
    pub const fn key(&self) -> u64 {
        self.key
    }
}

/// Makes and reads nonces. One per process: nonces of an earlier run are foreign, because the ledger that knew
/// their use is gone.
#[derive(Clone, Debug)]
pub struct Mint {
    seal: Seal,
    born: Instant,
}

impl Mint {
    pub const fn new(seal: Seal, born: Instant) -> Self {
        Self { seal, born }
    }

    /// A fresh nonce for `realm`, to be sent to `source`. `request` tells this request from all others (source, Call-ID,
    /// branch): two clients must never share a nonce, or their counts would collide.
    pub fn issue(
        &self,
        now: Instant,
        realm: &str,
        request: &[&[u8]],
        source: IpAddr,
    ) -> [u8; NONCE_LENGTH] {
        let unique = self.seal.mac(Purpose::Nonce, request) as u32;
        let mut raw = [0; 21];
        let (time, rest) = raw.split_at_mut(5);
        time.copy_from_slice(&ticks(now).to_be_bytes()[3..]);
        let (middle, mac) = rest.split_at_mut(8);
        let (first, second) = middle.split_at_mut(4);
        first.copy_from_slice(&unique.to_be_bytes());
        second.copy_from_slice(&self.source(source).to_be_bytes());
        mac.copy_from_slice(&self.mac(time, middle, realm).to_be_bytes());
        encode(&raw)
    }

    /// `None` if we did not issue this nonce, for this realm, in this run.
    pub fn read(&self, realm: &str, text: &[u8]) -> Option<Nonce> {
        let raw = decode(text)?;
        let (time, rest) = raw.split_first_chunk::<5>()?;
        let (unique, mac) = rest.split_first_chunk::<8>()?;
        let key = self.mac(time, unique, realm);
        // Not a secret comparison: the MAC names the nonce and is sent in clear. Guessing it is what must be hard.
        if key.to_be_bytes() != mac {
            return None;
        }
        let issued = time.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let source = u32::from_be_bytes(*unique.last_chunk::<4>()?);
        Some(Nonce { issued, key, source })
    }

    /// Whether the nonce was sent to this address: whoever answers it from there receives what we send there. A phone
    /// may answer from another address, and is believed; but its wrong answers say nothing about that address.
    pub fn was_sent_to(&self, nonce: &Nonce, source: IpAddr) -> bool {
        nonce.source == self.source(source)
    }

    fn source(&self, source: IpAddr) -> u32 {
        source_hash(&self.seal, source) as u32
    }

    fn mac(&self, time: &[u8], unique: &[u8], realm: &str) -> u64 {
        let born = self.born.0.to_be_bytes();
        self.seal.mac(Purpose::Nonce, &[b"nonce", &born, time, unique, realm.as_bytes()])
    }
}

/// 40 bits of 1/256 s: good until the year 2106.
fn ticks(at: Instant) -> u64 {
    let ticks = u128::from(at.0) * 256 / 1_000_000;
    (ticks & 0xff_ffff_ffff) as u64
}

fn ticks_of(span: Duration) -> u64 {
    ticks(Instant::ZERO + span)
}

fn seconds(ticks: u64) -> u16 {
    u16::try_from(ticks / 256).unwrap_or(u16::MAX)
}

fn encode(raw: &[u8; 21]) -> [u8; NONCE_LENGTH] {
    let mut text = [0; NONCE_LENGTH];
    for (three, four) in raw.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let group = three.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        for (place, letter) in four.iter_mut().enumerate() {
            *letter = ALPHABET[(group >> (18 - 6 * place) & 63) as usize];
        }
    }
    text
}

fn decode(text: &[u8]) -> Option<[u8; 21]> {
    let text: &[u8; NONCE_LENGTH] = text.try_into().ok()?;
    let mut raw = [0; 21];
    for (four, three) in text.chunks_exact(4).zip(raw.chunks_exact_mut(3)) {
        let mut group = 0_u32;
        for letter in four {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            group = (group << 6) | u32::from(value);
        }
        three.copy_from_slice(&group.to_be_bytes()[1..]);
    }
    Some(raw)
}

/// What the ledger says about one right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// First time this nonce count is seen: go on.
    Fresh,
    /// The very same request from the very same place, again: answer it again.
    Retransmission,
    /// This count was used before, by something else, or the nonce is another user's.
    Replay,
    /// Too old, or forgotten: ask again with `stale=true`.
    Stale,
}

/// Who answered with a nonce, and how. Everything is a keyed hash: nobody can aim at a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The `nc` of RFC 7616 §3.4, at least 1.
    pub count: u32,
    /// The account.
    pub owner: u32,
    /// Source, branch and response: what makes a request the very same one.
    pub request: u32,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    issued: u64,
    /// Bit n: count `highest - n` was used.
    window: u64,
    highest: u32,
    owner: u32,
    recent: [u32; RECENT],
    /// When each of `recent` came, in seconds after `issued`.
    recent_at: [u16; RECENT],
}

/// The nonces that have been used, oldest entry first.
#[derive(Debug)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Key -> place. A place counts entries ever made, so it stays valid while the front is popped.
    index: HashTable<u32>,
    popped: u32,
    /// Unknown nonces issued before this are stale.
    floor: u64,
    entries_max: usize,
}

impl Ledger {
    pub fn new(entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), index: HashTable::new(), popped: 0, floor: 0, entries_max }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A right answer has come in: may it pass? `lifetime` is `auth.nonce_lifetime`.
    pub fn redeem(
        &mut self,
        now: Instant,
        lifetime: Duration,
        nonce: Nonce,
        answered: Answered,
    ) -> Use {
        let now = ticks(now);
        // Workers read the clock once per batch, so one may be a little behind the other that issued the nonce.
        if nonce.issued > now + AHEAD {
            return Use::Stale;
        }
        let age = now.saturating_sub(nonce.issued);
        if age > ticks_of(lifetime) {
            return Use::Stale;
        }
        let (entries, popped) = (&mut self.entries, self.popped);
        let place = |seat: &u32| seat.wrapping_sub(popped) as usize;
        let known = self
            .index
            .find(nonce.key, |seat| entries.get(place(seat)).is_some_and(|e| e.key == nonce.key));
        if let Some(entry) = known.map(place).and_then(|place| entries.get_mut(place)) {
            return entry.redeem(seconds(age), answered);
        }
        if age > ticks_of(FIRST_USE_WITHIN) || nonce.issued < self.floor {
            return Use::Stale;
        }
        self.make_room(now, ticks_of(lifetime));
        self.insert(nonce, seconds(age), answered);
        Use::Fresh
    }

    fn make_room(&mut self, now: u64, lifetime: u64) {
        while let Some(oldest) = self.entries.front() {
            let over = now.saturating_sub(oldest.issued) > lifetime;
            if !over && self.entries.len() < self.entries_max {
                return;
            }
            // Forgetting a nonce that could still be used must not make it usable anew.
            self.floor = self.floor.max(oldest.issued + 1);
            let (key, seat) = (oldest.key, self.popped);
            if let Ok(found) = self.index.find_entry(key, |s| *s == seat) {
                found.remove();
            }
            self.entries.pop_front();
            self.popped = self.popped.wrapping_add(1);
        }
    }

    fn insert(&mut self, nonce: Nonce, at: u16, answered: Answered) {
        let seat = self.popped.wrapping_add(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.entries.push_back(Entry {
            key: nonce.key,
            issued: nonce.issued,
            window: 1,
            highest: answered.count,
            owner: answered.owner,
            recent: [answered.request; RECENT],
            recent_at: [at; RECENT],
        });
        let (entries, popped) = (&self.entries, self.popped);
        let key_of = |s: &u32| entries.get(s.wrapping_sub(popped) as usize).map_or(0, |e| e.key);
        self.index.insert_unique(nonce.key, seat, key_of);
    }
}

impl Entry {
    fn redeem(&mut self, at: u16, answered: Answered) -> Use {
        if self.owner != answered.owner {
            return Use::Replay;
        }
        if let Some(ahead) = answered.count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = answered.count;
        } else {
            let behind = self.highest - answered.count;
            if behind >= WINDOW {
                return Use::Replay;
            }
            let bit = 1_u64 << behind;
            if self.window & bit != 0 {
                let mut recent = self.recent.iter().zip(self.recent_at);
                let again = recent.any(|(request, then)| {
                    *request == answered.request && at.saturating_sub(then) <= RETRANSMITTED_WITHIN
                });
                return if again { Use::Retransmission } else { Use::Replay };
            }
            self.window |= bit;
        }
        self.recent.rotate_right(1);
        self.recent[0] = answered.request;
        self.recent_at.rotate_right(1);
        self.recent_at[0] = at;
        Use::Fresh
    }
}

#[cfg(test)]
#[path = "nonce_tests.rs"]
mod tests;
