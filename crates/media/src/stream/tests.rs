//! Streams end to end, over a network of numbers: what one sends the other hears, counts and reports.

use super::*;
use crate::codec::event::Key;
use crate::codec::{Codec, FRAME};
use crate::jitter::{DEPTH, Playout};
use crate::offer::{Encoding, Format};
use crate::rtp::Packet;
use crate::tone::{Sine, share};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(20);

fn formats() -> Vec<Format> {
    let event = Format { payload_type: 101, encoding: Encoding::TelephoneEvent };
    vec![Format::audio(Codec::Pcmu), Format::audio(Codec::Pcma), event]
}

fn sender(codec: Codec) -> Sender {
    let mut sender = Sender::new(codec, 0xaaaa, 65_500, u32::MAX - 1000);
    sender.set_format(codec, codec.payload_type(), Some(101));
    sender
}

fn receiver() -> Receiver {
    Receiver::new(formats(), DEPTH)
}

/// What came of packets sent every 20 ms through a network that decides each one's fate.
struct Run {
    heard: Vec<i16>,
    keys: String,
    sender: Sender,
    receiver: Receiver,
}

/// `fate` gives the delay of each copy of packet `n` in ms.
fn run(mut sender: Sender, frames: u64, keys: &str, fate: impl Fn(u64) -> Vec<u64>) -> Run {
    for c in keys.chars() {
        sender.press(Key::of_char(c).unwrap(), 100).unwrap();
    }
    let mut receiver = receiver();
    let mut sine = Sine::new(1000.0, 0.5);
    let mut air: Vec<(Duration, Vec<u8>)> = Vec::new();
    let (mut heard, mut found) = (Vec::new(), String::new());
    for n in 0..frames + 10 {
        let now = TICK * n as u32;
        if n < frames {
            let (mut samples, mut packet) = ([0; FRAME], Vec::new());
            sine.fill(&mut samples);
            sender.frame(&samples, &mut packet);
            air.extend(
                fate(n).into_iter().map(|d| (now + Duration::from_millis(d), packet.clone())),
            );
            air.sort_by_key(|(at, _)| *at);
        }
        let due = air.partition_point(|(at, _)| *at <= now);
        for (at, packet) in air.drain(..due) {
            if let Received::Key(key) = receiver.on_datagram(at, &packet) {
                found.push(key.char());
            }
        }
        let mut out = [0; FRAME];
        receiver.play(now, &mut out);
        heard.extend(out);
    }
    Run { heard, keys: found, sender, receiver }
}

