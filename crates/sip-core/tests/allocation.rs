//! How often a call asks the allocator for memory, and what it leaves behind for 32 s. It is a budget: each allocation
//! is some 40 ns of a call, and one more is seldom noticed when it is made. One test, so that nothing else allocates meanwhile.

mod driver;

use driver::{Driver, STEPS};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 1_000;

/// Allocations and reallocations of one call: six messages in, seven out.
const BUDGET: f64 = 37.0;

/// Bytes that a finished call keeps, all its transactions and timers together.
const KEPT_MAX: i64 = 300;

#[test]
fn a_call_allocates_within_its_budget() {
    let memory = Region::new(ALLOCATOR);
    let mut driver = Driver::new();
    let mut counts = [0usize; STEPS.len()];
    for n in 0..2 * CALLS {
        let measured = n >= CALLS;
        driver.call(n, |step, run| {
            let region = Region::new(ALLOCATOR);
            run();
            let change = region.change();
            if measured {
                counts[step] += change.allocations + change.reallocations;
            }
        });
    }
    let each = counts.map(|count| count as f64 / CALLS as f64);
    let total: f64 = each.iter().sum();
    let lines: Vec<String> =
        STEPS.iter().zip(each).map(|(step, each)| format!("{step}: {each:.2}")).collect();
    assert!(total < BUDGET, "{total:.1} allocations a call, budget {BUDGET}: {}", lines.join(", "));

    // RFC 3261 §17.1.1.2, RFC 6026 §7: a finished call lingers for 64*T1, longer than all of these take.
    let before = region_kept(&memory);
    for n in 2 * CALLS..6 * CALLS {
        driver.call(n, |_, run| run());
    }
    let lingering = 4 * CALLS;
    assert!(driver.node.sizes().transactions as u64 >= 3 * lingering, "nothing lingers");
    let each = (region_kept(&memory) - before) / lingering as i64;
    assert!(each <= KEPT_MAX, "{each} bytes for each of {lingering} finished calls");
}

/// Below zero when the test's own harness has freed something meanwhile.
fn region_kept(region: &Region<'_, std::alloc::System>) -> i64 {
    let change = region.change();
    change.bytes_allocated as i64 - change.bytes_deallocated as i64
}
