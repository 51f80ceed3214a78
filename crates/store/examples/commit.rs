//! Measures what docs/adr/0004-durable-bindings.md quotes: commits per second by group size, and the time to load.
//! `cargo run --release -p store --example commit -- DIR [BINDINGS]`. It is a measurement, not a test.

use std::time::{Duration, Instant as Clock};

use sip_core::flow::{Flow, ListenerId, Transport};
use sip_core::output::{BindingRow, BindingWrite};
use sip_core::time::Instant;
use store::{Directory, Socket, Store, StoreError};

fn put(user: usize, cseq: u32) -> BindingWrite {
    let remote = std::net::SocketAddr::from(([198, 51, 100, 7], 5062));
    BindingWrite::Put(Box::new(BindingRow {
        aor: format!("user{user}@sip.example.com").into(),
        contact: format!("sip:user{user}@198.51.100.7:5062;ob").into(),
        call_id: format!("{user:032x}").into(),
        cseq,
        q: 1000,
        expires_at: Instant::from_secs(1_900_000_000 + u64::from(cseq)),
        modified_at: Instant::from_secs(1_800_000_000 + u64::from(cseq)),
        flow: Flow::udp(ListenerId(0), remote),
        user_agent: "measurement/1.0".into(),
        path: "".into(),
    }))
}

fn spread(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    (at(50), at(99), times.last().copied().unwrap_or_default())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "commit-measurement".into());
    let bindings = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let sockets =
        || vec![Socket { transport: Transport::Udp, address: ([192, 0, 2, 1], 5060).into() }];
    let mut store = Store::open(Some(Directory::lock(path.as_ref())?)).await?;
    store.set_sockets(sockets());

    let started = Clock::now();
    for first in (0..bindings).step_by(1_000) {
        let writes: Vec<_> = (first..bindings.min(first + 1_000)).map(|n| put(n, 0)).collect();
        store.write(&writes.iter().collect::<Vec<_>>()).await?;
        store.settle(writes.len()).await;
    }
    println!("filled with {bindings} in {:.2?}", started.elapsed());

    for group in [1, 8, 64, 512] {
        let (started, mut times, mut user) = (Clock::now(), Vec::new(), 0);
        while started.elapsed() < Duration::from_secs(3) {
            let writes: Vec<_> = (0..group)
                .map(|_| {
                    user = (user + 7_919) % bindings;
                    put(user, 1)
                })
                .collect();
            let begun = Clock::now();
            store.write(&writes.iter().collect::<Vec<_>>()).await?;
            times.push(begun.elapsed());
            store.settle(group).await;
        }
        let rows = times.len() * group;
        let rate = rows as f64 / started.elapsed().as_secs_f64();
        let (p50, p99, most) = spread(times);
        println!(
            "group {group:3}: {rate:8.0} rows/s, commit p50 {p50:.2?} p99 {p99:.2?} max {most:.2?}"
        );
    }
    store.close().await?;

    let mut store = Store::open(Some(Directory::lock(path.as_ref())?)).await?;
    store.set_sockets(sockets());
    let (started, mut loaded) = (Clock::now(), 0);
    store.bindings(|page| loaded += page.len()).await?;
    println!("loaded {loaded} in {:.2?}", started.elapsed());
    Ok(())
}
