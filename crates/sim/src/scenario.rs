//! Runs a scenario: with one node and with four, checks what must always hold, compares the ladders with each other
//! and with the one on file.

use crate::check;
use crate::snapshot;
use crate::world::World;

/// Nodes of the second run.
const NODES: usize = 4;

/// Plays `scenario` under the name of its ladder file, `topic/what_happens`.
///
/// # Panics
/// When anything is wrong; the text has the ladder.
pub fn play(name: &str, scenario: impl Fn(&mut World)) {
    let alone = run(1, 1, &scenario);
    let wrong = check::all(&alone);
    let ladder = alone.ladder();
    assert!(wrong.is_empty(), "{name}:\n{ladder}\n{}", wrong.join("\n"));
    if let Err(why) = snapshot::compare(name, &ladder) {
        panic!("{why}");
    }
    same_with_more_nodes(name, &alone, &run(1, NODES, &scenario));
}

/// The same without a ladder on file, for scenarios with too many messages to read.
///
/// # Panics
/// When anything is wrong.
pub fn play_unseen(name: &str, seed: u64, scenario: impl Fn(&mut World)) -> World {
    let alone = run(seed, 1, &scenario);
    let wrong = check::all(&alone);
    assert!(wrong.is_empty(), "{name}, seed {seed}:\n{}\n{}", alone.ladder(), wrong.join("\n"));
    same_with_more_nodes(name, &alone, &run(seed, NODES, &scenario));
    alone
}

fn run(seed: u64, nodes: usize, scenario: impl Fn(&mut World)) -> World {
    let mut world = World::new(seed, nodes);
    scenario(&mut world);
    world.run();
    world
}

/// N nodes give the same ladder as one: who owns a call must not be seen from outside. Lines of one instant may
/// change places.
///
/// # Panics
/// When they differ.
pub fn same_with_more_nodes(name: &str, alone: &World, many: &World) {
    if let Some(difference) = difference(alone, many) {
        panic!("{name}: with {NODES} nodes the ladder is another one:\n{difference}");
    }
}

/// The lines that one ladder has and the other has not.
pub fn difference(alone: &World, many: &World) -> Option<String> {
    let lines = |world: &World| {
        let mut lines: Vec<String> = world.ladder().lines().map(strip_call_number).collect();
        lines.sort_unstable();
        lines
    };
    let (a, b) = (lines(alone), lines(many));
    if a == b {
        return None;
    }
    let only = |mark: &str, x: &[String], y: &[String]| -> Vec<String> {
        x.iter().filter(|l| !y.contains(l)).map(|l| format!("{mark} {l}")).collect()
    };
    let mut lines = only("one node: ", &a, &b);
    lines.extend(only("more nodes:", &b, &a));
    Some(lines.join("\n"))
}

/// Calls are numbered by appearance, which depends on the order inside one instant.
fn strip_call_number(line: &str) -> String {
    line.split("  call ").next().unwrap_or(line).to_owned()
}
