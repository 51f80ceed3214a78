//! What the nodes share on purpose, and nothing else: bindings, accounts, used nonces, source budgets, bans, how busy
//! the workers are, next hops, and the key. With `shared/hop.rs` the only file of the core with locks. The tables themselves
//! are plain types in files of their own; here they are
//! cut into stripes, each behind a lock that is held for one look-up or one change and never across anything else.
#![expect(clippy::disallowed_types, reason = "the shared tables are locked here and nowhere else")]

mod alias;
mod gateway;
mod hop;

use core::hash::BuildHasher as _;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::auth::account::{Account, Accounts, Ha1};
use crate::auth::nonce::{Answered, Ledger, Mint, Nonce, Use};
use crate::ban::{self, Bans, Failures};
use crate::config::{self, Limits, Network};
use crate::flow::Flow;
use crate::forwarding::Forwards;
use crate::nat::keepalive::{Due, Watched};
use crate::output::{BindingRow, Event};
use crate::registrar::binding::Binding;
use crate::registrar::location::{Bindings, Counts, Listed, Location};
use crate::registrar::record::{Changed, Refusal, Undo, Update};
use crate::seal::{Purpose, Seal};
use crate::source::{Admission, Buckets, VerifiedFlows, source_hash};
use crate::time::{Duration, Instant};
pub use hop::SharedHops;

pub use alias::SharedAliases;
pub use gateway::{Note, SharedGateways};

/// Stripes of each table: enough that two workers seldom meet, few enough that an empty server stays small.
const STRIPES: usize = 256;

/// Bindings in all stripes together. At 300 bytes each this is 1.2 GB; more than that is another machine's work.
const BINDINGS_MAX: usize = 4_000_000;

/// Used nonces in all stripes together, 64 bytes each.
const NONCES_MAX: usize = 1 << 18;

/// Unverified sources with a bucket, 16 bytes each, and verified flows, 8 bytes each.
const SOURCES_MAX: usize = 1 << 16;
const FLOWS_MAX: usize = 1 << 18;

#[derive(Debug)]
pub struct Shared {
    pub seal: Seal,
    /// For Via branches: they name places in memory, so those of an earlier run must not be believed.
    pub branch_seal: Seal,
    pub location: SharedLocation,
    pub accounts: SharedAccounts,
    pub nonces: SharedNonces,
    pub sources: Sources,
    pub hops: SharedHops,
    pub bans: SharedBans,
    pub overload: Overload,
    pub aliases: SharedAliases,
    pub gateways: SharedGateways,
    pub refusals: Refusals,
}

impl Shared {
    /// `now` is the start of the process: nonces of earlier runs are not believed, because nobody remembers which of
    /// them were used.
    pub fn new(seal: Seal, now: Instant) -> Self {
        Self {
            location: SharedLocation::new(&seal),
            accounts: SharedAccounts::new(&seal),
            nonces: SharedNonces::new(&seal, now),
            sources: Sources::new(&seal),
            hops: SharedHops::new(&seal),
            bans: SharedBans::new(&seal),
            overload: Overload::default(),
            aliases: SharedAliases::default(),
            gateways: SharedGateways::default(),
            refusals: Refusals::default(),
            branch_seal: seal.derive(Purpose::Branch, &now.0.to_be_bytes()),
            seal,
        }
    }
}

/// The stripe of a hash. The tables use the low and the highest bits themselves.
fn stripe<T>(stripes: &[T], hash: u64) -> &T {
    let index = (hash >> 40) as usize % STRIPES;
    // `stripes` has STRIPES elements: it is built here and nowhere else.
    &stripes[index]
}

/// [`Location`], shared.
#[derive(Debug)]
pub struct SharedLocation {
    seal: Seal,
    stripes: Box<[RwLock<Location>]>,
}

impl SharedLocation {
    fn new(seal: &Seal) -> Self {
        let one = |_| RwLock::new(Location::new(seal.clone(), BINDINGS_MAX / STRIPES));
        Self { seal: seal.clone(), stripes: (0..STRIPES).map(one).collect() }
    }

