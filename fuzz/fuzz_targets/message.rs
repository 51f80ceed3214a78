//! One datagram: read, checked, answered, forwarded, edited, written and read again.
#![no_main]

#[path = "../../crates/sip-message/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::datagram(bytes));
