//! The ring: who is pinged when, what a turn costs, and what an answer must be.

use super::*;
use crate::config::Config;
use crate::config::tests::config;
use crate::flow::ListenerId;
use crate::output::{BindingRow, Outbox};
use crate::shared::Shared;
use crate::time::Duration;

const START: Instant = Instant::from_secs(1_800_000_000);
const INTERVAL: Duration = Duration::from_secs(25);

fn row(n: u32) -> BindingRow {
    let [_, b, c, d] = n.to_be_bytes();
    BindingRow {
        aor: format!("u{n}@example.com").into(),
        contact: format!("sip:u{n}@10.{b}.{c}.{d}").into(),
        call_id: format!("call-{n}").into(),
        cseq: 1,
        q: 1000,
        expires_at: START + Duration::from_secs(3600),
        modified_at: START,
        flow: Flow::udp(ListenerId(0), ([198, 51, 100, 7], 1024 + (n % 60_000) as u16).into()),
        user_agent: "".into(),
        path: "".into(),
    }
}

/// Nodes that ping the phones of one table.
struct World {
    config: Config,
    shared: Shared,
    nodes: Vec<Keepalive>,
    out: Outbox,
    now: Instant,
}

impl World {
    fn new(nodes: usize, phones: u32) -> Self {
        let shared = Shared::new(Seal::new([1; 16]), START);
        for n in 0..phones {
            shared.location.load(START, Duration::from_secs(7200), [&row(n)]);
        }
        let mut world = Self {
            config: config(),
            shared,
            nodes: (0..nodes).map(|_| Keepalive::default()).collect(),
            out: Outbox::default(),
            now: START,
        };
        let found: Vec<Watched> = world.shared.location.to_watch(START).map(|(_, w)| w).collect();
        for (n, watched) in found.into_iter().enumerate() {
            world.with(n % nodes, |node, turn| node.watch(turn, watched));
        }
        world
    }

