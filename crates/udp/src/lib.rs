//! Datagrams in batches: up to 64 per system call in both directions, on an unconnected, non-blocking socket.
//!
//! * `Socket` is the plain one (the load generator polls it), `AsyncSocket` the same on tokio's reactor.
//! * `Inbox` holds one received batch; `Outgoing` what waits to be sent, in order.
//! * `Refusal` is what ICMP says about a datagram that did not arrive, for those who ask.
//! * `Nap` decides whether a worker sleeps a moment before it parks, so that one wake-up serves several datagrams.
//!
//! It never reads a message, never connects a socket, and never keeps an address. All `unsafe` of the project is in
//! `syscall.rs`. RFC 3261 §18 says what travels in here; a datagram may have up to 65,535 bytes (§18.1.1).

mod nap;
mod queue;
mod socket;
mod syscall;

pub use nap::{Nap, NapRule};
pub use queue::{Failure, Flush, Outgoing};
pub use socket::{AsyncSocket, BATCH_MAX, Options, Refusal, Socket, is_free, wait};
pub use syscall::{Datagram, Inbox, set_timer_slack};

#[cfg(test)]
mod tests;
