//! The jitter buffer: packets in at the pace of the network, frames out at the pace of the listener.
//!
//! It keeps samples by their RTP timestamp, so that packets of any length, reordered or twice, find their place, and
//! the time an event or a silence takes is neither skipped nor made up. The delay is fixed and never adapts: the first
//! packet is played `depth` after it came, and the others follow its clock. When several packets in a row are too late,
//! or one is too early for the buffer, the clocks have drifted or the stream was restarted, and it begins anew.

use std::time::Duration;

/// Samples it holds: 256 ms. More delay than that is no conversation.
pub const CAPACITY: usize = 2048;
/// Three packets of 20 ms.
pub const DEPTH: Duration = Duration::from_millis(60);
/// So many late packets in a row are not jitter any more.
const LATE_MAX: u32 = 5;
const MASK: u32 = CAPACITY as u32 - 1;

/// What a frame is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playout {
    /// All of it arrived.
    Frame,
    /// Some or all of it is lost: later packets are here. The gaps are silence.
    Missing,
    /// Nothing is here to play. The frame is silence.
    Empty,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    Kept,
    /// Its time had passed, or all of it was there before.
    Useless,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub frames: u64,
    pub missing: u64,
    pub empty: u64,
    /// Packets that came after their time.
    pub late: u64,
    pub duplicates: u64,
    /// Times it began anew.
    pub restarts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The first packet is here, and waits.
    Filling {
        until: Duration,
    },
    Playing,
}

#[derive(Clone, Debug)]
pub struct Buffer {
    samples: Box<[i16]>,
    /// One bit a sample: it is there.
    present: Box<[u64]>,
    state: State,
    depth: Duration,
    /// The timestamp played next.
    position: u32,
    /// The timestamp after the newest sample.
    end: u32,
    late_run: u32,
    /// Samples played from nothing since the last real one.
    dry: usize,
    counters: Counters,
}

impl Buffer {
    /// Allocates all it ever needs.
    pub fn new(depth: Duration) -> Self {
        Self {
            samples: vec![0; CAPACITY].into_boxed_slice(),
            present: vec![0; CAPACITY / 64].into_boxed_slice(),
            state: State::Idle,
            depth,
            position: 0,
            end: 0,
            late_run: 0,
            dry: 0,
            counters: Counters::default(),
        }
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    pub const fn depth(&self) -> Duration {
        self.depth
    }

    /// Forgets what it holds: the next packet is the first of another source.
    pub fn reset(&mut self) {
        self.state = State::Idle;
        self.present.fill(0);
        self.late_run = 0;
        self.dry = 0;
    }

    /// A packet arrived. More samples than fit are cut off.
    pub fn push(
        &mut self,
        now: Duration,
        timestamp: u32,
        samples: impl ExactSizeIterator<Item = i16>,
    ) -> Push {
        let length = samples.len().min(CAPACITY) as u32;
        if length == 0 {
            return Push::Useless;
        }
        if !self.make_room(now, timestamp, length) {
            return Push::Useless;
        }
        self.late_run = 0;
        let mut fresh = false;
        for (at, sample) in (timestamp..=u32::MAX).chain(0..).zip(samples.take(CAPACITY)) {
            // The beginning of a packet may have been played as lost.
            if (at.wrapping_sub(self.position) as i32) >= 0 {
                fresh |= self.put(at, sample);
            }
        }
        let end = timestamp.wrapping_add(length);
        if (end.wrapping_sub(self.end) as i32) > 0 {
            self.end = end;
        }
        if fresh {
            Push::Kept
        } else {
            self.counters.duplicates += 1;
            Push::Useless
        }
    }

    /// Whether a packet may go in; the buffer begins anew where that is the only way.
    fn make_room(&mut self, now: Duration, timestamp: u32, length: u32) -> bool {
        let start = timestamp.wrapping_sub(self.position) as i32;
        let end = start.saturating_add(length as i32);
        match self.state {
            State::Idle => self.begin(now, timestamp),
            // Before the first has been played, an older one may still go in front of it.
            State::Filling { .. } if start < 0 => {
                if self.end.wrapping_sub(timestamp) > CAPACITY as u32 {
                    self.counters.late += 1;
                    return false;
                }
                self.position = timestamp;
            }
            State::Playing if end <= 0 => {
                self.late_run += 1;
                if self.late_run < LATE_MAX {
                    self.counters.late += 1;
                    return false;
                }
                self.restart(now, timestamp);
            }
            _ if end > CAPACITY as i32 => self.restart(now, timestamp),
            _ => {}
        }
        true
    }

    fn restart(&mut self, now: Duration, timestamp: u32) {
        self.reset();
        self.counters.restarts += 1;
        self.begin(now, timestamp);
    }

    fn begin(&mut self, now: Duration, timestamp: u32) {
        self.state = State::Filling { until: now + self.depth };
        self.position = timestamp;
        self.end = timestamp;
    }

    /// True if the sample was not there yet.
    fn put(&mut self, at: u32, value: i16) -> bool {
        let index = (at & MASK) as usize;
        let Some(word) = self.present.get_mut(index / 64) else { return false };
        let bit = 1u64 << (index % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        if let Some(sample) = self.samples.get_mut(index) {
            *sample = value;
        }
        true
    }

    /// Takes the sample out.
    fn take(&mut self, at: u32) -> Option<i16> {
        let index = (at & MASK) as usize;
        let word = self.present.get_mut(index / 64)?;
        let bit = 1u64 << (index % 64);
        let there = *word & bit != 0;
        *word &= !bit;
        self.samples.get(index).copied().filter(|_| there)
    }

    /// Plays the next `out.len()` samples, at most `CAPACITY`. To be called once for each such time that passes; `now`
    /// only decides when the first is played.
    pub fn pop(&mut self, now: Duration, out: &mut [i16]) -> Playout {
        if let State::Filling { until } = self.state
            && now >= until
        {
            self.state = State::Playing;
        }
        if self.state != State::Playing {
            out.fill(0);
            self.counters.empty += 1;
            return Playout::Empty;
        }
        let mut absent = 0;
        for sample in out.iter_mut() {
            let there = self.take(self.position);
            absent += usize::from(there.is_none());
            *sample = there.unwrap_or(0);
            self.position = self.position.wrapping_add(1);
        }
        if absent == 0 {
            self.dry = 0;
            self.counters.frames += 1;
            return Playout::Frame;
        }
        if absent < out.len() || (self.end.wrapping_sub(self.position) as i32) > 0 {
            self.dry = 0;
            self.counters.missing += 1;
            return Playout::Missing;
        }
        self.dry += out.len();
        if self.dry >= CAPACITY {
            // The stream stopped; whatever comes next sets a new clock.
            self.reset();
        }
        self.counters.empty += 1;
        Playout::Empty
    }
}

#[cfg(test)]
mod tests;