    fn place(&self, aor: &str) -> (u64, &RwLock<Location>) {
        let hash = Location::hash(&self.seal, aor);
        (hash, stripe(&self.stripes, hash))
    }

    /// The live bindings of `aor`; `None` if there are none.
    pub fn lookup(&self, now: Instant, aor: &str) -> Option<Bindings> {
        let (hash, stripe) = self.place(aor);
        stripe.read().lookup(now, hash, aor)
    }

    /// One REGISTER, all or nothing. `read` sees the bindings as they then are (filter by [`Binding::is_live`]).
    pub fn update<T>(
        &self,
        now: Instant,
        aor: &str,
        update: &Update<'_>,
        same: impl Fn(&str, &str) -> bool,
        read: impl FnOnce(&[Binding]) -> T,
    ) -> Result<(Changed, T), Refusal> {
        let (hash, stripe) = self.place(aor);
        stripe.write().update(now, hash, aor, update, same, read)
    }

    /// Takes back an update whose rows the store refused.
    pub fn undo(&self, now: Instant, aor: &str, undo: Undo) {
        let (hash, stripe) = self.place(aor);
        stripe.write().undo(now, hash, aor, undo);
    }

    /// Rows of the store, at start. Returns how many are still alive and were taken.
    pub fn load<'a>(
        &self,
        now: Instant,
        expires_max: Duration,
        rows: impl IntoIterator<Item = &'a BindingRow>,
    ) -> usize {
        let taken = rows.into_iter().filter(|row| {
            let (hash, stripe) = self.place(&row.aor);
            stripe.write().load(now, hash, row, expires_max)
        });
        taken.count()
    }

    /// The operator's hand: one Contact, or all of them.
    pub fn remove(&self, aor: &str, contact: Option<&str>, durable: bool) -> Changed {
        let (hash, stripe) = self.place(aor);
        stripe.write().remove(hash, aor, contact, durable)
    }

    /// Removes what has expired; to be called about once a second. At most `records_max` users per stripe and call, so
    /// that a million bindings ending together do not stop calls; what is left over expires the next time and is not
    /// returned by [`lookup`](Self::lookup) meanwhile.
    pub fn expire(&self, now: Instant, records_max: usize, durable: bool) -> Changed {
        let mut changed = Changed::default();
        for stripe in &self.stripes {
            // Look before locking for writing: almost always there is nothing to do.
            if stripe.read().next_expiry().is_some_and(|at| at <= now) {
                stripe.write().expire(now, records_max, durable, &mut changed);
            }
        }
        changed
    }

    pub fn counts(&self) -> Counts {
        let counts = self.stripes.iter().map(|stripe| stripe.read().counts());
        counts.fold(Counts::default(), |sum, one| Counts {
            aors: sum.aors + one.aors,
            bindings: sum.bindings + one.bindings,
        })
    }

    /// What a keep-alive remembers of a user by.
    pub fn hash(&self, aor: &str) -> u64 {
        Location::hash(&self.seal, aor)
    }

    /// A phone behind a NAT is about to be pinged. `None`: no longer.
    pub fn ping(&self, now: Instant, watched: Watched) -> Option<Due> {
        stripe(&self.stripes, watched.user).write().ping(now, watched)
    }

    /// It has answered a ping sent at `sent_at`: what is told of it. `None`: it is gone meanwhile.
    pub fn answered(
        &self,
        now: Instant,
        watched: Watched,
        sent_at: Instant,
    ) -> Option<Option<Event>> {
        stripe(&self.stripes, watched.user).write().answered(now, watched, sent_at)
    }

    /// Bindings to be pinged, each with the Call-ID of its REGISTER.
    pub fn to_watch(&self, now: Instant) -> impl Iterator<Item = (Box<str>, Watched)> {
        self.stripes.iter().flat_map(move |stripe| stripe.read().to_watch(now))
    }

    /// [`pages`](Self::pages) with what is known of the ways to phones behind NATs.
    pub fn list(&self, now: Instant) -> impl Iterator<Item = Vec<Listed>> {
        self.stripes.iter().map(move |stripe| stripe.read().list(now))
    }

    /// All live bindings, a page (one stripe) at a time; no lock is held between pages.
    pub fn pages(&self, now: Instant) -> impl Iterator<Item = Vec<BindingRow>> {
        self.stripes.iter().map(move |stripe| stripe.read().rows(now))
    }
}

