//! What forwarding without state costs the core: a request to one of ten members and its answer back, from bytes in to
//! bytes out, without sockets.
//!
//! `cargo bench -p sip-core --bench forward` prints nanoseconds; for instruction counts run the binary it names as
//! `valgrind --tool=callgrind --toggle-collect='*Forwarder*handle*' BINARY 5000`.

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

const NOW: Instant = Instant::from_secs(1_800_000_000);
const CALLER: &str = "198.51.100.7:5060";

fn config() -> Config {
    let address = "192.0.2.1:5060".parse().expect("an address");
    let advertised = "192.0.2.1:5060".into();
    let trusted = vec![Network { address: [198, 51, 100, 0].into(), prefix: 24 }];
    Config {
        listeners: vec![Listener { transport: Transport::Udp, address, advertised }],
        domains: Domains { served: vec!["192.0.2.1".into()], aliases: vec![] },
        registrar: Registrar::default(),
        auth: Auth::default(),
        limits: Limits { trusted, ..Limits::default() },
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

fn options(n: u64) -> Bytes {
    let text = format!(
        "OPTIONS sip:bench.invalid SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bKo{n:016x}\r\n\
         From: <sip:u0000001@bench.invalid>;tag={n:016x}\r\nTo: <sip:bench.invalid>\r\nCall-ID: {n:016x}@198.51.100.7\r\n\
         CSeq: 1 OPTIONS\r\nContact: <sip:u0000001@{CALLER}>\r\nAccept: application/sdp\r\nMax-Forwards: 70\r\n\
         User-Agent: ringway-load\r\nContent-Length: 0\r\n\r\n"
    );
    text.into()
}

#[expect(clippy::disallowed_macros, reason = "a benchmark prints")]
fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let count: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let seal = Seal::new([7; 16]);
    let (config, shared) = (config(), Shared::new(seal.clone(), NOW));
    let member = |n: u8| {
        let flow = Flow::udp(ListenerId(0), ([203, 0, 113, n], 5060).into());
        Member::new(&format!("core-{n}"), 1, Hop::new(flow, false))
    };
    let set = HashedSet::new((1..=10).map(member).collect());
    let mut forwarder = Forwarder::new(Arc::new(Settings::new(set, false)), seal);
    let mut out = Outbox::default();
    let caller = Flow::udp(ListenerId(0), CALLER.parse().expect("an address"));
    #[expect(clippy::disallowed_methods, reason = "a benchmark is the one to have a clock")]
    let clock = std::time::Instant::now;
    let mut spent = [0u128; 2];
    for n in 0..count {
        let mut handle = |flow: &Flow, bytes: Bytes, spent: &mut u128| {
            let begun = clock();
            let mut turn =
                Turn { now: NOW, config: &config, shared: &shared, draining: false, out: &mut out };
            forwarder.handle(&mut turn, flow, bytes);
            *spent += begun.elapsed().as_nanos();
            out.transmits.pop().expect("it is forwarded")
        };
        let request = handle(&caller, options(n), &mut spent[0]);
        let rest = request.bytes.iter().position(|b| *b == b'\n').map_or(0, |end| end + 1);
        let answer = [b"SIP/2.0 200 OK\r\n", &request.bytes[rest..]].concat();
        let back = handle(&request.flow, answer.into(), &mut spent[1]);
        assert_eq!(back.flow.remote, caller.remote);
    }
    println!("request  {:6} ns", spent[0] / u128::from(count));
    println!("response {:6} ns", spent[1] / u128::from(count));
}
