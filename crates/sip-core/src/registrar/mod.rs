//! The registrar (RFC 3261 §10).
pub mod binding;
pub mod location;
