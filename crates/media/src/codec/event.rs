//! `telephone-event` (RFC 4733): keys sent as names instead of tones. `Transmission` makes the payloads of one key,
//! `Reception` finds each key once, whatever was lost or sent twice. Neither knows RTP headers or time.

/// A key on a telephone (RFC 4733 §3.2 table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u8);

impl Key {
    /// `0`-`9`, `*`, `#`, `A`-`D` in either case.
    pub const fn of_char(c: char) -> Option<Self> {
        match c {
            '0'..='9' => Some(Self(c as u8 - b'0')),
            '*' => Some(Self(10)),
            '#' => Some(Self(11)),
            'A'..='D' => Some(Self(c as u8 - b'A' + 12)),
            'a'..='d' => Some(Self(c as u8 - b'a' + 12)),
            _ => None,
        }
    }

    /// Events 0 to 15 are the keys; tones of lines and modems are none.
    pub const fn of_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    pub const fn event(self) -> u8 {
        self.0
    }

    pub const fn char(self) -> char {
        match self.0 {
            10 => '*',
            11 => '#',
            code if code < 10 => (b'0' + code) as char,
            code => (b'A' + code - 12) as char,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.char())
    }
}

/// The payload (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub event: u8,
    /// The event is over; `duration` is final.
    pub end: bool,
    /// Power in dBm0 without its sign: 0 is loudest, 63 softest.
    pub volume: u8,
    /// Since the packet's timestamp, in timestamp units.
    pub duration: u16,
}

impl Report {
    pub const LENGTH: usize = 4;

    /// The first report of a payload; `None` if it is cut short. More than one (RFC 4733 §2.5.1.5) is for events of
    /// modems, which are no keys.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low, ..] = *payload else { return None };
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    pub const fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [high, low] = self.duration.to_be_bytes();
        let end = if self.end { 0x80 } else { 0 };
        [self.event, end | (self.volume & 0x3f), high, low]
    }
}

/// One key being sent: a report each frame while it is down, then the end three times (RFC 4733 §2.5.1.4).
#[derive(Clone, Copy, Debug)]
pub struct Transmission {
    key: Key,
    /// The RTP timestamp of all its packets.
    pub timestamp: u32,
    duration: u16,
    so_far: u16,
    ends: u8,
}

/// How often the last report is sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// -10 dBm0, what most telephones send.
const VOLUME: u8 = 10;

impl Transmission {
    /// `duration` in samples, as long as the key is down.
    pub fn start(key: Key, timestamp: u32, duration: u16) -> Self {
        Self { key, timestamp, duration: duration.max(1), so_far: 0, ends: 0 }
    }

    /// True before the first report: its packet carries the marker (RFC 4733 §2.2.2).
    pub const fn is_first(&self) -> bool {
        self.so_far == 0
    }

    /// The report of a frame of so many samples, `None` when all are sent.
    pub fn advance(&mut self, samples: u16) -> Option<Report> {
        if self.ends >= ENDS {
            return None;
        }
        self.so_far = self.so_far.saturating_add(samples.max(1)).min(self.duration);
        let end = self.so_far == self.duration;
        self.ends += u8::from(end);
        Some(Report { event: self.key.event(), end, volume: VOLUME, duration: self.so_far })
    }
}

/// Reads the reports of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reception {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    report: Report,
}

impl Reception {
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// The key of a report, the first time a packet of it arrives. All packets of an event have its timestamp, so
    /// whichever of them survives names it, and the others say nothing new (RFC 4733 §2.3.5, §2.5.2.2).
    pub fn on_report(&mut self, timestamp: u32, report: Report) -> Option<Key> {
        if let Some(last) = &mut self.last {
            let ahead = timestamp.wrapping_sub(last.timestamp);
            if ahead == 0 {
                last.report.end |= report.end;
                last.report.duration = last.report.duration.max(report.duration);
                return None;
            }
            // An older event than the newest: its packets are late, and what it said was known or is out of order.
            if ahead > u32::MAX / 2 {
                return None;
            }
            // RFC 4733 §2.5.1.3: an event longer than a duration can say goes on as a new segment, whose timestamp is
            // where the last one ended.
            let segment = !last.report.end
                && last.report.event == report.event
                && ahead == u32::from(last.report.duration)
                && last.report.duration == u16::MAX;
            *last = Last { timestamp, report };
            return if segment { None } else { Key::of_event(report.event) };
        }
        self.last = Some(Last { timestamp, report });
        Key::of_event(report.event)
    }
}

#[cfg(test)]
mod tests;
