//! A stream of datagrams, each behind a byte for its length and one for the pause before it: RTP and RTCP by their second
//! byte, into a stream that plays and reports.
#![no_main]

use std::time::Duration;

use media::codec::{Codec, FRAME};
use media::jitter::DEPTH;
use media::offer::{Encoding, Format};
use media::rtp::is_rtcp;
use media::stream::{Control, Quality, Receiver, Sender};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let event = Format { payload_type: 101, encoding: Encoding::TelephoneEvent };
    let formats = vec![Format::audio(Codec::Pcmu), Format::audio(Codec::Pcma), event];
    let mut receiver = Receiver::new(formats, DEPTH);
    let sender = Sender::new(Codec::Pcmu, 1, 0, 0);
    let mut now = Duration::ZERO;
    let mut control = Control::new(1, "fuzz", now, 0.5);
    let (mut out, mut frame) = (Vec::new(), [0; FRAME]);
    let mut rest = bytes;
    while let [length, pause, tail @ ..] = rest {
        let (datagram, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        now += Duration::from_millis(u64::from(*pause));
        if is_rtcp(datagram) {
            control.on_datagram(now, datagram);
        } else {
            receiver.on_datagram(now, datagram);
        }
        receiver.play(now, &mut frame);
        assert!(receiver.received() <= receiver.expected());
        if now >= control.next_deadline() {
            control.write(now, 0.5, &sender, &mut receiver, &mut out);
        }
    }
    let quality = Quality::new(&sender, &receiver, &control);
    assert!((0.0..=100.0).contains(&quality.loss_percent));
    assert!(quality.mos.is_none_or(|mos| (1.0..=4.5).contains(&mos)));
});