/// [`Accounts`], shared.
#[derive(Debug)]
pub struct SharedAccounts {
    seal: Seal,
    stripes: Box<[RwLock<Accounts>]>,
    /// Accounts that forward. Where there are none, no call has to look.
    forwarding: AtomicUsize,
}

impl SharedAccounts {
    fn new(seal: &Seal) -> Self {
        let one = |_| RwLock::new(Accounts::new(seal.clone()));
        let stripes = (0..STRIPES).map(one).collect();
        Self { seal: seal.clone(), stripes, forwarding: AtomicUsize::new(0) }
    }

    fn place(&self, aor: &[u8]) -> (u64, &RwLock<Accounts>) {
        let hash = Accounts::hash(&self.seal, aor);
        (hash, stripe(&self.stripes, hash))
    }

    /// The account of this name, and a keyed hash of the name whether there is one or not.
    pub fn find(&self, aor: &[u8]) -> (u64, Option<Account>) {
        let (hash, stripe) = self.place(aor);
        (hash, stripe.read().get(hash, aor).cloned())
    }

    pub fn contains(&self, aor: &str) -> bool {
        let (hash, stripe) = self.place(aor.as_bytes());
        stripe.read().get(hash, aor.as_bytes()).is_some()
    }

    /// Adds an account or changes its secret; false for a name no account can have.
    pub fn set(&self, aor: &str, ha1: Ha1) -> bool {
        let (hash, stripe) = self.place(aor.as_bytes());
        stripe.write().set(hash, aor, ha1)
    }

    /// False if there was no such account.
    pub fn remove(&self, aor: &str) -> bool {
        let (hash, stripe) = self.place(aor.as_bytes());
        let removed = stripe.write().remove(hash, aor);
        if removed.as_ref().is_some_and(|account| account.forwards.is_some()) {
            self.forwarding.fetch_sub(1, Relaxed);
        }
        removed.is_some()
    }

    /// Where calls to this account go instead, if it has a wish.
    pub fn forwards(&self, aor: &str) -> Option<Arc<Forwards>> {
        if self.forwarding.load(Relaxed) == 0 {
            return None;
        }
        let (hash, stripe) = self.place(aor.as_bytes());
        stripe.read().get(hash, aor.as_bytes())?.forwards.clone()
    }

    /// False if there was no such account.
    pub fn set_forwards(&self, aor: &str, forwards: Forwards) -> bool {
        let forwards = Some(Arc::new(forwards)).filter(|forwards| !forwards.is_empty());
        let (is, (hash, stripe)) = (forwards.is_some(), self.place(aor.as_bytes()));
        let Some(before) = stripe.write().set_forwards(hash, aor, forwards) else { return false };
        match (before.is_some(), is) {
            (false, true) => drop(self.forwarding.fetch_add(1, Relaxed)),
            (true, false) => drop(self.forwarding.fetch_sub(1, Relaxed)),
            _ => {}
        }
        true
    }

    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.read().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// [`Mint`] and [`Ledger`], shared.
#[derive(Debug)]
pub struct SharedNonces {
    pub mint: Mint,
    fingerprints: FixedState,
    stripes: Box<[Mutex<Ledger>]>,
}

impl SharedNonces {
    fn new(seal: &Seal, now: Instant) -> Self {
        let one = |_| Mutex::new(Ledger::new(NONCES_MAX / STRIPES));
        let seed = seal.mac(Purpose::Nonce, &[b"fingerprints", &now.0.to_be_bytes()]);
        Self {
            mint: Mint::new(seal.clone(), now),
            fingerprints: FixedState::with_seed(seed),
            stripes: (0..STRIPES).map(one).collect(),
        }
    }

