//! Digest authentication (RFC 3261 §22, RFC 7616).
pub mod account;
mod digest;
pub mod nonce;

pub use digest::ha1;
