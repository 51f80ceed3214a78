//! What a receiver counts about one source (RFC 3550 §A.1, §A.3, §A.8): sequence numbers beyond 16 bits, loss,
//! duplicates, jitter. It holds no packet and knows nothing of playing them.

use std::time::Duration;

/// A jump of fewer packets than this forward is loss (RFC 3550 §A.1 `MAX_DROPOUT`).
const DROPOUT_MAX: u16 = 3000;
/// A step back of fewer packets than this is reordering (RFC 3550 §A.1 `MAX_MISORDER`).
const MISORDER_MAX: u16 = 100;
/// Counting begins one cycle up, so that a packet from before the first has a number too.
const CYCLE: u32 = 1 << 16;

/// What a sequence number says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before.
    Newest,
    /// Older than the newest, and not seen before.
    Reordered,
    Duplicate,
    /// A jump too large to be loss: the packet is not counted. If the next one follows it, the source has restarted.
    Jump,
    /// The packet after a jump, and right behind it: counting began anew.
    Restarted,
}

/// One synchronization source.
///
/// RFC 3550 §A.1 puts a new source on probation; here the caller knows its peer from signalling and starts a `Source`
/// with the first packet it believes, so that every packet is counted.
#[derive(Clone, Debug)]
pub struct Source {
    ssrc: u32,
    /// The first sequence number, and the highest with its wraps.
    base: u32,
    highest: u32,
    /// Where a restarted source would go on.
    after_jump: Option<u16>,
    received: u32,
    duplicates: u32,
    /// Bit n: the packet n before the highest arrived.
    window: u128,
    /// What earlier runs of this source expected and received, before a restart.
    before: (u64, u64),
    expected_prior: u32,
    received_prior: u32,
    clock_rate: u32,
    transit: Option<u32>,
    /// In timestamp units, times 16 (RFC 3550 §A.8).
    jitter: u32,
}

impl Source {
    /// Begins with the packet that has this sequence number; that packet still has to be counted by
    /// [`Self::on_sequence`].
    pub fn new(ssrc: u32, sequence: u16, clock_rate: u32) -> Self {
        Self {
            ssrc,
            base: CYCLE + u32::from(sequence),
            highest: CYCLE + u32::from(sequence),
            after_jump: None,
            received: 0,
            duplicates: 0,
            window: 0,
            before: (0, 0),
            expected_prior: 0,
            received_prior: 0,
            clock_rate,
            transit: None,
            jitter: 0,
        }
    }

    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// RFC 3550 §A.1 `update_seq`.
    pub fn on_sequence(&mut self, sequence: u16) -> Arrival {
        if self.received == 0 {
            self.window = 1;
            self.received = 1;
            return Arrival::Newest;
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead == 0 {
            return self.count_again();
        }
        if ahead < DROPOUT_MAX {
            self.after_jump = None;
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received = self.received.saturating_add(1);
            return Arrival::Newest;
        }
        let behind = ahead.wrapping_neg();
        if behind <= MISORDER_MAX {
            let bit = 1u128 << behind;
            if self.window & bit != 0 {
                return self.count_again();
            }
            self.window |= bit;
            // A packet from before the first makes the stream begin earlier.
            self.base = self.base.min(self.highest.wrapping_sub(u32::from(behind)));
            self.received = self.received.saturating_add(1);
            return Arrival::Reordered;
        }
        // RFC 3550 §A.1: "Two sequential packets -- assume that the other side restarted without telling us".
        if self.after_jump == Some(sequence) {
            self.restart(sequence);
            return Arrival::Restarted;
        }
        self.after_jump = Some(sequence.wrapping_add(1));
        Arrival::Jump
    }

    const fn count_again(&mut self) -> Arrival {
        self.duplicates = self.duplicates.saturating_add(1);
        Arrival::Duplicate
    }

    fn restart(&mut self, sequence: u16) {
        let (expected, received) = (self.expected(), self.received());
        let fresh = Self::new(self.ssrc, sequence, self.clock_rate);
        let duplicates = self.duplicates;
        *self = Self { before: (expected, received), duplicates, jitter: self.jitter, ..fresh };
        self.window = 1;
        self.received = 1;
    }

    /// RFC 3550 §A.8, with the arithmetic in integers as there. Packets that repeat a timestamp on purpose
    /// (telephone-event) are not to be told to it.
    pub fn on_timestamp(&mut self, now: Duration, timestamp: u32) {
        let transit = self.units(now).wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs();
            // A difference of a minute is a stream that stood still, not a network that did.
            if difference < self.clock_rate.saturating_mul(60) {
                let decay = self.jitter.saturating_add(8) >> 4;
                self.jitter = self.jitter.saturating_sub(decay).saturating_add(difference);
            }
        }
    }

    /// Forgets the transit time of the last packet: after silence the next says nothing about jitter.
    pub const fn forget_transit(&mut self) {
        self.transit = None;
    }

    /// A time in timestamp units, modulo 2^32.
    fn units(&self, time: Duration) -> u32 {
        let whole = time.as_secs().wrapping_mul(u64::from(self.clock_rate));
        let part = u64::from(time.subsec_nanos()) * u64::from(self.clock_rate) / 1_000_000_000;
        whole.wrapping_add(part) as u32
    }

    /// The highest sequence number with its wraps (RFC 3550 §6.4.1 "extended highest sequence number received").
    pub const fn highest(&self) -> u32 {
        self.highest.wrapping_sub(CYCLE)
    }

    /// Packets that should have arrived (RFC 3550 §A.3).
    pub fn expected(&self) -> u64 {
        let now = if self.received == 0 { 0 } else { u64::from(self.run_expected()) };
        self.before.0 + now
    }

    const fn run_expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    /// Packets that arrived, each counted once.
    pub const fn received(&self) -> u64 {
        self.before.1 + self.received as u64
    }

    pub const fn duplicates(&self) -> u32 {
        self.duplicates
    }

    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received())
    }

    /// RFC 3550 §A.3 `lost`, as a report carries it: in 24 bits with sign, duplicates making up for losses.
    pub fn cumulative_lost(&self) -> i32 {
        let lost = self.expected() as i64 - self.received() as i64 - i64::from(self.duplicates);
        lost.clamp(-0x80_0000, 0x7f_ffff) as i32
    }

    /// RFC 3550 §A.3: the share lost since this was asked last, in 256ths.
    pub fn fraction_lost(&mut self) -> u8 {
        let received = self.received.saturating_add(self.duplicates);
        let expected = self.run_expected();
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = received;
        let lost = expected_interval.saturating_sub(received_interval);
        if expected_interval == 0 {
            return 0;
        }
        (u64::from(lost) * 256 / u64::from(expected_interval)).min(255) as u8
    }

    /// Interarrival jitter in timestamp units, as a report carries it.
    pub const fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    pub fn jitter_ms(&self) -> f64 {
        f64::from(self.jitter) / 16.0 * 1000.0 / f64::from(self.clock_rate)
    }
}

#[cfg(test)]
mod tests;
