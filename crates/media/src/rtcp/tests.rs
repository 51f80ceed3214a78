//! Compound packets.
