//! A latency histogram of fixed size: logarithmic buckets, 32 to a doubling, so a value is known to about 3 %.
//! Recording is an index computation; nothing is ever allocated or sorted.

use std::time::Duration;

/// 2^5 buckets to a doubling; values up to 2^40 ns (18 minutes).
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
const BUCKETS: usize = FINE * (41 - FINE_BITS as usize);

#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, min: u64::MAX, max: 0 }
    }
}

fn bucket(nanos: u64) -> usize {
    let high = 63 - (nanos | 1).leading_zeros();
    if high < FINE_BITS {
        return nanos as usize;
    }
    let shift = high - FINE_BITS;
    let index = FINE * (shift as usize + 1) + ((nanos >> shift) as usize - FINE);
    index.min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper(index: usize) -> u64 {
    if index < FINE {
        return index as u64;
    }
    let (shift, fine) = (index / FINE - 1, index % FINE);
    (((FINE + fine + 1) as u64) << shift) - 1
}

impl Histogram {
    pub fn record(&mut self, nanos: u64) {
        if let Some(cell) = self.buckets.get_mut(bucket(nanos)) {
            *cell += 1;
        }
        self.count += 1;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Takes another one's values too.
    pub fn add(&mut self, other: &Histogram) {
        for (cell, more) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *cell += more;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn min(&self) -> Duration {
        Duration::from_nanos(if self.count == 0 { 0 } else { self.min })
    }

    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The value that `per_mille` thousandths of all values do not exceed; 0 when there are none.
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(index).clamp(self.min.min(self.max), self.max));
            }
        }
        self.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_known_to_three_percent() {
        for nanos in [0, 1, 31, 32, 33, 63, 64, 1_000, 123_456, 7_000_000, 32_000_000_000] {
            let up = upper(bucket(nanos));
            assert!(up >= nanos && up as f64 <= nanos as f64 * 1.032, "{nanos} {up}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut h = Histogram::default();
        assert_eq!(h.quantile(990), Duration::ZERO);
        (1..=1_000).for_each(|ms: u64| h.record(ms * 1_000_000));
        for (per_mille, ms) in [(500, 500.0), (900, 900.0), (990, 990.0), (1_000, 1_000.0)] {
            let got = h.quantile(per_mille).as_secs_f64() * 1e3;
            assert!((got / ms - 1.0).abs() < 0.033, "{per_mille}: {got}");
        }
        assert_eq!((h.min().as_millis(), h.max().as_millis(), h.count()), (1, 1_000, 1_000));
        let mut more = Histogram::default();
        more.record(5_000_000_000);
        more.add(&h);
        assert_eq!((more.min(), more.max().as_secs(), more.count()), (h.min(), 5, 1_001));
    }
}
