//! What a call costs the core: INVITE, 180, 200, ACK, BYE, 200 through one node, from bytes in to bytes out, without
//! sockets.
//!
//! `cargo bench -p sip-core --bench call` prints nanoseconds; for instruction counts run the binary it names as
//! `valgrind --tool=callgrind --toggle-collect='*Node*handle*' BINARY 5000`.

#[path = "../tests/driver/mod.rs"]
mod driver;

use driver::{Driver, STEPS};

#[expect(clippy::disallowed_macros, reason = "a benchmark prints")]
fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let calls: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let mut driver = Driver::new();
    let mut spent = [0u128; STEPS.len()];
    #[expect(clippy::disallowed_methods, reason = "a benchmark is the one to have a clock")]
    let clock = std::time::Instant::now;
    for n in 0..calls {
        driver.call(n, |step, run| {
            let begun = clock();
            run();
            spent[step] += begun.elapsed().as_nanos();
        });
    }
    for (step, spent) in STEPS.iter().zip(spent) {
        println!("{step:8} {:6} ns", spent / u128::from(calls));
    }
    println!("call     {:6} ns", spent.iter().sum::<u128>() / u128::from(calls));
    println!("{:?}", driver.node.sizes());
}