fn random() -> impl FnMut() -> u32 {
    let mut state = 42u64;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

fn control() -> Control {
    Control::new(0xaaaa, "x", Duration::ZERO, 0.5)
}

#[test]
fn a_tone_arrives() {
    for codec in Codec::ALL {
        let run = run(sender(codec), 100, "", |_| vec![5]);
        let tone = &run.heard[4 * FRAME..100 * FRAME];
        assert!(share(tone, 1000.0) > 0.99, "{codec}: {}", share(tone, 1000.0));
        assert_eq!(run.receiver.codec(), Some(codec));
        let quality = Quality::new(&run.sender, &run.receiver, &control());
        assert_eq!((quality.sent, quality.received, quality.lost, quality.late), (100, 100, 0, 0));
        assert!(quality.mos.unwrap() > 4.3, "{quality:?}");
        assert_eq!(run.receiver.playout().unwrap().missing, 0);
    }
}

/// 30 % loss over 10 s is reported within two points, the tone is still found, and nobody calls that good.
#[test]
fn loss_is_reported() {
    let mut random = random();
    let lost: Vec<bool> = (0..500).map(|_| random() % 100 < 30).collect();
    let run =
        run(sender(Codec::Pcmu), 500, "", |n| if lost[n as usize] { vec![] } else { vec![1] });
    let quality = Quality::new(&run.sender, &run.receiver, &control());
    let true_loss = lost.iter().filter(|l| **l).count() as f64 / 5.0;
    assert!((28.0..32.0).contains(&true_loss), "{true_loss}");
    assert!((quality.loss_percent - true_loss).abs() < 0.5, "{quality:?} {true_loss}");
    assert!((quality.loss_percent - 30.0).abs() <= 2.0, "{quality:?}");
    assert!(quality.mos.unwrap() < 1.5);
    assert!(share(&run.heard, 1000.0) > 0.5);
}

#[test]
fn duplicates_and_reordering_are_no_loss() {
    let mut random = random();
    let delays: Vec<u64> = (0..500).map(|_| u64::from(random() % 55)).collect();
    let run = run(sender(Codec::Pcma), 500, "", |n| {
        let delay = delays[n as usize];
        if n % 3 == 0 { vec![delay, delay + 1] } else { vec![delay] }
    });
    let quality = Quality::new(&run.sender, &run.receiver, &control());
    assert_eq!((quality.lost, quality.received, quality.duplicates), (0, 500, 167));
    assert!(quality.jitter_ms > 5.0 && quality.jitter_ms < 40.0, "{quality:?}");
}

#[test]
fn keys_arrive_once_over_a_bad_network() {
    let mut random = random();
    let fates: Vec<Vec<u64>> = (0..400)
        .map(|_| match random() % 10 {
            0..3 => vec![],
            3..5 => vec![1, 30],
            _ => vec![u64::from(random() % 30)],
        })
        .collect();
    let run = run(sender(Codec::Pcmu), 300, "0123456789*#ABCD11", |n| fates[n as usize].clone());
    assert_eq!(run.keys, "0123456789*#ABCD11");
    assert!(!run.sender.is_pressing());
}

/// Keys replace sound for their time and shift nothing behind them.
#[test]
fn sound_goes_on_after_a_key_where_it_would_be() {
    let run = run(sender(Codec::Pcmu), 60, "5", |_| vec![0]);
    assert_eq!(run.receiver.playout().unwrap().late, 0);
    let frame = |n: usize| &run.heard[n * FRAME..(n + 1) * FRAME];
    // 100 ms of key and its two repeated ends, behind 60 ms in the buffer.
    let silent: Vec<usize> = (0..63).filter(|n| frame(*n).iter().all(|s| *s == 0)).collect();
    // The first sound comes in frame 7 and waits three more.
    assert_eq!(silent, (0..10).collect::<Vec<_>>());
}

/// RFC 3550 §5.1, RFC 3551 §4.1, RFC 4733 §2.5.1: sequence, timestamp and marker of each packet.
#[test]
fn the_headers_of_sound_and_keys() {
    let mut sender = Sender::new(Codec::Pcma, 7, u16::MAX, u32::MAX);
    assert_eq!(sender.press(Key::of_char('1').unwrap(), 40), Err(KeyError::NotAgreed));
    sender.set_format(Codec::Pcma, 8, Some(101));
    let mut packet = Vec::new();
    let mut rows = Vec::new();
    for n in 0..9 {
        if n == 1 {
            sender.press(Key::of_char('1').unwrap(), 40).unwrap();
        }
        if n == 6 {
            sender.pass(1000);
        }
        sender.frame(&[0; FRAME], &mut packet);
        let p = Packet::parse(&packet).unwrap();
        assert_eq!(p.ssrc, 7);
        rows.push(format!(
            "{} {} {} {}{}",
            p.sequence,
            p.timestamp,
            p.payload_type,
            p.payload.len(),
            if p.marker { " marker" } else { "" }
        ));
    }
    let want = [
        "65535 4294967295 8 160 marker",
        "0 159 101 4 marker",
        "1 159 101 4",
        "2 159 101 4",
        "3 159 101 4",
        "4 799 8 160",
        "5 1959 8 160 marker",
        "6 2119 8 160",
        "7 2279 8 160",
    ];
    assert_eq!(rows, want);
    assert_eq!((sender.packets(), sender.octets()), (9, 5 * 160 + 4 * 4));
}

#[test]
fn keys_that_wait_are_bounded() {
    let mut sender = sender(Codec::Pcmu);
    let key = Key::of_char('1').unwrap();
    for _ in 0..KEYS_MAX {
        sender.press(key, 100).unwrap();
    }
    assert_eq!(sender.press(key, 100), Err(KeyError::Full));
}

/// A re-INVITE that takes telephone-event away in the middle of a key: sound goes on.
#[test]
fn a_key_whose_format_is_gone() {
    let mut sender = sender(Codec::Pcmu);
    sender.press(Key::of_char('1').unwrap(), 100).unwrap();
    let mut packet = Vec::new();
    sender.frame(&[0; FRAME], &mut packet);
    assert_eq!(Packet::parse(&packet).unwrap().payload_type, 101);
    sender.set_format(Codec::Pcmu, 0, None);
    sender.frame(&[0; FRAME], &mut packet);
    assert_eq!(Packet::parse(&packet).unwrap().payload_type, 0);
}

/// One stray packet does not take a stream over; two in a row are the peer with a new SSRC, and all stays counted.
#[test]
fn a_new_source() {
    let mut receiver = receiver();
    let mut packet = Vec::new();
    let mut send = |receiver: &mut Receiver, sender: &mut Sender| {
        sender.frame(&[0; FRAME], &mut packet);
        receiver.on_datagram(Duration::ZERO, &packet)
    };
    let mut one = Sender::new(Codec::Pcmu, 1, 100, 0);
    let mut two = Sender::new(Codec::Pcmu, 2, 40_000, 0);
    let foreign = Received::Ignored(Ignored::Foreign);
    assert_eq!(send(&mut receiver, &mut one), Received::Sound);
    assert_eq!(send(&mut receiver, &mut two), foreign);
    assert_eq!(send(&mut receiver, &mut one), Received::Sound);
    assert_eq!(send(&mut receiver, &mut two), foreign);
    assert_eq!(send(&mut receiver, &mut two), Received::Sound);
    assert_eq!(receiver.source().unwrap().ssrc(), 2);
    assert_eq!(send(&mut receiver, &mut one), foreign);
    assert_eq!((receiver.expected(), receiver.received()), (3, 3));
    assert_eq!(receiver.strays().foreign, 3);
}

/// A peer that restarts under its old SSRC, with timestamps behind the last: its sound and its keys are heard again.
#[test]
fn a_restarted_source() {
    let mut receiver = receiver();
    let mut packet = Vec::new();
    let mut heard = Vec::new();
    for (sequence, timestamp) in [(100, 1_000_000), (30_000, 0)] {
        let mut sender = Sender::new(Codec::Pcmu, 1, sequence, timestamp);
        sender.set_format(Codec::Pcmu, 0, Some(101));
        sender.press(Key::of_char('5').unwrap(), 100).unwrap();
        for _ in 0..8 {
            sender.frame(&[0; FRAME], &mut packet);
            if let Received::Key(key) = receiver.on_datagram(Duration::ZERO, &packet) {
                heard.push(key.char());
            }
        }
    }
    assert_eq!(heard, ['5', '5']);
    // The first packet after the jump is the one that is not believed.
    assert_eq!((receiver.expected(), receiver.received(), receiver.strays().jumps), (15, 15, 1));
}

#[test]
fn what_is_not_ours_is_counted_and_dropped() {
    let mut receiver = receiver();
    let mut arrive = |bytes: &[u8]| receiver.on_datagram(Duration::ZERO, bytes);
    let packet = |payload_type, sequence, payload: &'static [u8]| {
        let mut out = Vec::new();
        Packet { payload, ..Packet::new(payload_type, sequence, 0, 1) }.write(&mut out);
        out
    };
    use Ignored::*;
    assert_eq!(arrive(b""), Received::Ignored(Malformed));
    assert_eq!(arrive(b"OPTIONS sip:a@b SIP/2.0"), Received::Ignored(Malformed));
    assert_eq!(arrive(&packet(0, 1, b"x")), Received::Sound);
    assert_eq!(arrive(&packet(13, 2, b"x")), Received::Ignored(PayloadType));
    assert_eq!(arrive(&packet(101, 3, b"x")), Received::Ignored(Malformed));
    assert_eq!(arrive(&packet(0, 3, b"x")), Received::Ignored(Duplicate));
    assert_eq!(arrive(&packet(0, 30_000, b"x")), Received::Ignored(Jump));
    let want = Strays { malformed: 3, foreign: 0, jumps: 1, payload_type: 1 };
    assert_eq!(receiver.strays(), want);
    // Comfort noise, unknown as it is, is no loss.
    assert_eq!((receiver.expected(), receiver.received()), (3, 3));
}

