//! `Seal`: the keyed MAC on every token we will be asked to believe later (Via branch, Record-Route, nonce, To
//! tag). SipHash-2-4 is a PRF: short, keyed and about 20 ns. It hides nothing; it only proves we wrote it.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// What a token is for. A token of one purpose is never valid for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    Branch = 1,
    RecordRoute = 2,
    Nonce = 3,
    Tag = 4,
    Owner = 5,
    Loop = 6,
    /// Places in the shared tables: keyed, so that nobody can choose names that collide.
    Table = 7,
    /// Server transactions: keyed for the same reason.
    Transaction = 8,
    /// Which of several equal destinations a call takes.
    Path = 9,
    /// Keep-alives of phones behind NATs.
    Ping = 20,
    /// Aliases of Contacts.
    Alias = 21,
}

#[derive(Clone)]
pub struct Seal {
    hasher: SipHasher24,
}

/// What is sealed is mostly short: up to here it is hashed in one go, which takes half the time of piecemeal.
const SHORT: usize = 192;

impl Seal {
    /// `key`: 16 random bytes, kept over restarts so that sealed routes and nonces outlive the process.
    pub fn new(key: [u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(&key) }
    }

    /// MAC over `parts`. Lengths are part of the input: ("ab","c") and ("a","bc") differ.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> u64 {
        let mut text = [0; SHORT];
        text[0] = purpose as u8;
        let mut end = 1;
        for part in parts {
            let Some(place) = text.get_mut(end..end + 4 + part.len()) else {
                return self.mac_long(purpose, parts);
            };
            let (len, bytes) = place.split_at_mut(4);
            len.copy_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.copy_from_slice(part);
            end += 4 + part.len();
        }
        self.hasher.hash(text.get(..end).unwrap_or_default())
    }

    /// Another seal for the same `purpose`, good only where `salt` is the same.
    #[must_use]
    pub fn derive(&self, purpose: Purpose, salt: &[u8]) -> Self {
        let mut key = [0; 16];
        let (low, high) = key.split_at_mut(8);
        low.copy_from_slice(&self.mac(purpose, &[b"derive low", salt]).to_le_bytes());
        high.copy_from_slice(&self.mac(purpose, &[b"derive high", salt]).to_le_bytes());
        Self::new(key)
    }

    /// The same over the same bytes, whatever their length.
    fn mac_long(&self, purpose: Purpose, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(&[purpose as u8]);
        for part in parts {
            hasher.write(&(part.len() as u32).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish()
    }
}

impl core::fmt::Debug for Seal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_key_and_cut_matter() {
        let seal = Seal::new([7; 16]);
        let mac = seal.mac(Purpose::Branch, &[b"ab", b"c"]);
        assert_eq!(mac, seal.mac(Purpose::Branch, &[b"ab", b"c"]));
        assert_ne!(mac, seal.mac(Purpose::Branch, &[b"a", b"bc"]));
        assert_ne!(mac, seal.mac(Purpose::Tag, &[b"ab", b"c"]));
        assert_ne!(mac, Seal::new([8; 16]).mac(Purpose::Branch, &[b"ab", b"c"]));
    }

    #[test]
    fn a_derived_seal_is_another_one() {
        let seal = Seal::new([7; 16]);
        let mac = |seal: &Seal| seal.mac(Purpose::Branch, &[b"ab"]);
        let one = seal.derive(Purpose::Branch, b"one");
        assert_eq!(mac(&one), mac(&seal.derive(Purpose::Branch, b"one")));
        assert_ne!(mac(&one), mac(&seal.derive(Purpose::Branch, b"two")));
        assert_ne!(mac(&one), mac(&seal));
    }

    #[test]
    fn length_does_not_change_the_way_of_hashing() {
        let seal = Seal::new([7; 16]);
        let text = [b'x'; 2 * SHORT];
        for len in 0..text.len() {
            let parts = [b"part", &text[..len]];
            assert_eq!(seal.mac(Purpose::Tag, &parts), seal.mac_long(Purpose::Tag, &parts));
        }
    }
}
