//! Whole SIP networks in virtual time: servers made of `sip-core` nodes, scripted phones, and a network that loses,
//! delays, doubles and reorders, all from one seed. Development only; nothing of this is shipped.
//!
//! ```text
//! random network      dice and weather
//! heard  wire         a message in words; everything that was on the wire
//! phone/              scripted user agents with transaction logic of their own, and real ones (softphone)
//! server world        N nodes as one server; the clock
//! dns                 names, and a name server that answers, dawdles or is dead
//! ladder snapshot     call flows as text, on file under tests/ladder
//! check/              what must hold after every run (RFC 3261 §9, §16, §17)
//! scenario swarm      one story; hundreds of random ones
//! ```
//!
//! A scenario reads like this: `alice.invite("bob").cancel_after(ms(30))`.

pub mod check;
pub mod dns;
pub mod heard;
pub mod ladder;
pub mod network;
pub mod phone;
pub mod random;
pub mod scenario;
pub mod server;
pub mod snapshot;
pub mod swarm;
pub mod wire;
pub mod world;

use sip_core::time::Duration;

pub use network::Link;
pub use phone::Phone;
pub use phone::softphone::{Softphone, sdp};
pub use scenario::{play, play_unseen};
pub use server::Store;
pub use world::{Nat, World};

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
