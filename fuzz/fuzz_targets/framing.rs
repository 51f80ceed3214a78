//! A stream; its first byte says in pieces of which size it arrives. Every cut must give the same frames.
#![no_main]

#[path = "../../crates/sip-message/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((step, stream)) = bytes.split_first() {
        oracle::stream(stream, usize::from(*step) + 1);
    }
});
