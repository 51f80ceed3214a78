//! What one source address may ask before it has proven that it receives what we send. An unverified source has a
//! token bucket; what is over is dropped in silence, so a spoofed flood is neither reflected nor answered. It bans
//! nobody: an address that can be forged is never punished on its word.
//!
//! State is bounded whatever arrives: a fixed set-associative table, 16 bytes a source, evicting the quietest.

use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::config::SourceRate;
use crate::flow::Flow;
use crate::seal::{Purpose, Seal};
use crate::time::{Duration, Instant};

/// How long a proof counts: longer than the registration that proved it is refreshed, shorter than forever.
pub const VERIFIED_FOR: Duration = Duration::from_secs(2 * 3600);

/// Places per set.
const WAYS: usize = 4;

/// The longest a source can be silenced by what it has asked already.
const DEBT_MAX: u64 = 60_000_000;

/// The answer to "may this request in?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// In a trusted network, or proven to receive what we send.
    Verified,
    /// Unverified, within its budget.
    Within,
    /// Unverified and over its budget: drop without a word.
    Over,
}

/// The unit that shares a budget: one IPv4 address, or one IPv6 /64, which is what one subscriber is given.
pub fn source_hash(seal: &Seal, ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => seal.mac(Purpose::Table, &[b"4", &v4.octets()]),
        IpAddr::V6(v6) => seal.mac(Purpose::Table, &[b"6", &v6.octets()[..8]]),
    }
}

