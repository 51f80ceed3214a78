//! The load generator allocates when a run begins, not when a message is sent or read: what it measures is the server.

use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phone::load::{Control, Pace, Plan, Scenario, Users, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Answers 200 to every request by writing another first line, and allocates nothing.
fn serve(socket: &UdpSocket, over: &AtomicBool) {
    const OK: &[u8] = b"SIP/2.0 200 OK";
    let (mut request, mut answer) = ([0; 4_096], [0; 8_192]);
    while !over.load(Ordering::Relaxed) {
        let Ok((n, source)) = socket.recv_from(&mut request) else { continue };
        let line = request[..n].iter().position(|b| *b == b'\r').expect("a first line");
        let rest = &request[line..n];
        answer[..OK.len()].copy_from_slice(OK);
        answer[OK.len()..OK.len() + rest.len()].copy_from_slice(rest);
        socket.send_to(&answer[..OK.len() + rest.len()], source).expect("sent");
    }
}

fn plan(target: SocketAddr, scenario: Scenario, millis: u64) -> Plan {
    Plan {
        target,
        domain: "example.com".to_owned(),
        scenario,
        pace: Pace::Window(8),
        duration: Duration::from_millis(millis),
        warm_up: Duration::ZERO,
        users: Users::numbered("u", 10),
        secret: None,
        ring: Duration::ZERO,
        hold: Duration::ZERO,
        sound: false,
        sizes: (10, 500),
        expires: 60,
        bind: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        active_max: 100,
        keep_registered: true,
        server_pids: Vec::new(),
        limits: Vec::new(),
    }
}

#[test]
fn no_message_allocates() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let target = socket.local_addr().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    let server = std::thread::spawn(move || serve(&socket, &ended));
    for scenario in [Scenario::Options, Scenario::Register, Scenario::Message] {
        let measure = |millis| {
            let region = Region::new(ALLOCATOR);
            let report = run(&plan(target, scenario, millis), &Control::default(), |_| {});
            let units = report.expect("runs").tally.whole.ok;
            (units, region.change().allocations + region.change().reallocations)
        };
        let (few, to_begin) = measure(0);
        let (many, allocations) = measure(300);
        assert!(few == 0 && many > 0, "{scenario:?}: {few} and {many} units");
        // The timers' queues grow a few times; a message has no part in it.
        assert!(
            allocations < to_begin + 100,
            "{scenario:?}: {allocations} for {many} units, {to_begin} for none"
        );
    }
    over.store(true, Ordering::Relaxed);
    server.join().unwrap();
}
