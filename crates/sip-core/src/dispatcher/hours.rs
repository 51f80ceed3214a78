//! Times of the week: `Mon-Fri 08:00-18:00`. The zone is a fixed distance from Greenwich; it knows no summer time.

use crate::time::Instant;

const DAY: u64 = 86_400;
const MINUTES: u32 = 24 * 60;

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// From a minute to another, on some days. One that ends before it begins goes on into the next morning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Monday is the lowest bit.
    days: u8,
    from: u32,
    /// Not included.
    to: u32,
}

impl Hours {
    /// Days, times, or both: `Mon-Fri 08:00-18:00`, `Sat,Sun`, `22:00-06:00`. Why not, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut hours = Self { days: 0x7f, from: 0, to: MINUTES };
        let mut words = text.split_ascii_whitespace();
        let first = words.next().ok_or("days and times, as in Mon-Fri 08:00-18:00")?;
        let times = match days(first) {
            Some(days) => {
                hours.days = days;
                words.next()
            }
            None => Some(first),
        };
        if let Some(times) = times {
            let (from, to) = times.split_once('-').ok_or("times as in 08:00-18:00")?;
            (hours.from, hours.to) = (minute(from)?, minute(to)?);
            if hours.from == hours.to {
                return Err("it ends when it begins");
            }
        }
        if words.next().is_some() {
            return Err("days and times, as in Mon-Fri 08:00-18:00");
        }
        Ok(hours)
    }

    /// `utc_offset`: seconds east of Greenwich.
    pub fn contains(&self, now: Instant, utc_offset: i32) -> bool {
        let local = now.as_secs().saturating_add_signed(utc_offset.into());
        // The first day of Unix time was a Thursday.
        let today = (local / DAY + 3) % 7;
        let minute = (local % DAY / 60) as u32;
        let on = |day: u64| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        (on(today) && minute >= self.from) || (on(today + 6) && minute < self.to)
    }
}

fn days(text: &str) -> Option<u8> {
    let day = |name: &str| NAMES.iter().position(|known| name.eq_ignore_ascii_case(known));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for at in first..=first + count {
            days |= 1 << (at % 7);
        }
    }
    Some(days)
}

fn minute(text: &str) -> Result<u32, &'static str> {
    const WRONG: &str = "times from 00:00 to 24:00";
    let (hour, minute) = text.split_once(':').ok_or(WRONG)?;
    let two = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|_| is_two)
    };
    match (two(hour), two(minute)) {
        (Some(hour), Some(minute)) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        (Some(24), Some(0)) => Ok(MINUTES),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday, 15 January 2027, 08:00 in Greenwich.
    const FRIDAY: u64 = 1_800_000_000;

    fn open(text: &str, hours_later: i64, utc_offset: i32) -> bool {
        let at = FRIDAY.saturating_add_signed(hours_later * 3_600);
        Hours::parse(text).unwrap().contains(Instant::from_secs(at), utc_offset)
    }

    #[test]
    fn days_and_times() {
        assert!(open("Mon-Fri 08:00-18:00", 0, 0), "it begins");
        assert!(!open("Mon-Fri 08:00-18:00", -1, 0));
        assert!(open("Mon-Fri 08:00-18:00", 9, 0) && !open("Mon-Fri 08:00-18:00", 10, 0));
        assert!(!open("Mon-Fri 08:00-18:00", 24, 0), "Saturday");
        assert!(open("Sat,sun", 24, 0) && open("sat,SUN", 48, 0) && !open("Sat,Sun", 72, 0));
        assert!(open("Fri-Mon", 24 * 3, 0) && !open("Fri-Mon", 24 * 4, 0), "around the week");
        assert!(open("09:00-10:00", 0, 3_600) && !open("09:00-10:00", 0, 0), "an hour east");
        assert!(open("Thu", 0, -9 * 3_600), "it is still Thursday in the west");
        assert!(open("00:00-24:00", 15, 0));
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began() {
        assert!(open("Fri 22:00-06:00", 15, 0), "Friday at 23");
        assert!(open("Fri 22:00-06:00", 21, 0), "Saturday at 5");
        assert!(!open("Fri 22:00-06:00", -3, 0), "Friday at 5");
        assert!(!open("Fri 22:00-06:00", 22, 0), "Saturday at 6");
    }

    #[test]
    fn what_is_no_time_says_so() {
        for bad in [
            "",
            "Mon-Fri 8-18",
            "Foo",
            "08:00",
            "25:00-26:00",
            "08:60-09:00",
            "Mon 1 2",
            "08:00-08:00",
            "Mon Tue",
            "24:01-02:00",
            "+8:00-09:00",
        ] {
            assert!(Hours::parse(bad).is_err(), "{bad}");
        }
    }
}