/// A verified flow is one address and port: proving a port says nothing about its neighbours behind the same NAT.
fn flow_hash(seal: &Seal, flow: &Flow) -> u64 {
    let remote = flow.remote;
    let port = remote.port().to_be_bytes();
    // What a connection proved says nothing about datagrams with the same address written on them.
    let kind: &[u8] = if flow.transport.is_reliable() { b"s" } else { b"f" };
    match remote.ip().to_canonical() {
        IpAddr::V4(v4) => seal.mac(Purpose::Table, &[kind, &v4.octets(), &port]),
        IpAddr::V6(v6) => seal.mac(Purpose::Table, &[kind, &v6.octets(), &port]),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tag: u64,
    /// When the bucket is full again (the "theoretical arrival time" of a GCRA). In the past: it is full, and the
    /// place is free for anybody.
    full_at: u64,
}

/// Token buckets for unverified sources. Plain: `shared.rs` stripes and locks it.
#[derive(Debug)]
pub struct Buckets {
    /// Empty until the first unverified source turns up.
    places: Vec<Bucket>,
    sets: usize,
}

impl Buckets {
    /// Room for `4 * sets` sources. `sets` is a power of two.
    pub const fn new(sets: usize) -> Self {
        Self { places: Vec::new(), sets }
    }

    /// Takes one token of the source, if there is one.
    pub fn take(&mut self, now: Instant, source: u64, rate: SourceRate) -> bool {
        let interval = interval(rate);
        let Some(bucket) = self.bucket(now, source) else { return true };
        if bucket.full_at - now.0 > u64::from(rate.burst.saturating_sub(1)) * interval {
            return false;
        }
        bucket.full_at += interval;
        true
    }

    /// Whether `take` would say no.
    pub fn is_over(&self, now: Instant, source: u64, rate: SourceRate) -> bool {
        let start = (source as usize & (self.sets - 1)) * WAYS;
        let set = self.places.get(start..start + WAYS).unwrap_or_default();
        let most = u64::from(rate.burst.saturating_sub(1)) * interval(rate);
        set.iter().any(|b| b.tag == source && b.full_at > now.0 && b.full_at - now.0 > most)
    }

    /// Takes more, whether there are any or not: what was asked was not worth an answer.
    pub fn charge(&mut self, now: Instant, source: u64, rate: SourceRate, tokens: u32) {
        let longest = u64::from(rate.burst) * interval(rate) + DEBT_MAX;
        if let Some(bucket) = self.bucket(now, source) {
            let full_at = bucket.full_at + u64::from(tokens) * interval(rate);
            bucket.full_at = full_at.min(now.0 + longest);
        }
    }

    /// The source's place; that of the quietest, emptied, if it has none.
    fn bucket(&mut self, now: Instant, source: u64) -> Option<&mut Bucket> {
        if self.places.is_empty() {
            self.places = vec![Bucket::default(); self.sets * WAYS];
        }
        let start = (source as usize & (self.sets - 1)) * WAYS;
        let set = self.places.get_mut(start..start + WAYS)?;
        let mine = set.iter().position(|b| b.tag == source && b.full_at > now.0);
        let quietest =
            || set.iter().enumerate().min_by_key(|(_, b)| b.full_at).map_or(0, |(place, _)| place);
        let place = mine.unwrap_or_else(quietest);
        let bucket = set.get_mut(place)?;
        if mine.is_none() {
            *bucket = Bucket { tag: source, full_at: now.0 };
        }
        Some(bucket)
    }
}

/// One request costs this much of the future.
fn interval(rate: SourceRate) -> u64 {
    1_000_000 / u64::from(rate.per_second.clamp(1, 1_000_000))
}

/// The verified bit of datagram flows: read on every request, so it is a fixed table of atomics instead of a lock.
/// Each word is 40 bits of keyed hash and 24 bits of time in units of 16 s.
#[derive(Debug)]
pub struct VerifiedFlows {
    seal: Seal,
    words: Box<[AtomicU64]>,
}

const TIME_MASK: u64 = 0xff_ffff;
const TIME_UNIT: u64 = 16;

impl VerifiedFlows {
    /// Room for `4 * sets` flows. `sets` is a power of two.
    pub fn new(seal: Seal, sets: usize) -> Self {
        Self { seal, words: (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect() }
    }

    fn set(&self, hash: u64) -> &[AtomicU64] {
        let sets = self.words.len() / WAYS;
        let start = (hash as usize & (sets - 1)) * WAYS;
        self.words.get(start..start + WAYS).unwrap_or_default()
    }

    /// Time 0 marks an empty place, so the clock starts at 1.
    fn time(now: Instant) -> u64 {
        (now.as_secs() / TIME_UNIT + 1) & TIME_MASK
    }

    fn age(now: u64, word: u64) -> u64 {
        match word & TIME_MASK {
            0 => u64::MAX,
            seen => now.wrapping_sub(seen) & TIME_MASK,
        }
    }

    /// The flow has proven that it receives what we send to it.
    pub fn verify(&self, now: Instant, flow: &Flow) {
        let hash = flow_hash(&self.seal, flow);
        let (set, now) = (self.set(hash), Self::time(now));
        let word = (hash & !TIME_MASK) | now;
        let same = |w: &&AtomicU64| w.load(Ordering::Relaxed) & !TIME_MASK == hash & !TIME_MASK;
        let oldest = || set.iter().max_by_key(|w| Self::age(now, w.load(Ordering::Relaxed)));
        // Two workers may race for a place; the loser's flow is unverified until its next proof.
        if let Some(place) = set.iter().find(same).or_else(oldest) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// A stream's handshake is the proof; a datagram flow must have given one.
    pub fn is_verified(&self, now: Instant, flow: &Flow) -> bool {
        flow.transport.is_reliable() || self.has_proven(now, flow)
    }

    /// As [`is_verified`](Self::is_verified), but a TCP handshake is not enough: only a digest or a sealed route is. The
    /// shell keeps idle connections only for those.
    pub fn has_proven(&self, now: Instant, flow: &Flow) -> bool {
        let hash = flow_hash(&self.seal, flow);
        let now = Self::time(now);
        self.set(hash).iter().any(|w| {
            let word = w.load(Ordering::Relaxed);
            word & !TIME_MASK == hash & !TIME_MASK
                && Self::age(now, word) <= VERIFIED_FOR.as_secs() / TIME_UNIT
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ConnectionId, ListenerId, Transport};

    fn seal() -> Seal {
        Seal::new([5; 16])
    }

    fn flow(remote: &str) -> Flow {
        Flow::udp(ListenerId(0), remote.parse().unwrap())
    }

    const START: Instant = Instant::from_secs(1_000_000);

    const RATE: SourceRate = SourceRate { per_second: 20, burst: 60 };
    const BURST: u32 = RATE.burst;

    fn taken(buckets: &mut Buckets, now: Instant, source: u64, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(buckets.take(now, source, RATE))).sum()
    }

    #[test]
    fn sixty_at_once_then_twenty_a_second() {
        let mut buckets = Buckets::new(8);
        assert_eq!(taken(&mut buckets, START, 7, 100), BURST);
        assert_eq!(taken(&mut buckets, START + Duration::from_secs(1), 7, 100), 20);
        assert_eq!(
            taken(&mut buckets, START + Duration::from_secs(1), 8, 100),
            BURST,
            "each its own"
        );
        assert_eq!(taken(&mut buckets, START + Duration::from_secs(60), 7, 100), BURST);
    }

    #[test]
    fn the_rate_is_the_operators() {
        let rate = SourceRate { per_second: 1_000, burst: 5 };
        let mut buckets = Buckets::new(8);
        let mut taken = |ms: u64| {
            let now = START + Duration::from_millis(ms);
            (0..100).map(|_| u32::from(buckets.take(now, 7, rate))).sum::<u32>()
        };
        assert_eq!([taken(0), taken(3), taken(1_000)], [5, 3, 5]);
    }

    #[test]
    fn what_is_refused_costs_more_and_never_for_ever() {
        let mut buckets = Buckets::new(8);
        assert!(buckets.take(START, 7, RATE));
        buckets.charge(START, 7, RATE, 20);
        assert_eq!(taken(&mut buckets, START, 7, 100), BURST - 21);
        for _ in 0..10_000 {
            buckets.charge(START, 7, RATE, 20);
        }
        assert_eq!(taken(&mut buckets, START + Duration::from_secs(59), 7, 100), 0);
        assert!(buckets.is_over(START, 7, RATE) && !buckets.is_over(START, 8, RATE));
        assert_eq!(taken(&mut buckets, START + Duration::from_secs(64), 7, 100), BURST);
    }

    #[test]
    fn the_table_is_bounded_and_evicts_the_quietest() {
        let mut buckets = Buckets::new(1);
        assert_eq!(taken(&mut buckets, START, 1, 100), BURST);
        for source in 2..1000 {
            assert!(buckets.take(START, source, RATE));
        }
        assert_eq!(buckets.places.len(), 4);
        assert!(
            !buckets.take(START, 1, RATE),
            "a thousand strangers do not give the loud one a new budget"
        );
    }

    #[test]
    fn one_ipv6_subscriber_is_one_source() {
        let hash = |ip: &str| source_hash(&seal(), ip.parse().unwrap());
        assert_eq!(hash("2001:db8:1:2::1"), hash("2001:db8:1:2:ffff::9"));
        assert_ne!(hash("2001:db8:1:2::1"), hash("2001:db8:1:3::1"));
        assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.1"));
        assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
    }

    #[test]
    fn verified_is_per_port_and_ages() {
        let flows = VerifiedFlows::new(seal(), 16);
        let phone = flow("192.0.2.1:5060");
        assert!(!flows.is_verified(START, &phone));
        flows.verify(START, &phone);
        assert!(flows.is_verified(START, &phone));
        assert!(!flows.is_verified(START, &flow("192.0.2.1:5061")));
        assert!(flows.is_verified(START + VERIFIED_FOR, &phone));
        assert!(!flows.is_verified(START + VERIFIED_FOR + Duration::from_secs(17), &phone));
    }

    #[test]
    fn a_stream_is_verified_by_its_handshake() {
        let flows = VerifiedFlows::new(seal(), 16);
        let (listener, connection) = (ListenerId(0), ConnectionId(1));
        let remote = "192.0.2.1:40000".parse().unwrap();
        let stream = Flow { transport: Transport::Tcp, listener, connection, remote };
        assert!(flows.is_verified(START, &stream));
        assert!(!flows.has_proven(START, &stream), "a handshake is no account");
        flows.verify(START, &stream);
        assert!(flows.has_proven(START, &stream));
        let datagrams = Flow::udp(listener, remote);
        assert!(!flows.is_verified(START, &datagrams), "its address on a datagram proves nothing");
    }

    #[test]
    fn verified_flows_are_bounded_and_the_oldest_goes() {
        let flows = VerifiedFlows::new(seal(), 1);
        for minute in 0..5 {
            let phone = flow(&format!("192.0.2.1:{}", 5060 + minute));
            flows.verify(START + Duration::from_secs(60 * minute), &phone);
        }
        let now = START + Duration::from_secs(300);
        let left: Vec<bool> = (5060..5065)
            .map(|port| flows.is_verified(now, &flow(&format!("192.0.2.1:{port}"))))
            .collect();
        assert_eq!(left, [false, true, true, true, true]);
    }
}
