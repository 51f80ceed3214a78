//! Keys under loss, duplication and reordering.

use super::*;

const FRAME: u16 = 160;

/// The reports of one key of `duration` samples that begins at `timestamp`.
fn reports(key: char, timestamp: u32, duration: u16) -> Vec<(u32, Report)> {
    let mut sending = Transmission::start(Key::of_char(key).unwrap(), timestamp, duration);
    std::iter::from_fn(|| sending.advance(FRAME).map(|report| (timestamp, report))).collect()
}

fn heard(packets: impl IntoIterator<Item = (u32, Report)>) -> String {
    let mut reception = Reception::new();
    packets
        .into_iter()
        .filter_map(|(timestamp, report)| reception.on_report(timestamp, report))
        .map(Key::char)
        .collect()
}

/// RFC 4733 §3.2 table 3.
#[test]
fn the_sixteen_keys() {
    let keys: String = (0..16).filter_map(Key::of_event).map(Key::char).collect();
    assert_eq!(keys, "0123456789*#ABCD");
    for (event, c) in (0u8..).zip(keys.chars()) {
        assert_eq!(Key::of_char(c).unwrap().event(), event);
    }
    assert_eq!(Key::of_char('d'), Key::of_char('D'));
    assert_eq!((Key::of_char('x'), Key::of_event(16)), (None, None));
}

/// RFC 4733 §2.3: the last report of the 9 in the example of §5, 1600 timestamp units long.
#[test]
fn the_payload_of_the_rfc() {
    let report = Report { event: 9, end: true, volume: 7, duration: 1600 };
    assert_eq!(report.to_bytes(), [9, 0x87, 0x06, 0x40]);
    assert_eq!(Report::parse(&[9, 0x87, 0x06, 0x40]), Some(report));
    assert_eq!(Report::parse(&[9, 0x87, 0x06]), None);
    // RFC 4733 §2.3.3: the reserved bit is ignored.
    assert_eq!(Report::parse(&[9, 0xc7, 0x06, 0x40]), Some(report));
}

/// RFC 4733 §2.5.1.2, §2.5.1.4: durations grow by a frame, and the last report is sent three times.
#[test]
fn a_key_grows_and_ends_three_times() {
    let reports: Vec<(bool, u16)> =
        reports('9', 0, 400).into_iter().map(|(_, r)| (r.end, r.duration)).collect();
    assert_eq!(reports, [(false, 160), (false, 320), (true, 400), (true, 400), (true, 400)]);
}

/// RFC 4733 §5: somebody dials 911, the same key twice in a row; timestamps tell them apart.
#[test]
fn the_same_key_twice_is_two_keys() {
    let dialled: Vec<_> =
        [reports('9', 0, 1600), reports('1', 7040, 2000), reports('1', 11_200, 1760)].concat();
    assert_eq!(heard(dialled.clone()), "911");
    // Every packet twice.
    assert_eq!(heard(dialled.iter().flat_map(|p| [*p, *p])), "911");
}

/// Whichever single packet of a key survives is enough.
#[test]
fn one_packet_of_each_is_enough() {
    let (one, two) = (reports('1', 0, 800), reports('2', 3000, 800));
    for a in &one {
        for b in &two {
            assert_eq!(heard([*a, *b]), "12");
        }
    }
}

/// Late packets of a key that is over do not repeat it.
#[test]
fn late_packets_say_nothing_new() {
    let (one, two) = (reports('1', u32::MAX - 500, 800), reports('2', 3000, 800));
    let mut mixed = vec![one[0], two[0]];
    mixed.extend(&one[1..]);
    mixed.extend(&two[1..]);
    mixed.reverse();
    mixed.insert(0, one[0]);
    assert_eq!(heard(mixed), "12");
}

/// RFC 4733 §2.5.1.3: a key held beyond 8 s goes on in segments and is one key.
#[test]
fn a_long_key_in_segments() {
    let report = |duration, end| Report { event: 5, end, volume: 10, duration };
    let long = [
        (1000, report(160, false)),
        (1000, report(u16::MAX, false)),
        (1000 + 65_535, report(160, false)),
        (1000 + 65_535, report(8000, true)),
    ];
    assert_eq!(heard(long), "5");
    // Pressed again right after its end, it is another.
    assert_eq!(heard([(0, report(800, true)), (800, report(160, false))]), "55");
}

#[test]
fn other_events_are_no_keys() {
    let flash = Report { event: 16, end: false, volume: 0, duration: 160 };
    assert_eq!(heard([(0, flash), (500, Report { event: 1, ..flash })]), "1");
}

proptest::proptest! {
    /// RFC 4733 §2.5.2.2 under loss and duplication: each key of which any packet arrives is heard once and in order,
    /// and no other.
    #[test]
    fn each_key_once(
        keys in "[0-9*#A-D]{1,12}",
        fates in proptest::collection::vec(0..3usize, 12 * 12),
    ) {
        let mut fates = fates.into_iter().cycle();
        let (mut packets, mut want) = (Vec::new(), String::new());
        for (n, key) in (0u32..).zip(keys.chars()) {
            let mut arrives = false;
            for packet in reports(key, (u32::MAX - 3000).wrapping_add(n * 2000), 800) {
                let copies = fates.next().unwrap();
                arrives |= copies > 0;
                packets.extend(std::iter::repeat_n(packet, copies));
            }
            if arrives {
                want.push(key);
            }
        }
        proptest::prop_assert_eq!(heard(packets), want);
    }
}
