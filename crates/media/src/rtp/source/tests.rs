//! Counting: RFC 3550 §A.1, §A.3 and §A.8 by their own arithmetic.

use super::*;

fn source(first: u16) -> Source {
    let mut source = Source::new(1, first, 8000);
    assert_eq!(source.on_sequence(first), Arrival::Newest);
    source
}

#[test]
fn in_order_over_the_wrap() {
    let mut source = source(65_530);
    for n in 1..20u16 {
        assert_eq!(source.on_sequence(65_530u16.wrapping_add(n)), Arrival::Newest);
    }
    assert_eq!((source.expected(), source.received(), source.lost()), (20, 20, 0));
    // One cycle and 13.
    assert_eq!(source.highest(), (1 << 16) + 13);
}

#[test]
fn loss_reordering_and_duplicates() {
    let mut source = source(100);
    let arrivals = [103, 101, 103, 101, 99, 104].map(|s| source.on_sequence(s));
    use Arrival::*;
    assert_eq!(arrivals, [Newest, Reordered, Duplicate, Duplicate, Reordered, Newest]);
    // 99 to 104 without 102.
    assert_eq!((source.expected(), source.received(), source.lost()), (6, 5, 1));
    assert_eq!(source.duplicates(), 2);
    // RFC 3550 §6.4.1: "packets that arrive late are not counted as lost, and the loss may be negative if there are
    // duplicates".
    assert_eq!(source.cumulative_lost(), -1);
}

/// A duplicate of the first packets over the wrap, where a number below zero would be.
#[test]
fn a_packet_before_the_first_at_the_wrap() {
    let mut source = source(0);
    assert_eq!(source.on_sequence(65_535), Arrival::Reordered);
    assert_eq!((source.expected(), source.received()), (2, 2));
}

/// RFC 3550 §A.1: one packet far away is not counted; two in a row are a restart, and what was counted stays counted.
#[test]
fn jumps_and_restarts() {
    let mut source = source(100);
    assert_eq!(source.on_sequence(40_000), Arrival::Jump);
    assert_eq!(source.on_sequence(101), Arrival::Newest);
    assert_eq!(source.on_sequence(40_001), Arrival::Jump);
    assert_eq!(source.on_sequence(40_002), Arrival::Restarted);
    assert_eq!(source.on_sequence(40_004), Arrival::Newest);
    assert_eq!((source.expected(), source.received(), source.lost()), (5, 4, 1));
    // Just short of a jump: loss.
    let mut source = self::source(0);
    assert_eq!(source.on_sequence(DROPOUT_MAX - 1), Arrival::Newest);
    assert_eq!(source.lost(), u64::from(DROPOUT_MAX) - 2);
}

/// RFC 3550 §A.3: of each interval, in 256ths; duplicates can make nothing negative of it.
#[test]
fn the_fraction_of_an_interval() {
    let mut source = source(0);
    for n in (1..100).filter(|n| n % 4 != 0) {
        source.on_sequence(n);
    }
    // 100 expected, the 24 multiples of four above 0 lost.
    assert_eq!(source.fraction_lost(), (24u32 * 256 / 100) as u8);
    assert_eq!(source.fraction_lost(), 0);
    source.on_sequence(100);
    source.on_sequence(100);
    assert_eq!(source.fraction_lost(), 0);
    source.on_sequence(103);
    assert_eq!(source.fraction_lost(), (2u32 * 256 / 3) as u8);
}

/// RFC 3550 §A.8: J += |D| - ((J + 8) >> 4), and the report carries J >> 4.
#[test]
fn jitter_by_the_arithmetic_of_the_rfc() {
    let mut source = source(0);
    // Packets every 20 ms, every second one 10 ms late: |D| is 80 units each time.
    let mut j = 0u32;
    for n in 0..200u64 {
        let late = if n % 2 == 1 { 10 } else { 0 };
        source.on_timestamp(Duration::from_millis(n * 20 + late), (n * 160) as u32);
        if n > 0 {
            j = j + 80 - ((j + 8) >> 4);
        }
        assert_eq!(source.jitter(), j >> 4, "packet {n}");
    }
    // It settles at |D|.
    assert!((79..=80).contains(&source.jitter()), "{}", source.jitter());
    assert!((source.jitter_ms() - 10.0).abs() < 0.1);
}

#[test]
fn an_even_stream_has_no_jitter() {
    let mut source = source(0);
    let start = Duration::from_secs(1_700_000_000);
    for n in 0..1000u32 {
        // Over the wrap of the timestamp.
        let timestamp = (u32::MAX - 5000).wrapping_add(n * 160);
        source.on_timestamp(start + Duration::from_millis(20) * n, timestamp);
    }
    assert_eq!(source.jitter(), 0);
}

/// Silence, or a clock that was set, is no jitter.
#[test]
fn a_pause_is_no_jitter() {
    let mut source = source(0);
    source.on_timestamp(Duration::from_secs(1), 0);
    source.forget_transit();
    source.on_timestamp(Duration::from_secs(11), 160);
    assert_eq!(source.jitter(), 0);
    source.on_timestamp(Duration::from_secs(11), 0x8000_0000);
    assert_eq!(source.jitter(), 0);
}

proptest::proptest! {
    #[test]
    fn any_sequence(steps in proptest::collection::vec((proptest::num::u16::ANY, proptest::num::u32::ANY, 0..u64::MAX / 2), 0..200)) {
        let mut source = Source::new(1, 0, 8000);
        for (sequence, timestamp, micros) in steps {
            source.on_sequence(sequence);
            source.on_timestamp(Duration::from_micros(micros), timestamp);
            source.fraction_lost();
            assert!(source.received() <= source.expected());
        }
    }
}
