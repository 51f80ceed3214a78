//! `Instant` to and from the DATETIME text of the tables: `2026-11-23 22:31:07`, UTC. A binding's end is rounded up to
//! the second, so that storing one never shortens it. It reads no clock.

use sip_core::time::Instant;

const DAY: u64 = 86_400;

/// Days since 1970-01-01 to year, month, day, and back: years of the proleptic Gregorian calendar that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, of_era) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day.checked_sub(1)?;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day).checked_sub(719_468)
}

/// Rounded up.
pub fn text(at: Instant) -> String {
    // The column is four digits of year wide.
    let seconds = at.0.div_ceil(1_000_000).min(253_402_300_799);
    let (year, month, day) = civil(seconds / DAY);
    let of_day = seconds % DAY;
    let mut text = String::with_capacity(19);
    let mut digits = |value: u64, width: u32, after: &str| {
        for place in (0..width).rev() {
            let digit = value / 10u64.pow(place) % 10;
            text.push(char::from(b'0' + digit as u8));
        }
        text.push_str(after);
    };
    digits(year, 4, "-");
    digits(month, 2, "-");
    digits(day, 2, " ");
    digits(of_day / 3600, 2, ":");
    digits(of_day / 60 % 60, 2, ":");
    digits(of_day % 60, 2, "");
    text
}

/// `None` for what is no such text.
pub fn parse(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| {
        bytes.get(range)?.iter().try_fold(0u64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second;
    Some(Instant::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(text(Instant::ZERO), "1970-01-01 00:00:00");
        assert_eq!(text(Instant::from_secs(951_782_400)), "2000-02-29 00:00:00");
        assert_eq!(text(Instant::from_secs(1_906_234_295)), "2030-05-28 21:31:35");
        assert_eq!(text(Instant(1_000_001)), "1970-01-01 00:00:02");
        assert_eq!(text(Instant::FAR), "9999-12-31 23:59:59");
    }

    #[test]
    fn there_and_back() {
        for day in 0..40_000u64 {
            let at = Instant::from_secs(day * DAY + day % DAY);
            assert_eq!(parse(&text(at)), Some(at));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "2026", "2026-13-01 00:00:00", "2026-00-01 00:00:00", "yyyy-01-01 00:00:00"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
