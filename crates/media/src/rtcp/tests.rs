//! Compound packets: what is written is read, and what is cut, short or padded wrongly is dropped whole.

use proptest::prelude::*;

use super::*;

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 77,
    cumulative_lost: -3,
    highest: 0x0001_0005,
    jitter: 12,
    last_sender_report: 0xb705_2000,
    delay: 0x0005_4000,
};
const INFO: SenderInformation = SenderInformation {
    ntp: Ntp(0xb44d_b705_2000_0000),
    timestamp: 160,
    packets: 50,
    octets: 8000,
};

fn compound() -> Vec<u8> {
    let mut out = Vec::new();
    write_report(&mut out, 7, Some(INFO), &[BLOCK]);
    write_source_description(&mut out, 7, "a@b");
    write_bye(&mut out, 7, "bye");
    out
}

/// RFC 3550 §6.4.1, §6.5, §6.6, byte for byte.
#[test]
fn every_field_in_its_place() {
    let want: Vec<u8> = [
        &[0x81, 200, 0, 12, 0, 0, 0, 7][..],
        &[0xb4, 0x4d, 0xb7, 0x05, 0x20, 0, 0, 0, 0, 0, 0, 160, 0, 0, 0, 50, 0, 0, 0x1f, 0x40],
        &[1, 2, 3, 4, 77, 0xff, 0xff, 0xfd, 0, 1, 0, 5, 0, 0, 0, 12],
        &[0xb7, 5, 0x20, 0, 0, 5, 0x40, 0],
        &[0x81, 202, 0, 3, 0, 0, 0, 7, 1, 3, b'a', b'@', b'b', 0, 0, 0],
        &[0x81, 203, 0, 2, 0, 0, 0, 7, 3, b'b', b'y', b'e'],
    ]
    .concat();
    assert_eq!(compound(), want);
}

#[test]
fn what_is_written_is_read() {
    let bytes = compound();
    let packets: Vec<Packet<'_>> = Compound::parse(&bytes).unwrap().collect();
    let [Packet::SenderReport { ssrc: 7, info, reports }, Packet::SourceDescription(words), bye] =
        packets[..]
    else {
        panic!("{packets:?}")
    };
    assert_eq!(info, INFO);
    assert_eq!(reports.collect::<Vec<_>>(), [BLOCK]);
    assert_eq!(words.cname(), Some((7, &b"a@b"[..])));
    assert_eq!(bye, Packet::Bye { sources: &[0, 0, 0, 7], reason: b"bye" });
}

#[test]
fn a_cname_of_any_length_fills_its_words() {
    for length in 0..300 {
        let name = "n".repeat(length);
        let mut out = Vec::new();
        write_report(&mut out, 7, None, &[]);
        write_source_description(&mut out, 7, &name);
        let mut packets = Compound::parse(&out).unwrap();
        assert_eq!(
            packets.next().unwrap(),
            Packet::ReceiverReport { ssrc: 7, reports: Reports::NONE }
        );
        let Some(Packet::SourceDescription(words)) = packets.next() else { panic!() };
        assert_eq!(words.cname().unwrap().1.len(), length.min(255));
    }
}

