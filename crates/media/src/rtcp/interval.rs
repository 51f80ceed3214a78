//! When the next report is due (RFC 3550 §6.2, §6.3.1), for a session of two: there the fixed minimum always decides,
//! and nothing has to be reconsidered.

use std::time::Duration;

/// RFC 3550 §6.2: "the RECOMMENDED value for a fixed minimum interval is 5 seconds".
const MINIMUM: Duration = Duration::from_secs(5);
/// RFC 3550 §6.3.1: e - 3/2, which undoes the shift that timer reconsideration brings.
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

/// The time to the next report. `random` is between 0 and 1, fresh each time. The first report comes after half of it
/// (RFC 3550 §6.2).
pub fn interval(first: bool, random: f64) -> Duration {
    let factor = 0.5 + random.clamp(0.0, 1.0);
    let half = if first { 0.5 } else { 1.0 };
    MINIMUM.mul_f64(half * factor / COMPENSATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_half_and_one_and_a_half() {
        let ms = |first, random| interval(first, random).as_millis();
        assert_eq!([ms(false, 0.0), ms(false, 0.5), ms(false, 1.0)], [2052, 4104, 6156]);
        assert_eq!([ms(true, 0.0), ms(true, 1.0)], [1026, 3078]);
        assert_eq!(ms(false, f64::INFINITY), 6156);
    }
}