/// RFC 3550 §6.4: both ends report, and each learns the round trip and what it lost.
#[test]
fn reports_give_the_round_trip_and_the_loss() {
    let epoch = Duration::from_secs(1_700_000_000);
    let delay = Duration::from_millis(35);
    let mut senders = [Sender::new(Codec::Pcmu, 1, 0, 0), Sender::new(Codec::Pcmu, 2, 0, 0)];
    let mut receivers = [receiver(), receiver()];
    let mut controls = [1, 2].map(|ssrc| Control::new(ssrc, "call", epoch, 0.5));
    let mut packet = Vec::new();
    let mut air: Vec<(Duration, usize, bool, Vec<u8>)> = Vec::new();
    for n in 0..1000u32 {
        let now = epoch + TICK * n;
        for end in 0..2 {
            senders[end].frame(&[0; FRAME], &mut packet);
            // What end 0 sends is lost one time in ten.
            if end == 1 || n % 10 != 5 {
                air.push((now + delay, 1 - end, false, packet.clone()));
            }
            if now >= controls[end].next_deadline() {
                controls[end].write(now, 0.5, &senders[end], &mut receivers[end], &mut packet);
                assert!(crate::rtp::is_rtcp(&packet));
                air.push((now + delay, 1 - end, true, packet.clone()));
            }
        }
        air.sort_by_key(|(at, ..)| *at);
        let due = air.partition_point(|(at, ..)| *at <= now);
        for (at, to, report, bytes) in air.drain(..due) {
            if report {
                assert_eq!(controls[to].on_datagram(at, &bytes), Heard::Report);
            } else {
                receivers[to].on_datagram(at, &bytes);
            }
        }
    }
    for end in 0..2 {
        let quality = Quality::new(&senders[end], &receivers[end], &controls[end]);
        assert!((quality.rtt_ms.unwrap() - 70.0).abs() < 1.0, "{quality:?}");
        assert_eq!(quality.jitter_ms.round(), 0.0);
    }
    let of_us = controls[0].of_us().unwrap();
    // A tenth of 256, of an interval that need not hold whole tens.
    assert!((23..=28).contains(&of_us.fraction_lost), "{of_us:?}");
    assert!(of_us.cumulative_lost > 80);
    assert_eq!(controls[1].of_us().unwrap().cumulative_lost, 0);

    // RFC 3550 §6.3.7: the end, and nothing after it.
    controls[0].write_bye(epoch, &senders[0], &mut receivers[0], &mut packet);
    assert_eq!(controls[1].on_datagram(epoch, &packet), Heard::Bye);
    assert_eq!(controls[0].next_deadline(), Duration::MAX);
}

