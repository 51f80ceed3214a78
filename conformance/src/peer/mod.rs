//! Other people's programs as callers and callees: SIPp, baresip, sipsak, Net::SIP; and the torture and malformed messages.

mod balancer;
pub mod baresip;
mod call;
mod command;
pub mod control;
mod example;
mod fork;
mod gateway;
mod malformed;
mod netsip;
pub mod sipp;
mod sipsak;
mod torture;

use anyhow::Result;

use crate::case::{Case, Group};
use crate::world::World;

pub fn cases() -> Vec<Case> {
    calls().into_iter().chain(programs()).collect()
}

fn case(name: &'static str, about: &'static str, run: fn(&mut World) -> Result<String>) -> Case {
    Case::new(name, Group::Peers, about, run)
}

fn calls() -> Vec<Case> {
    vec![
        case(
            "sipp_calls",
            "SIPp caller and callee, registration, digest: 2,000 calls at 200/s",
            call::calls,
        )
        .limit(120)
        .alone(),
        case(
            "load_smoke",
            "five seconds of ringway load: calls through the proxy, none lost",
            call::load,
        )
        .limit(60)
        .alone()
        .ringway_only(),
        case("tcp_to_udp", "a TCP caller reaches a UDP callee", call::tcp_to_udp),
        case("fork_cancel", "two devices ring, one answers, the other gets CANCEL", call::fork),
        case(
            "serial_fork",
            "the second device is tried when the first has rung for 2 s, ten times",
            fork::serial,
        )
        .limit(60),
        case("redirect", "a redirect server names both devices with their q", fork::redirect),
        case(
            "gateways",
            "two gateways take turns, and one of them answers 503 to everything",
            gateway::failover,
        )
        .limit(60),
        case("cancel", "a caller gives up while it rings, 50 times", call::cancel),
        case(
            "cancel_races",
            "200 and 486 cross CANCEL; CANCEL before 180; CANCEL of nothing",
            call::races,
        )
        .kamailio_misses("leaves a CANCEL that matches nothing without an answer"),
        case(
            "stateless_balancer",
            "examples/stateless-balancer: 600 SIPp calls by UDP and TCP over two cores; then as its README says",
            balancer::run,
        )
        .limit(90)
        .alone()
        .ringway_only(),
    ]
}

/// Phones and tools of others.
fn programs() -> Vec<Case> {
    vec![
        case("baresip", "two baresip phones register and talk, audio both ways", baresip::call),
        case(
            "dns_failover",
            "examples/dns-failover: shared by weight, and the next when one is gone",
            example::dns_failover,
        )
        .limit(120)
        .ringway_only(),
        case("sipsak", "OPTIONS, registration and traceroute by sipsak", sipsak::run),
        case(
            "commands",
            "user, regs, status, options, check: what an operator types first",
            command::run,
        )
        .ringway_only(),
        case("netsip", "Net::SIP registers, calls, echoes, hangs up", netsip::call),
        case("torture_udp", "S-2, rfc4475+5118: the torture messages over UDP", torture::udp)
            .limit(120)
            .kamailio_misses("drops or misjudges about 14 of 34"),
        case("torture_tcp", "S-2, rfc4475+5118: the torture messages over TCP", torture::tcp)
            .limit(120)
            .kamailio_misses("drops or misjudges about 13 of 34"),
        case("malformed_udp", "malformed inputs over UDP, OPTIONS after each", malformed::udp)
            .limit(120),
        case("malformed_tcp", "malformed inputs over TCP, OPTIONS after each", malformed::tcp)
            .limit(180),
    ]
}
