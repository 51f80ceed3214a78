//! A stream that runs asks for no memory: not for a packet, not for a frame, not for a report. A program of its own and no
//! test of the usual harness, whose thread asks for memory meanwhile.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a test may stop and may print; without the harness it is not known as one"
)]

use std::time::Duration;

use media::codec::event::Key;
use media::codec::{Codec, FRAME};
use media::jitter::DEPTH;
use media::offer::{Encoding, Format};
use media::stream::{Control, Heard, Quality, Receiver, Sender};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Bytes a stream may hold: most of it the 256 ms of its jitter buffer.
const PLAYING_MAX: usize = 6_000;
const COUNTING_MAX: usize = 1_000;

fn main() {
    let event = Format { payload_type: 101, encoding: Encoding::TelephoneEvent };
    let formats = vec![Format::audio(Codec::Pcmu), event];
    let region = Region::new(ALLOCATOR);
    let mut receiver = Receiver::new(formats.clone(), DEPTH);
    let playing = region.change().bytes_allocated + size_of::<Receiver>();
    assert!(playing < PLAYING_MAX, "{playing} bytes");
    let region = Region::new(ALLOCATOR);
    let mut counting = Receiver::counting(formats.clone());
    let bytes = region.change().bytes_allocated
        + size_of::<Receiver>()
        + size_of::<Sender>()
        + size_of::<Control>();
    assert!(bytes < COUNTING_MAX, "{bytes} bytes");

    let mut sender = Sender::new(Codec::Pcmu, 1, 65_000, u32::MAX - 100_000);
    sender.set_format(Codec::Pcmu, 0, Some(101));
    sender.press(Key::of_char('5').unwrap(), 100).unwrap();
    let mut control = Control::new(1, "call", Duration::ZERO, 0.5);
    let mut packet = Vec::with_capacity(512);
    let (samples, mut out) = ([1000; FRAME], [0; FRAME]);
    let (mut frames, mut reports) = (0, 0);
    let region = Region::new(ALLOCATOR);
    for n in 0..2_000u32 {
        let now = Duration::from_millis(20) * n;
        sender.frame(&samples, &mut packet);
        if n % 7 != 0 {
            receiver.on_datagram(now, &packet);
            counting.on_datagram(now, &packet);
        }
        frames += u32::from(receiver.play(now, &mut out) == media::jitter::Playout::Frame);
        if now >= control.next_deadline() {
            control.write(now, 0.5, &sender, &mut receiver, &mut packet);
            reports += u32::from(control.on_datagram(now, &packet) == Heard::Report);
        }
    }
    let quality = Quality::new(&sender, &receiver, &control);
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert!(frames > 1_600 && reports > 7, "{frames} frames, {reports} reports");
    assert_eq!(quality.received, counting.received());
    println!("test result: ok. 1 passed; 0 failed; a stream that runs allocates nothing");
}
