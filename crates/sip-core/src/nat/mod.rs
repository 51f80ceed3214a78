//! Phones behind a NAT: how they are told from others, and how the way to them is kept open. What a phone wrote about
//! itself is never changed: the way it came is remembered beside it (RFC 5626 §5.2).
//!
//! ```text
//! detect     who counts as behind a NAT
//! health     what is known of a way: answers, failures, round trip
//! keepalive  pings, spread over time
//! alias      the way written into a Contact, for those who want it
//! ```

pub mod alias;
pub mod detect;
pub mod health;
pub mod keepalive;