    fn with<T>(&mut self, node: usize, act: impl FnOnce(&mut Keepalive, &mut Turn<'_>) -> T) -> T {
        let Self { config, shared, nodes, out, now } = self;
        let mut turn = Turn { now: *now, config, shared, draining: false, out };
        act(&mut nodes[node], &mut turn)
    }

    /// Everything due until `span` has passed; the pings of each turn.
    fn pass(&mut self, span: Duration) -> Vec<(Instant, usize)> {
        let end = self.now + span;
        let mut turns = Vec::new();
        loop {
            let due =
                self.nodes.iter().enumerate().filter_map(|(i, n)| Some((n.next_deadline()?, i)));
            let Some((at, node)) = due.min().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            let before = self.out.transmits.len();
            self.with(node, |node, turn| node.tick(turn));
            turns.push((self.now, self.out.transmits.len() - before));
        }
        self.now = end;
        turns
    }

    fn pings(&mut self, span: Duration) -> usize {
        self.pass(span).iter().map(|(_, pings)| pings).sum()
    }
}

#[test]
fn once_in_an_interval_and_no_more() {
    let mut world = World::new(1, 10);
    assert_eq!(world.pings(INTERVAL), 10);
    assert_eq!(world.pings(INTERVAL), 10);
    let text = String::from_utf8(world.out.transmits[0].bytes.to_vec()).unwrap();
    assert!(text.starts_with("OPTIONS sip:u"), "{text}");
    assert!(sip_message::Message::parse(world.out.transmits[0].bytes.clone()).is_ok());
}

/// A hundred thousand phones on the nodes of one worker, and another hundred thousand: no tenth of a second has much more
/// than its share, nobody is left out, and what a turn looks at is what it sends.
#[test]
fn two_hundred_thousand_phones_are_spread_evenly() {
    const PHONES: u32 = 200_000;
    let mut world = World::new(16, PHONES);
    let mut in_second = [0_usize; 26];
    let turns = world.pass(INTERVAL);
    for (at, pings) in &turns {
        in_second[usize::try_from(at.since(START).as_secs()).unwrap()] += pings;
    }
    assert_eq!(in_second.iter().sum::<usize>(), 200_000);
    let share = 200_000 / 25;
    let most = in_second[..25].iter().max().unwrap();
    assert!(*most < share * 11 / 10, "{most} pings in a second, {share} would be even");
    assert!(turns.len() <= 16 * SLOTS, "{} turns", turns.len());
    let most = turns.iter().map(|(_, pings)| pings).max().unwrap();
    assert!(*most <= 98, "{most} pings in one turn of one node: the limit is 1,000 in a second");
    assert!(!world.out.events.iter().any(|e| matches!(e, Event::LimitHit { .. })));
    let mut remotes: Vec<&[u8]> = Vec::new();
    for sent in &world.out.transmits {
        remotes.push(sent.bytes.split(|b| *b == b' ').nth(1).unwrap());
    }
    remotes.sort_unstable();
    remotes.dedup();
    assert_eq!(remotes.len(), 200_000, "everybody once");
}

/// More than the limit allows: never more in a second, but everybody has his turn.
#[test]
fn too_many_are_pinged_by_turns() {
    let mut world = World::new(1, 60_000);
    let first = world.pings(INTERVAL);
    assert!(first <= 25_000, "{first}");
    assert!(world.out.events.iter().any(|e| matches!(e, Event::LimitHit { .. })));
    let rest: usize = (0..2).map(|_| world.pings(INTERVAL)).sum();
    assert!(first + rest >= 60_000, "{}", first + rest);
    let mut seen: Vec<&[u8]> =
        world.out.transmits.iter().map(|s| s.bytes.split(|b| *b == b' ').nth(1).unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 60_000);
}

#[test]
fn who_is_gone_is_forgotten_at_his_turn() {
    let mut world = World::new(1, 100);
    for n in 0..50 {
        world.shared.location.remove(&format!("u{n}@example.com"), None, false);
    }
    assert_eq!(world.pings(INTERVAL), 50);
    assert_eq!(world.nodes[0].len(), 50);
    // The others end by themselves.
    world.pass(Duration::from_secs(3600) + INTERVAL);
    assert!(world.nodes[0].is_empty());
    assert_eq!(world.nodes[0].next_deadline(), None, "nothing wakes us any more");
}

#[test]
fn known_ones_are_not_added_twice() {
    let mut world = World::new(1, 1);
    let watched = world.shared.location.to_watch(START).next().unwrap().1;
    world.with(0, |node, turn| {
        node.watch(turn, watched);
        node.watch(turn, watched);
    });
    assert_eq!((world.nodes[0].len(), world.pings(INTERVAL)), (1, 1));
}

#[test]
fn the_interval_changes_while_running() {
    let mut world = World::new(1, 100);
    world.pass(Duration::from_secs(3));
    world.config.nat.keepalive = Duration::from_secs(5);
    world.with(0, |node, turn| node.tick(turn));
    assert_eq!(world.pings(Duration::from_secs(50)), 1000);
    world.config.nat.keepalive = Duration::ZERO;
    world.with(0, |node, turn| node.tick(turn));
    assert_eq!(world.nodes[0].next_deadline(), None);
    assert_eq!(world.pings(Duration::from_secs(50)), 0);
}

/// A machine that slept does not make up for it in one go.
#[test]
fn after_a_long_sleep_there_is_no_burst() {
    let mut world = World::new(1, 100);
    world.pass(INTERVAL);
    let before = world.out.transmits.len();
    world.now = world.now + Duration::from_secs(1000);
    world.with(0, |node, turn| node.tick(turn));
    let burst = world.out.transmits.len() - before;
    assert!(burst <= 10, "{burst} of 100");
    assert_eq!(world.pings(INTERVAL), 100);
}

#[test]
fn a_branch_is_ours_or_nothing() {
    let seal = Seal::new([1; 16]);
    let watched = Watched::new(0x0123_4567_89ab_cdef, "sip:a@10.0.0.7", "c");
    let branch = Branch::new(&seal, watched, START).0;
    assert!(branch.iter().all(u8::is_ascii_alphanumeric));
    assert_eq!(Branch::read(&seal, &branch), Some((watched, START)));
    assert_eq!(Branch::read(&Seal::new([2; 16]), &branch), None);
    for at in 0..branch.len() {
        let mut forged = branch.to_vec();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        if at >= COOKIE.len() {
            assert_eq!(Branch::read(&seal, &forged), None, "at {at}");
        }
        assert_eq!(Branch::read(&seal, &branch[..at]), None);
    }
}