    /// Names one request from one source by all its bytes: a retransmission has the same, and anything else that
    /// carries the same credentials has not. Keyed, but no MAC: it is never shown to anybody.
    pub fn fingerprint(&self, source: &SocketAddr, message: &[u8]) -> u64 {
        self.fingerprints.hash_one((source, message))
    }

    /// A right answer has come in: may it pass?
    pub fn redeem(
        &self,
        now: Instant,
        lifetime: Duration,
        nonce: Nonce,
        answered: Answered,
    ) -> Use {
        stripe(&self.stripes, nonce.key()).lock().redeem(now, lifetime, nonce, answered)
    }

    /// Nonces remembered now.
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Budgets of unverified sources, and who is verified.
#[derive(Debug)]
pub struct Sources {
    seal: Seal,
    verified: VerifiedFlows,
    stripes: Box<[Mutex<Buckets>]>,
    /// When somebody was last over his budget.
    over_at: AtomicU64,
}

impl Sources {
    fn new(seal: &Seal) -> Self {
        let one = |_| Mutex::new(Buckets::new(SOURCES_MAX / STRIPES / 4));
        Self {
            seal: seal.clone(),
            verified: VerifiedFlows::new(seal.clone(), FLOWS_MAX / 4),
            stripes: (0..STRIPES).map(one).collect(),
            over_at: AtomicU64::new(0),
        }
    }

    /// Whether anybody was over his budget in the last second.
    pub fn are_flooding(&self, now: Instant) -> bool {
        now.since(Instant(self.over_at.load(Ordering::Relaxed))) < Duration::from_secs(1)
    }

    /// Whether one more request from this flow would be too much; takes nothing.
    pub fn is_over(&self, now: Instant, flow: &Flow, limits: &Limits) -> bool {
        let ip = flow.remote.ip();
        if limits.trusts(ip) || self.verified.is_verified(now, flow) {
            return false;
        }
        let source = source_hash(&self.seal, ip);
        let is_over = stripe(&self.stripes, source).lock().is_over(now, source, limits.per_source);
        if is_over {
            self.over_at.store(now.0, Ordering::Relaxed);
        }
        is_over
    }

    /// May a request from this flow in?
    pub fn admit(&self, now: Instant, flow: &Flow, limits: &Limits) -> Admission {
        let ip = flow.remote.ip();
        if limits.trusts(ip) || self.verified.is_verified(now, flow) {
            return Admission::Verified;
        }
        let source = source_hash(&self.seal, ip);
        if stripe(&self.stripes, source).lock().take(now, source, limits.per_source) {
            Admission::Within
        } else {
            self.over_at.store(now.0, Ordering::Relaxed);
            Admission::Over
        }
    }

    /// A request from this flow was not worth an answer: its source has less left.
    pub fn charge(&self, now: Instant, flow: &Flow, limits: &Limits, tokens: u32) {
        let ip = flow.remote.ip();
        if !limits.trusts(ip) && !self.verified.is_verified(now, flow) {
            let source = source_hash(&self.seal, ip);
            stripe(&self.stripes, source).lock().charge(now, source, limits.per_source, tokens);
        }
    }

    /// The flow has proven that it receives what we send: a digest with our nonce, a sealed route.
    pub fn verify(&self, now: Instant, flow: &Flow) {
        self.verified.verify(now, flow);
    }

    pub fn is_verified(&self, now: Instant, flow: &Flow) -> bool {
        self.verified.is_verified(now, flow)
    }

