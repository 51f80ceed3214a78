//! The buffer under a bad network.

use super::*;

const FRAME: u32 = 160;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A buffer, and what is played from it: each sample carries the number of its packet.
struct Bench {
    buffer: Buffer,
}

impl Bench {
    fn new() -> Self {
        Self { buffer: Buffer::new(DEPTH) }
    }

    /// Packet `n` of a stream of 20 ms packets arrives.
    fn arrive(&mut self, n: u32, at: Duration) -> Push {
        let value = n as i16 + 1;
        self.buffer.push(at, n.wrapping_mul(FRAME), std::iter::repeat_n(value, FRAME as usize))
    }

    /// The next frame; the number of the packet it is of.
    fn play(&mut self, at: Duration) -> (Playout, Option<u32>) {
        let mut out = [7; FRAME as usize];
        let playout = self.buffer.pop(at, &mut out);
        assert!(out.iter().all(|s| *s == out[0]), "a frame of two packets");
        (playout, (out[0] > 0).then(|| out[0] as u32 - 1))
    }

    /// Plays a frame every 20 ms from `from`; the numbers heard, `-` for lost and `.` for nothing.
    fn play_all(&mut self, from: u64, frames: u64) -> String {
        let word = |n| match self.play(ms(from + n * 20)) {
            (Playout::Frame, Some(number)) => number.to_string(),
            (Playout::Missing, None) => "-".to_owned(),
            (Playout::Empty, None) => ".".to_owned(),
            other => panic!("{other:?}"),
        };
        (0..frames).map(word).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn the_first_packet_waits_for_the_depth() {
    let mut bench = Bench::new();
    assert_eq!(bench.play_all(0, 2), ". .");
    for n in 0..6 {
        bench.arrive(n, ms(100 + u64::from(n) * 20));
    }
    assert_eq!(bench.play_all(120, 9), ". . 0 1 2 3 4 5 .");
    let want = Counters { frames: 6, empty: 5, ..Counters::default() };
    assert_eq!(bench.buffer.counters(), want);
}

#[test]
fn order_and_duplicates_do_not_matter() {
    let mut bench = Bench::new();
    let verdicts = [1, 0, 3, 3, 2, 1, 5, 4].map(|n| bench.arrive(n, ms(0)));
    use Push::*;
    assert_eq!(verdicts, [Kept, Kept, Kept, Useless, Kept, Useless, Kept, Kept]);
    assert_eq!(bench.play_all(60, 6), "0 1 2 3 4 5");
    assert_eq!(bench.buffer.counters().duplicates, 2);
}

#[test]
fn a_lost_packet_takes_its_time_as_silence() {
    let mut bench = Bench::new();
    for n in [0, 1, 3, 6] {
        bench.arrive(n, ms(0));
    }
    assert_eq!(bench.play_all(60, 8), "0 1 - 3 - - 6 .");
    assert_eq!(bench.buffer.counters().missing, 3);
}

#[test]
fn a_late_packet_is_not_played() {
    let mut bench = Bench::new();
    for n in [0, 2, 3] {
        bench.arrive(n, ms(0));
    }
    assert_eq!(bench.play_all(60, 2), "0 -");
    assert_eq!(bench.arrive(1, ms(110)), Push::Useless);
    assert_eq!(bench.play_all(100, 2), "2 3");
    assert_eq!(bench.buffer.counters().late, 1);
}

/// Within the depth, jitter is not heard at all.
#[test]
fn jitter_below_the_depth_is_not_heard() {
    let mut bench = Bench::new();
    let mut arrivals: Vec<(u64, u32)> =
        (0..50u32).map(|n| (u64::from(n) * 20 + [0, 55, 12, 40, 3][n as usize % 5], n)).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    for tick in 0..53u64 {
        while let Some((_, n)) = arrivals.next_if(|(at, _)| *at <= tick * 20) {
            bench.arrive(n, ms(tick * 20));
        }
        let (playout, number) = bench.play(ms(tick * 20));
        if tick >= 3 {
            assert_eq!((playout, number), (Playout::Frame, Some(tick as u32 - 3)));
        }
    }
}

/// Packets of 10, 30 and 60 ms fill frames of 20 ms without a seam.
#[test]
fn packets_of_any_length() {
    for length in [80u32, 240, 480] {
        let mut buffer = Buffer::new(DEPTH);
        let count = 1440 / length;
        for n in 0..count {
            let start = n * length;
            let samples: Vec<i16> = (start..start + length).map(|t| t as i16 + 1).collect();
            assert_eq!(buffer.push(ms(0), start, samples.into_iter()), Push::Kept);
        }
        let mut out = [0; 160];
        for frame in 0..9i16 {
            assert_eq!(buffer.pop(ms(60), &mut out), Playout::Frame);
            assert_eq!((out[0], out[159]), (frame * 160 + 1, frame * 160 + 160));
        }
    }
}

/// The time a key or a silence took stays: nothing is skipped, nothing repeated.
#[test]
fn a_gap_in_the_timestamps_is_silence() {
    let mut bench = Bench::new();
    for n in [0, 1, 5] {
        bench.arrive(n, ms(0));
    }
    assert_eq!(bench.play_all(60, 7), "0 1 - - - 5 .");
}

#[test]
fn over_the_wrap_of_the_timestamp() {
    let mut buffer = Buffer::new(DEPTH);
    let start = u32::MAX - 200;
    for n in 0..4u32 {
        let samples = std::iter::repeat_n(n as i16 + 1, 160);
        assert_eq!(buffer.push(ms(0), start.wrapping_add(n * 160), samples), Push::Kept);
    }
    let mut out = [0; 160];
    for n in 1..=4 {
        assert_eq!((buffer.pop(ms(60), &mut out), out[80]), (Playout::Frame, n));
    }
}

/// A stream that stood still for longer than the buffer sets a new clock, wherever its timestamps go on.
#[test]
fn after_a_pause_it_begins_anew() {
    let mut bench = Bench::new();
    bench.arrive(0, ms(0));
    assert_eq!(bench.play_all(60, 1), "0");
    bench.play_all(80, 14);
    bench.arrive(1, ms(1000));
    assert_eq!(bench.play_all(1000, 5), ". . . 1 .");
    assert_eq!(bench.buffer.counters().late, 0);
}

/// A sender whose clock is slow, or whose timestamps jump back, is late for ever: after five packets its time is taken.
#[test]
fn late_for_ever_is_a_new_clock() {
    let mut bench = Bench::new();
    bench.arrive(100, ms(0));
    assert_eq!(bench.play_all(60, 1), "100");
    let verdicts: Vec<Push> = (10..16).map(|n| bench.arrive(n, ms(80))).collect();
    assert_eq!(verdicts.iter().filter(|v| **v == Push::Useless).count(), 4);
    assert_eq!(bench.play_all(140, 2), "14 15");
    assert_eq!(bench.buffer.counters().restarts, 1);
}

/// More than it can hold: the oldest are given up, so that the delay never grows beyond the buffer.
#[test]
fn it_is_bounded() {
    let mut bench = Bench::new();
    for n in 0..13 {
        bench.arrive(n, ms(0));
    }
    assert_eq!(bench.buffer.counters().restarts, 1);
    assert_eq!(bench.play_all(60, 2), "12 .");
}

#[test]
fn an_empty_packet_and_one_too_long() {
    let mut buffer = Buffer::new(DEPTH);
    assert_eq!(buffer.push(ms(0), 0, std::iter::empty()), Push::Useless);
    let long = std::iter::repeat_n(1, CAPACITY + 500);
    assert_eq!(buffer.push(ms(0), 0, long), Push::Kept);
    let mut out = [0; CAPACITY];
    assert_eq!(buffer.pop(ms(60), &mut out), Playout::Frame);
}

proptest::proptest! {
    /// Whatever arrives whenever: a frame holds only samples that were pushed with its timestamp, in order, each once.
    #[test]
    fn nothing_is_played_twice_or_out_of_order(
        order in proptest::collection::vec(0..60u32, 1..200),
    ) {
        let mut bench = Bench::new();
        let mut last = None;
        for (tick, n) in order.iter().enumerate() {
            let now = ms(tick as u64 * 7);
            let restarts = bench.buffer.counters().restarts;
            bench.arrive(*n, now);
            if bench.buffer.counters().restarts != restarts {
                last = None;
            }
            if tick % 3 == 0 && let (_, Some(played)) = bench.play(now) {
                proptest::prop_assert!(last.is_none_or(|l| l < played), "{played} after {last:?}");
                last = Some(played);
            }
        }
    }

    #[test]
    fn any_timestamps(pushes in proptest::collection::vec((proptest::num::u32::ANY, 0..3000usize, 0..500u64, 0..400usize), 0..60)) {
        let mut buffer = Buffer::new(DEPTH);
        let mut out = [0; 400];
        for (timestamp, length, at, play) in pushes {
            buffer.push(ms(at), timestamp, std::iter::repeat_n(1, length));
            buffer.pop(ms(at), &mut out[..play]);
        }
    }
}
