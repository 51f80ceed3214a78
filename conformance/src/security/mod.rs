//! The named tests of attacks and faults. Names and pass marks are fixed; a test that cannot run fails.

mod advisory;
mod clock;
mod crash;
mod drain;
mod exposure;
mod flood;
mod identity;
mod leak;
mod loss;
mod mtu;
mod name;
mod nat;
mod network;
mod overload;
mod pressure;
mod relay;
mod reload;
mod replay;
mod slow;

use anyhow::Result;

use crate::case::{Case, Group};
use crate::world::World;

type Run = fn(&mut World) -> Result<String>;

pub fn cases() -> Vec<Case> {
    let mut all = crashes();
    all.extend(name::cases());
    all.extend(networks());
    all.extend(attacks());
    all
}

const fn case(name: &'static str, about: &'static str, run: Run) -> Case {
    Case::new(name, Group::Security, about, run)
}

const fn ours(name: &'static str, about: &'static str, run: Run) -> Case {
    case(name, about, run).ringway_only()
}

/// Crashes, restarts, clocks, and too little of everything.
fn crashes() -> Vec<Case> {
    vec![
        ours(
            "kill9_register",
            "R-1: kill -9 while users register, 20 times: 0 acknowledged lost",
            crash::kill9_register,
        )
        .limit(180)
        .alone(),
        ours(
            "restart_gap",
            "R-3: restart with 10,000 bindings: no request unanswered",
            crash::restart_gap,
        )
        .alone(),
        ours(
            "drain",
            "R-4: SIGTERM with 100 calls: none is cut, new ones are refused",
            drain::drain,
        ),
        ours(
            "config_reload",
            "R-20: 1,000 reloads while calls run, one in ten with a mistake: no call fails",
            reload::config_reload,
        )
        .limit(240)
        .alone(),
        ours("panic_task", "R-6: a panic costs the message that caused it", crash::panic_task),
        ours(
            "clock_jump",
            "R-13: the wall clock jumps: no binding lost or extended",
            clock::clock_jump,
        )
        .limit(150),
        ours("fd_exhaust", "R-14: 1,000 connections on 256 descriptors", pressure::fd_exhaust),
    ]
}

/// Bad networks, slow peers, floods.
fn networks() -> Vec<Case> {
    vec![
        ours("loss20", "N-1: 500 calls over 20 % loss", loss::loss20).limit(200),
        case(
            "nat_matrix",
            "N-3: calls through 4 kinds of NATs over UDP and TCP, caller, callee and both behind one",
            nat::nat_matrix,
        )
        .limit(300),
        ours(
            "nat_rebind",
            "N-4: a NAT that forgets in 2 s, and one that is flushed between calls and in one",
            nat::nat_rebind,
        )
        .limit(150),
        ours("slow_downstream", "N-6: callees that are slow or deaf disturb nobody", slow::slow)
            .limit(90)
            .alone(),
        ours("mtu", "N-8: large requests where fragments are lost", mtu::mtu),
        ours("overload_2x", "O-1: twice as many calls as it can do", overload::twice)
            .limit(260)
            .alone(),
        ours("overload_5x", "O-1: five times as many", overload::five_times).limit(260).alone(),
        ours(
            "flood_one_source",
            "O-2: as many requests as one address can send, and calls of others",
            flood::one_source,
        )
        .limit(90)
        .alone(),
        ours(
            "flood_spoofed",
            "O-3: 20,000 requests a second from 60,000 forged addresses, and calls of others",
            flood::spoofed,
        )
        .limit(90)
        .alone(),
        ours(
            "spoof_lockout",
            "O-4: wrong answers with the address of somebody who did not send them",
            flood::spoof_lockout,
        ),
        ours("v4v6", "N-9: calls within and between IPv4 and IPv6", network::v4v6),
    ]
}

/// Attacks on what the server believes.
fn attacks() -> Vec<Case> {
    vec![
        ours("advisories", "S-1: published attack inputs over UDP and TCP", advisory::advisories)
            .limit(120),
        ours(
            "every_prefix",
            "S-3: every prefix and many flipped bytes of good messages",
            advisory::every_prefix,
        )
        .limit(120),
        case("relay_abuse", "S-4: eight ways to use a server as a relay", relay::relay_abuse)
            .kamailio_misses("relays a forged dialog"),
        ours(
            "fork_loop",
            "S-5: two users whose devices loop back: at most 8 INVITEs",
            relay::fork_loop,
        ),
        ours(
            "fork_loop_serial",
            "S-5: ten entries that loop back, one way after the other, forwarding besides",
            relay::fork_loop_serial,
        )
        .limit(90),
        case("replay", "S-6: a captured digest, 51 times", replay::replay)
            .kamailio_misses("accepts a replayed digest as long as its nonce lives"),
        ours("spoof_identity", "S-7: speaking as somebody else", identity::spoof_identity),
        ours("hijack_contact", "S-7: contacts that are not the caller's", identity::hijack_contact),
        ours("header_smuggle", "S-7: identity headers in every spelling", identity::header_smuggle),
        ours("enum_code", "S-8: known and unknown users look the same", identity::enum_code),
        ours("digest_leak", "S-20: who gets a proof of the trunk's password", leak::digest_leak),
        ours("reflection", "S-10: no amplifier for forged sources", exposure::reflection),
        ours("slowloris", "S-11: 5,000 half-sent requests from 5 addresses", pressure::slowloris)
            .alone(),
        ours(
            "default_exposure",
            "S-19: what an unconfigured server opens",
            exposure::default_exposure,
        ),
    ]
}