    /// Not only verified by its TCP handshake: by a digest or a sealed route.
    pub fn has_proven(&self, now: Instant, flow: &Flow) -> bool {
        self.verified.has_proven(now, flow)
    }
}

/// Who is kept out, and who is on the way there. Looked at for every message, so nobody being banned costs one load.
#[derive(Debug)]
pub struct SharedBans {
    seal: Seal,
    count: AtomicUsize,
    bans: RwLock<Bans>,
    failures: Mutex<Failures>,
}

impl SharedBans {
    fn new(seal: &Seal) -> Self {
        Self {
            seal: seal.clone(),
            count: AtomicUsize::new(0),
            bans: RwLock::default(),
            failures: Mutex::default(),
        }
    }

    pub fn find(&self, now: Instant, ip: IpAddr) -> Option<ban::Reason> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.bans.read().find(now, ip)
    }

    /// Gives what had to make room.
    pub fn add(&self, row: &ban::Row) -> Result<Option<Network>, ban::NoRoom> {
        self.change(|bans| bans.add(row))
    }

    pub fn remove(&self, network: &Network) -> bool {
        self.change(|bans| bans.remove(network))
    }

    pub fn expire(&self, now: Instant) -> Vec<Network> {
        self.change(|bans| bans.expire(now))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Bans) -> T) -> T {
        let mut bans = self.bans.write();
        let changed = change(&mut bans);
        self.count.store(bans.len(), Ordering::Relaxed);
        changed
    }

