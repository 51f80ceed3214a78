//! NTP time stamps, and the round trip they give (RFC 3550 §4, §6.4.1).

use std::time::Duration;

/// Seconds between 1900, where NTP begins, and 1970.
const UNIX: u64 = 2_208_988_800;

/// Seconds since 1900 in 32.32 fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ntp(pub u64);

impl Ntp {
    /// `now` counted from the Unix epoch gives true NTP time. Any other origin serves as well: RFC 3550 §4 allows a
    /// system without wall clock to use its uptime, and only differences are ever used.
    pub fn at(now: Duration) -> Self {
        let seconds = now.as_secs().wrapping_add(UNIX);
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The middle 32 bits: seconds and fraction in 16.16 (RFC 3550 §4).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// 65536ths of a second, as DLSR counts; more than 18 hours saturate.
pub(crate) fn units(time: Duration) -> u32 {
    u32::try_from(time.as_nanos() * 65_536 / 1_000_000_000).unwrap_or(u32::MAX)
}

/// RFC 3550 §6.4.1: arrival minus LSR minus DLSR. `None`: the peer had no sender report of ours yet, or its figures
/// would have the answer arrive before the question.
pub fn round_trip(now: Duration, last_sender_report: u32, delay: u32) -> Option<Duration> {
    if last_sender_report == 0 {
        return None;
    }
    between(Ntp::at(now).middle(), last_sender_report, delay)
}

fn between(arrival: u32, last_sender_report: u32, delay: u32) -> Option<Duration> {
    let units = arrival.wrapping_sub(last_sender_report).wrapping_sub(delay);
    // Half of the range is the past: clocks that round differently can make a tiny negative trip.
    if units > u32::MAX / 2 {
        return None;
    }
    Some(Duration::from_nanos(u64::from(units) * 1_000_000_000 / 65_536))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 3550 §6.4.1 figure 2.
    #[test]
    fn the_round_trip_of_the_rfc() {
        let trip = between(0xb710_8000, 0xb705_2000, 0x0005_4000);
        assert_eq!(trip, Some(Duration::from_millis(6125)));
    }

    #[test]
    fn a_trip_measured() {
        let sent = Duration::from_millis(1_700_000_000_123);
        let report = Ntp::at(sent).middle();
        let delay = units(Duration::from_millis(2_000));
        let trip = round_trip(sent + Duration::from_millis(2_040), report, delay).unwrap();
        assert!((39..=41).contains(&trip.as_millis()), "{trip:?}");
        assert_eq!(round_trip(sent, 0, 0), None);
        assert_eq!(round_trip(sent, report, delay), None);
    }

    #[test]
    fn the_epoch() {
        assert_eq!(Ntp::at(Duration::from_millis(1500)).0, (2_208_988_801 << 32) | (1 << 31));
    }
}
