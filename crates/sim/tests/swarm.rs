//! Five hundred random worlds, the same every time. A failure names its seed: `cargo xtask sim SEED` replays it.

use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 500;

/// The seeds are cut into parts so that all cores help.
fn part(first: u64, step: u64) {
    static FAILED: AtomicU64 = AtomicU64::new(0);
    for seed in (first..SEEDS).step_by(usize::try_from(step).expect("small")) {
        let outcome = sim::swarm::run(seed);
        if !outcome.wrong.is_empty() {
            // The first few say enough.
            let failed = FAILED.fetch_add(1, Ordering::Relaxed);
            assert!(failed < 3, "more than three worlds went wrong; the others said why");
            panic!("{}", outcome.report(outcome.world.trace.wires.len() < 200));
        }
    }
}

#[test]
fn swarm_a() {
    part(0, 4);
}

#[test]
fn swarm_b() {
    part(1, 4);
}

#[test]
fn swarm_c() {
    part(2, 4);
}

#[test]
fn swarm_d() {
    part(3, 4);
}

/// The same seed is the same world, to the last byte.
#[test]
fn a_seed_is_a_world() {
    let (one, two) = (sim::swarm::run(7).world, sim::swarm::run(7).world);
    let bytes = |w: &sim::World| {
        w.trace.wires.iter().map(|w| (w.sent, w.bytes.clone())).collect::<Vec<_>>()
    };
    assert_eq!(bytes(&one), bytes(&two));
}