    pub fn rows(&self) -> Vec<ban::Row> {
        self.bans.read().rows()
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A wrong password from an address that has proven to be there. The ban it earns, if it was one too many.
    pub fn failed(&self, now: Instant, ip: IpAddr, config: &config::Ban) -> Option<ban::Row> {
        if config.after == 0 || config.never.iter().any(|network| network.contains(ip)) {
            return None;
        }
        let too_many = self.failures.lock().note(now, source_hash(&self.seal, ip), config);
        let network = ban::source_of(ip);
        let until = now + config.lasts;
        let row = ban::Row { network, until, reason: ban::Reason::Guessing };
        // A single source always finds room.
        (too_many && self.add(&row).is_ok()).then_some(row)
    }
}

/// The share of new work that is refused: what the slowest worker says. Of [`overload::ALL`].
#[derive(Debug)]
pub struct Overload {
    workers: Box<[AtomicU32]>,
    share: AtomicU32,
}

/// As many workers as there can be.
const WORKERS_MAX: usize = 256;

impl Default for Overload {
    fn default() -> Self {
        let workers = (0..WORKERS_MAX).map(|_| AtomicU32::new(0)).collect();
        Self { workers, share: AtomicU32::new(0) }
    }
}

impl Overload {
    pub fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    /// What one worker's regulator says now.
    pub fn publish(&self, worker: usize, share: u32) {
        let Some(place) = self.workers.get(worker) else { return };
        if place.swap(share, Ordering::Relaxed) != share {
            let worst = self.workers.iter().map(|share| share.load(Ordering::Relaxed)).max();
            self.share.store(worst.unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// Peers that accepted no connection lately: a request that is too large for a datagram goes to them as one at once.
#[derive(Debug, Default)]
pub struct Refusals {
    until: Mutex<HashMap<SocketAddr, Instant>>,
}

/// How many, and for how long.
const REFUSALS_MAX: usize = 4_096;
const REFUSED_FOR: Duration = Duration::from_secs(600);

impl Refusals {
    pub fn note(&self, now: Instant, remote: SocketAddr) {
        let mut until = self.until.lock();
        if until.len() >= REFUSALS_MAX {
            until.retain(|_, until| *until > now);
        }
        if until.len() < REFUSALS_MAX {
            until.insert(remote, now + REFUSED_FOR);
        }
    }

    pub fn is_known(&self, now: Instant, remote: SocketAddr) -> bool {
        self.until.lock().get(&remote).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::ListenerId;

    const START: Instant = Instant::from_secs(1_800_000_000);

    fn shared() -> Shared {
        Shared::new(Seal::new([1; 16]), START)
    }

    fn row(n: u64) -> BindingRow {
        BindingRow {
            aor: format!("u{n}@example.com").into(),
            contact: "sip:a@192.0.2.7".into(),
            call_id: "c".into(),
            cseq: 1,
            q: 1000,
            expires_at: START + Duration::from_secs(60 + n),
            modified_at: START,
            flow: Flow::udp(ListenerId(0), "192.0.2.7:5060".parse().unwrap()),
            user_agent: "".into(),
            path: "".into(),
        }
    }

    #[test]
    fn rows_come_back_page_by_page() {
        let shared = shared();
        let rows: Vec<BindingRow> = (0..1000).map(row).collect();
        assert_eq!(shared.location.load(START, Duration::from_secs(7200), &rows), 1000);
        assert_eq!(shared.location.counts(), Counts { aors: 1000, bindings: 1000 });
        let mut listed: Vec<BindingRow> = shared.location.pages(START).flatten().collect();
        listed.sort_by_key(|row| row.expires_at);
        assert_eq!(listed, rows);
        assert!(shared.location.pages(START).all(|page| page.len() < 50), "no page is everything");
    }

    #[test]
    fn the_sweep_visits_every_stripe() {
        let shared = shared();
        let rows: Vec<BindingRow> = (0..1000).map(row).collect();
        shared.location.load(START, Duration::from_secs(7200), &rows);
        let half = START + Duration::from_secs(60 + 499);
        assert_eq!(shared.location.expire(half, 100, true).writes.len(), 500);
        assert_eq!(shared.location.counts().bindings, 500);
        assert!(shared.location.lookup(half, "u999@example.com").is_some());
    }

    #[test]
    fn unverified_trusted_verified() {
        let shared = shared();
        let flow = Flow::udp(ListenerId(0), "198.51.100.7:5060".parse().unwrap());
        let admit = |flow: &Flow, trusted: &[Network]| {
            let limits = Limits { trusted: trusted.into(), ..Limits::default() };
            shared.sources.admit(START, flow, &limits)
        };
        for _ in 0..Limits::default().per_source.burst {
            assert_eq!(admit(&flow, &[]), Admission::Within);
        }
        assert_eq!(admit(&flow, &[]), Admission::Over);
        let neighbour = Flow::udp(ListenerId(0), "198.51.100.7:5062".parse().unwrap());
        assert_eq!(admit(&neighbour, &[]), Admission::Over, "the budget is the address's");
        let network = Network { address: [198, 51, 100, 0].into(), prefix: 24 };
        assert_eq!(admit(&flow, &[network]), Admission::Verified);
        shared.sources.verify(START, &flow);
        assert_eq!(admit(&flow, &[]), Admission::Verified);
        assert_eq!(admit(&neighbour, &[]), Admission::Over, "the proof is the port's");
    }

    #[test]
    fn accounts_come_and_go() {
        let shared = shared();
        assert!(shared.accounts.set("a@example.com", Ha1::from_password("a", "example.com", "x")));
        assert!(
            shared.accounts.contains("a@example.com") && !shared.accounts.contains("b@example.com")
        );
        assert_eq!(
            shared.accounts.find(b"a@example.com").1.map(|a| a.aor.to_string()).as_deref(),
            Some("a@example.com")
        );
        let carol =
            Forwards { always: Some("sip:carol@example.com".into()), ..Forwards::default() };
        let accounts = &shared.accounts;
        assert!(!accounts.set_forwards("b@example.com", carol.clone()));
        assert!(accounts.set_forwards("a@example.com", carol.clone()));
        assert_eq!(accounts.forwards("a@example.com").as_deref(), Some(&carol));
        assert!(accounts.set_forwards("a@example.com", Forwards::default()));
        assert_eq!(accounts.forwards("a@example.com"), None);
        assert!(accounts.set_forwards("a@example.com", carol));
        assert!(accounts.remove("a@example.com") && accounts.is_empty());
        assert_eq!(accounts.forwarding.load(Relaxed), 0);
    }
}
