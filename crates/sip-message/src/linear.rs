//! Time that grows with the input and no faster, whatever the input: proven by counting the bytes that are looked at,
//! never by a clock. Tests only.

use std::cell::Cell;

use crate::byte::looked;

#[path = "../tests/oracle/mod.rs"]
mod oracle;

/// Bytes looked at by `work`.
fn looked(work: impl FnOnce()) -> usize {
    looked::AT.with(Cell::take);
    work();
    looked::AT.with(Cell::take)
}

/// Everything that is ever done with a message, on every hostile input, at three sizes.
#[test]
fn no_input_costs_more_than_its_length() {
    for (name, make) in oracle::hostile::ALL {
        let per_byte = |n: usize| {
            let message = make(n);
            looked(|| oracle::datagram(&message)) / message.len()
        };
        let (small, large) = (per_byte(250), per_byte(2_500));
        let huge = per_byte(8_000);
        assert!(large <= small * 2 + 8, "{name}: {small} per byte, then {large}");
        assert!(huge <= small * 2 + 8, "{name}: {small} per byte, then {huge}");
        assert!(small <= 40, "{name}: every byte looked at {small} times");
    }
}

/// A stream that arrives byte by byte costs what it costs in one piece.
#[test]
fn no_stream_costs_more_than_its_length() {
    for (name, make) in oracle::hostile::ALL {
        let message = make(2_500);
        let whole = looked(|| drop(oracle::frames(&message, message.len())));
        let bytewise = looked(|| drop(oracle::frames(&message, 1)));
        let most = 4 * message.len();
        assert!(whole <= most && bytewise <= most, "{name}: {whole} and {bytewise} of {most}");
    }
}