/// What crashed others: BYE, extended reports and feedback shorter than their headers, a packet of four bytes.
#[test]
fn what_others_crashed_on() {
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let with = |tail: &[u8]| [&report, tail].concat();
    let verdict = |bytes: &[u8]| Compound::parse(bytes).map(Iterator::count);
    assert_eq!(verdict(&report), Ok(1));
    assert_eq!(verdict(&[]), Err(Malformed::Length));
    assert_eq!(verdict(&[0x80, 201, 0]), Err(Malformed::Length));
    // Four bytes: a report without the SSRC of its author.
    assert_eq!(verdict(&[0x80, 201, 0, 0]), Err(Malformed::Report));
    assert_eq!(verdict(&[0x80, 200, 0, 0]), Err(Malformed::Report));
    // More blocks than bytes.
    assert_eq!(verdict(&[0x9f, 201, 0, 1, 0, 0, 0, 7]), Err(Malformed::Report));
    // Longer than the datagram.
    assert_eq!(verdict(&[0x80, 201, 0, 9, 0, 0, 0, 7]), Err(Malformed::Cut));
    // BYE: a source that is not there, a reason longer than the packet.
    assert_eq!(verdict(&with(&[0x81, 203, 0, 0])), Err(Malformed::Bye));
    assert_eq!(verdict(&with(&[0x80, 203, 0, 1, 200, 0, 0, 0])), Err(Malformed::Bye));
    assert_eq!(verdict(&with(&[0x80, 203, 0, 0])), Ok(2));
    // Extended reports (207) and RPSI feedback (206) without a body: passed over unread.
    assert_eq!(verdict(&with(&[0x80, 207, 0, 0])), Ok(2));
    assert_eq!(verdict(&with(&[0x83, 206, 0, 0])), Ok(2));
    // SDES: no end, an item longer than the packet, a chunk that is not there.
    assert_eq!(verdict(&with(&[0x81, 202, 0, 0])), Err(Malformed::SourceDescription));
    assert_eq!(verdict(&with(&[0x81, 202, 0, 1, 0, 0, 0, 7])), Err(Malformed::SourceDescription));
    assert_eq!(
        verdict(&with(&[0x81, 202, 0, 2, 0, 0, 0, 7, 1, 200, 0, 0])),
        Err(Malformed::SourceDescription)
    );
    assert_eq!(
        verdict(&with(&[0x81, 202, 0, 2, 0, 0, 0, 7, 1, 2, b'a', b'b'])),
        Err(Malformed::SourceDescription)
    );
    // RFC 3550 §A.2: the first is a report, the version 2, padding last.
    assert_eq!(verdict(&[0x80, 203, 0, 0]), Err(Malformed::First));
    assert_eq!(verdict(&[0x40, 201, 0, 1, 0, 0, 0, 7]), Err(Malformed::Version));
    assert_eq!(verdict(&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4]), Ok(1));
    assert_eq!(verdict(&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0]), Err(Malformed::Padding));
    assert_eq!(verdict(&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9]), Err(Malformed::Padding));
    let padded_first =
        [&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4][..], &[0x80, 203, 0, 0]].concat();
    assert_eq!(verdict(&padded_first), Err(Malformed::Padding));
}

/// Any cut of a good packet is refused, unless it falls between two packets.
#[test]
fn every_prefix() {
    let bytes = compound();
    let good: Vec<usize> =
        (0..=bytes.len()).filter(|n| Compound::parse(&bytes[..*n]).is_ok()).collect();
    assert_eq!(good, [52, 68, 80]);
}

proptest! {
    #[test]
    fn noise(mut bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 200u8..208, count in 0u8..32) {
        for shaped in [false, true] {
            if shaped && bytes.len() >= 4 {
                // A header that is believed, so that the bodies are reached.
                let words = (bytes.len() / 4 - 1) as u8;
                bytes.truncate((usize::from(words) + 1) * 4);
                bytes[..4].copy_from_slice(&[0x80 | count, kind, 0, words]);
                let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
                bytes.splice(0..0, report);
            }
            if let Ok(packets) = Compound::parse(&bytes) {
                for packet in packets {
                    match packet {
                        Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => {
                            prop_assert!(reports.count() < 32);
                        }
                        Packet::SourceDescription(words) => { let _ = words.cname(); }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn any_report(lost in any::<i32>(), fraction in any::<u8>(), delay in any::<u32>()) {
        let block = ReportBlock { cumulative_lost: lost, fraction_lost: fraction, delay, ..BLOCK };
        let mut out = Vec::new();
        write_report(&mut out, 7, None, &[block]);
        let Some(Packet::ReceiverReport { mut reports, .. }) = Compound::parse(&out).unwrap().next() else { panic!() };
        let read = reports.next().unwrap();
        prop_assert_eq!(read.cumulative_lost, lost.clamp(-0x80_0000, 0x7f_ffff));
        prop_assert_eq!((read.fraction_lost, read.delay), (fraction, delay));
    }
}