/// RFC 3550 §6.4: one that sent nothing writes a receiver report; and reports about others do not count.
#[test]
fn a_listener_sends_receiver_reports() {
    let sender = Sender::new(Codec::Pcmu, 1, 0, 0);
    let mut packet = Vec::new();
    control().write(Duration::from_secs(1), 0.5, &sender, &mut receiver(), &mut packet);
    assert_eq!(packet[1], 201);
    let mut other = Control::new(9, "y", Duration::ZERO, 0.5);
    assert_eq!(other.on_datagram(Duration::from_secs(2), &packet), Heard::Report);
    assert_eq!((other.of_us(), other.round_trip()), (None, None));
    assert_eq!(other.on_datagram(Duration::ZERO, &[0x80, 203, 0, 0]), Heard::Malformed);
    assert_eq!(other.malformed(), 1);
}

/// The E-model at known points: G.107's default gives R 93.2 and MOS 4.41.
#[test]
fn the_score() {
    assert!((mos(Duration::ZERO, 0.0) - 4.41).abs() < 0.01);
    assert!((mos(Duration::from_millis(150), 0.0) - 4.33).abs() < 0.02);
    // 177.3 ms is where delay begins to hurt: 400 ms cost 9.6 + 24.5 of R.
    assert!((mos(Duration::from_millis(400), 0.0) - 3.05).abs() < 0.1);
    let scores: Vec<f64> =
        [0.0, 1.0, 3.0, 5.0, 10.0, 30.0].map(|loss| mos(Duration::from_millis(80), loss)).to_vec();
    assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
    assert_eq!(mos(Duration::from_secs(10), 100.0), 1.0);
    let nothing = Quality::new(&sender(Codec::Pcmu), &receiver(), &control());
    assert_eq!((nothing.mos, nothing.rtt_ms, nothing.loss_percent), (None, None, 0.0));
}

/// A receiver that only counts does so like one that plays.
#[test]
fn counting_alone() {
    let mut receiver = Receiver::counting(formats());
    let mut sender = sender(Codec::Pcmu);
    let mut packet = Vec::new();
    for n in 0..100 {
        sender.encoded_frame(&[0xff; FRAME], &mut packet);
        if n % 10 != 3 {
            receiver.on_datagram(TICK * n, &packet);
        }
    }
    assert_eq!((receiver.expected(), receiver.received()), (100, 90));
    assert_eq!(receiver.play(TICK, &mut [0; FRAME]), Playout::Empty);
    assert_eq!(receiver.playout(), None);
}

proptest::proptest! {
    #[test]
    fn any_datagrams(datagrams in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..64), 0..40)) {
        let (mut receiver, mut control) = (receiver(), control());
        for mut datagram in datagrams {
            let now = Duration::from_millis(datagram.len() as u64);
            control.on_datagram(now, &datagram);
            receiver.on_datagram(now, &datagram);
            if let Some(first) = datagram.first_mut() {
                *first = 0x80;
            }
            receiver.on_datagram(now, &datagram);
            receiver.play(now, &mut [0; FRAME]);
        }
        Quality::new(&sender(Codec::Pcmu), &receiver, &control);
    }
}
