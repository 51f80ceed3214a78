//! Two texts, the second behind the first line feed: as URIs, as addresses, compared with each other.
#![no_main]

#[path = "../../crates/sip-message/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::uri(bytes));
