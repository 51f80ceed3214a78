//! Names that nobody can guess: tags, Call-IDs, cnonces (RFC 3261 §19.3, §8.1.1.4), and chance where an RFC asks for it.
//! Everything comes from one seed and a counter, so that the same inputs give the same outputs.

use crate::seal::{Purpose, Seal};
use crate::time::Duration;

pub(super) struct Mint {
    seal: Seal,
    count: u64,
}

impl Mint {
    pub fn new(seal: &Seal) -> Self {
        Self { seal: seal.derive(Purpose::Tag, b"user agent"), count: 0 }
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.seal.mac(Purpose::Tag, &[&self.count.to_le_bytes()])
    }

    /// RFC 3261 §19.3: at least 32 bits of randomness.
    pub fn tag(&mut self) -> Box<str> {
        format!("{:016x}", self.next()).into()
    }

    pub fn cnonce(&mut self) -> String {
        format!("{:016x}", self.next())
    }

    pub fn call_id(&mut self) -> Box<str> {
        format!("{:016x}{:016x}", self.next(), self.next()).into()
    }

    /// Below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// From `least` to `most`, both included, in steps of 10 ms (RFC 3261 §14.1).
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let steps = (most.saturating_sub(least).as_millis() / 10) as u64;
        least + Duration::from_millis(10 * self.below(steps + 1))
    }
}
