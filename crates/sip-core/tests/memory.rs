//! What a binding costs, all included: issue goal 500 bytes, design goal 300. One test, so that nothing else
//! allocates meanwhile.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use sip_core::flow::{Flow, ListenerId};
use sip_core::output::BindingRow;
use sip_core::seal::Seal;
use sip_core::shared::Shared;
use sip_core::time::Instant;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const BINDINGS: u32 = 100_000;

#[test]
fn a_binding_costs_at_most_320_bytes_and_a_refresh_nothing() {
    let start = Instant::from_secs(1_800_000_000);
    let region = Region::new(ALLOCATOR);
    let shared = Shared::new(Seal::new([1; 16]), start);
    let empty = region.change();
    let idle = kept(&empty);
    assert!(idle < 3 << 20, "an empty server's tables: {idle} bytes");

    let hour = Duration::from_secs(3600);
    let fill = |shared: &Shared, natted| {
        let before = kept(&region.change());
        let load = |n: &u32| shared.location.load(start, hour, [&row(start, *n, natted)]) == 1;
        assert_eq!((0..BINDINGS).filter(load).count(), 100_000);
        (kept(&region.change()) - before) / BINDINGS as usize
    };
    let each = fill(&shared, false);
    assert!(each <= 320, "{each} bytes a binding");
    // What is known of the way to a phone behind a NAT comes to it.
    let each = fill(&Shared::new(Seal::new([2; 16]), start), true);
    assert!(each <= 352, "{each} bytes a binding behind a NAT");

    let before = region.change();
    shared.location.load(start + Duration::from_secs(9), hour, [&row(start, 7, false)]);
    let after = region.change();
    assert_eq!(kept(&before), kept(&after), "a refresh keeps nothing");
}

const fn kept(s: &stats_alloc::Stats) -> usize {
    s.bytes_allocated - s.bytes_deallocated
}

/// What ordinary phones write: 44 bytes of Contact, 36 of Call-ID, 22 of User-Agent.
fn row(start: Instant, n: u32, natted: bool) -> BindingRow {
    let remote = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + n).into(), 5060);
    let home = if natted { "192.168.200.100".into() } else { remote.ip().to_string() };
    BindingRow {
        aor: format!("user{n:06}@example.com").into(),
        contact: format!("sip:user{n:06}@{home}:5060;transport=udp").into(),
        call_id: format!("{n:08x}-4a5b-4c6d-8e7f-9a0b1c2d3e4f").into(),
        cseq: 1,
        q: 1000,
        expires_at: start + Duration::from_secs(600 + u64::from(n % 3000)),
        modified_at: start,
        flow: Flow::udp(ListenerId(0), remote),
        user_agent: "Grandstream GXP2170 1.0".into(),
        path: "".into(),
    }
}
