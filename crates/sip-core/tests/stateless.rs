//! A stateless proxy keeps nothing of what went through it (RFC 3261 §16.11): after a hundred thousand messages it holds not one
//! byte more than after the first, and each costs only the memory it came and left in.

use std::alloc::System;
use std::sync::Arc;

use bytes::Bytes;
use sip_core::config::{Auth, Config, Domains, Limits, Listener, Network, Registrar, Timers};
use sip_core::dispatcher::hash::{HashedSet, Member};
use sip_core::flow::{Flow, ListenerId, Transport};
use sip_core::output::Outbox;
use sip_core::seal::Seal;
use sip_core::shared::Shared;
use sip_core::stateless::{Forwarder, Hop, Settings};
use sip_core::time::Instant;
use sip_core::turn::Turn;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Instant = Instant::from_secs(1_800_000_000);

fn config() -> Config {
    let address = "192.0.2.1:5060".parse().expect("an address");
    Config {
        listeners: vec![Listener {
            transport: Transport::Udp,
            address,
            advertised: "192.0.2.1:5060".into(),
        }],
        domains: Domains { served: vec!["192.0.2.1".into()], aliases: vec![] },
        registrar: Registrar::default(),
        auth: Auth::default(),
        limits: Limits {
            trusted: vec![Network { address: [198, 51, 100, 0].into(), prefix: 24 }],
            ..Limits::default()
        },
        forking: sip_core::config::Forking::default(),
        dns: sip_core::config::Dns::default(),
        nat: sip_core::config::Nat::default(),
        redirect_domains: Vec::new(),
        allow_inbound: false,
        allow_outbound: false,
        durable: false,
        timers: Timers::default(),
        dispatcher: Arc::default(),
    }
}

fn invite(n: u32) -> Bytes {
    let text = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK{n};rport\r\n\
         From: <sip:a@example.com>;tag={n}\r\nTo: <sip:bob@example.com>\r\nCall-ID: call-{n}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@198.51.100.7:5060>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    text.into()
}

#[test]
fn nothing_is_kept() {
    let seal = Seal::new([7; 16]);
    let (config, shared) = (config(), Shared::new(seal.clone(), NOW));
    let member = |n: u8| {
        let flow = Flow::udp(ListenerId(0), ([203, 0, 113, n], 5060).into());
        Member::new(&format!("core-{n}"), 1, Hop::new(flow, false))
    };
    let set = HashedSet::new((1..=10).map(member).collect());
    let mut forwarder = Forwarder::new(Arc::new(Settings::new(set, false)), seal);
    let mut out = Outbox::default();
    let flow = Flow::udp(ListenerId(0), "198.51.100.7:5060".parse().expect("an address"));
    let mut one = |n: u32| {
        let mut turn =
            Turn { now: NOW, config: &config, shared: &shared, draining: false, out: &mut out };
        forwarder.handle(&mut turn, &flow, invite(n));
        assert_eq!(out.transmits.len(), 1);
        out.clear();
    };
    (0..100).for_each(&mut one);
    let region = Region::new(ALLOCATOR);
    (100..100_100).for_each(&mut one);
    let change = region.change();
    // Less than a byte each; the harness of the test has memory of its own.
    let kept = change.bytes_allocated.abs_diff(change.bytes_deallocated);
    assert!(kept < 64 * 1024, "{change:?}");
    // The message as it came, what is written on its Via, and the message as it leaves; a large one once more.
    assert!(change.allocations <= 6 * 100_000, "{change:?}");
}
