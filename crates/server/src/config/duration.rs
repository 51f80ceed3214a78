//! `30s`, `5m`, `1h`, `200us`: how durations are written. It knows nothing of what they are for.

use std::time::Duration;

const UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

pub fn parse(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "a duration is a number and a unit: 500ms, 30s, 5m, 1h, 1d";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| WANTED)?;
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(WANTED)?;
    number.checked_mul(*micros).map(Duration::from_micros).ok_or("longer than a lifetime")
}

/// The largest unit that says it exactly.
pub fn text(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let fits = UNITS.iter().rev().find(|(_, unit)| micros >= *unit && micros % unit == 0);
    fits.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for written in ["200us", "5ms", "30s", "5m", "1h", "7d", "0s"] {
            assert_eq!(parse(written).map(text).as_deref(), Ok(written));
        }
        assert_eq!(parse("90s").map(text).as_deref(), Ok("90s"));
        assert_eq!(parse("120s").map(text).as_deref(), Ok("2m"));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            ["", "s", "5", "5 weeks", "-5s", "1.5h", "99999999999999999999s", "999999999999999d"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
