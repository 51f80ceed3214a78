//! `Accounts`: who may say who they are, in memory: `user@domain` -> HA1 per algorithm. No password is kept
//! (RFC 7616 §5.10). It never decides a request; `mod.rs` does.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::config::Algorithm;
use crate::forwarding::Forwards;
use crate::seal::{Purpose, Seal};

use super::digest::{self, Hash};

/// Longest user and domain part, in bytes: the widths of the `subscriber` table.
pub const USER_MAX: usize = 64;
pub const DOMAIN_MAX: usize = 64;

/// The stored secret, one hash per algorithm. An imported account may have only one of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ha1 {
    sha256: Option<[u8; 32]>,
    md5: Option<[u8; 16]>,
}

impl core::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ha1(..)")
    }
}

impl Ha1 {
    /// From hexadecimal, as [`ha1`](super::ha1) writes it. `None` if one of them is not of its algorithm's form.
    pub fn from_hex(sha256: Option<&str>, md5: Option<&str>) -> Option<Self> {
        let mut ha1 = Self::default();
        if let Some(text) = sha256 {
            ha1.sha256 = Some(digest::ha1_from_hex(Algorithm::Sha256, text)?);
        }
        if let Some(text) = md5 {
            ha1.md5 = digest::ha1_from_hex(Algorithm::Md5, text)?.first_chunk().copied();
        }
        Some(ha1)
    }

    /// All algorithms at once, from a password that is then forgotten.
    pub fn from_password(user: &str, realm: &str, password: &str) -> Self {
        let hex = |algorithm| digest::ha1(algorithm, user, realm, password);
        let (sha256, md5) = (hex(Algorithm::Sha256), hex(Algorithm::Md5));
        Self::from_hex(Some(&sha256), Some(&md5)).unwrap_or_default()
    }

    /// What an unknown user's answer is checked against, so that it takes as long as a known one's.
    pub(super) const fn nobody(algorithm: Algorithm) -> Hash {
        Hash::new(algorithm, [0; 32])
    }

    pub(super) fn for_algorithm(&self, algorithm: Algorithm) -> Option<Hash> {
        let mut bytes = [0; 32];
        match algorithm {
            Algorithm::Sha256 => bytes = self.sha256?,
            Algorithm::Md5 => bytes[..16].copy_from_slice(&self.md5?),
        }
        Some(Hash::new(algorithm, bytes))
    }
}

#[derive(Clone, Debug)]
pub struct Account {
    /// `user@domain`, canonical.
    pub aor: Arc<str>,
    pub ha1: Ha1,
    /// Where calls to it go instead; most accounts have no wish.
    pub forwards: Option<Arc<Forwards>>,
}

#[derive(Debug)]
pub struct Accounts {
    seal: Seal,
    table: HashTable<Account>,
}

impl Accounts {
    pub const fn new(seal: Seal) -> Self {
        Self { seal, table: HashTable::new() }
    }

    pub fn hash(seal: &Seal, aor: &[u8]) -> u64 {
        seal.mac(Purpose::Table, &[aor])
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn get(&self, hash: u64, aor: &[u8]) -> Option<&Account> {
        self.table.find(hash, |a| a.aor.as_bytes() == aor)
    }

    /// Adds an account or changes its secret. False, and nothing done, for a name without both parts or longer than
    /// [`USER_MAX`] and [`DOMAIN_MAX`].
    pub fn set(&mut self, hash: u64, aor: &str, ha1: Ha1) -> bool {
        let Some((user, domain)) = aor.rsplit_once('@') else { return false };
        let fits = (1..=USER_MAX).contains(&user.len()) && (1..=DOMAIN_MAX).contains(&domain.len());
        if !fits {
            return false;
        }
        let seal = &self.seal;
        self.table
            .entry(hash, |a| &*a.aor == aor, |a| Self::hash(seal, a.aor.as_bytes()))
            .and_modify(|account| account.ha1 = ha1)
            .or_insert_with(|| Account { aor: aor.into(), ha1, forwards: None });
        true
    }

    /// What the account had before; `None` if there is no such account.
    pub fn set_forwards(
        &mut self,
        hash: u64,
        aor: &str,
        forwards: Option<Arc<Forwards>>,
    ) -> Option<Option<Arc<Forwards>>> {
        let account = self.table.find_mut(hash, |a| &*a.aor == aor)?;
        Some(core::mem::replace(&mut account.forwards, forwards))
    }

    /// The account that there was.
    pub fn remove(&mut self, hash: u64, aor: &str) -> Option<Account> {
        let found = self.table.find_entry(hash, |a| &*a.aor == aor).ok()?;
        Some(found.remove().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_change_remove() {
        let seal = Seal::new([1; 16]);
        let mut accounts = Accounts::new(seal.clone());
        let hash = Accounts::hash(&seal, b"a@example.com");
        let first = Ha1::from_password("a", "example.com", "one");
        let second = Ha1::from_password("a", "example.com", "two");
        assert!(accounts.set(hash, "a@example.com", first));
        assert!(accounts.set(hash, "a@example.com", second));
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts.get(hash, b"a@example.com").unwrap().ha1, second);
        assert!(accounts.remove(hash, "a@example.com").is_some());
        assert!(accounts.remove(hash, "a@example.com").is_none());
        assert!(accounts.is_empty());
    }

    #[test]
    fn absurd_names_are_refused() {
        let seal = Seal::new([1; 16]);
        let mut accounts = Accounts::new(seal);
        let long = format!("{}@example.com", "a".repeat(65));
        for aor in ["a", "@example.com", "a@", &long] {
            assert!(!accounts.set(0, aor, Ha1::default()), "{aor}");
        }
        assert!(accounts.is_empty());
    }

    #[test]
    fn hex_of_the_wrong_length_is_refused() {
        assert!(Ha1::from_hex(Some("00"), None).is_none());
        assert!(Ha1::from_hex(None, Some(&"g".repeat(32))).is_none());
        let md5_only = Ha1::from_hex(None, Some(&"0".repeat(32))).unwrap();
        assert!(md5_only.for_algorithm(Algorithm::Sha256).is_none());
        assert!(md5_only.for_algorithm(Algorithm::Md5).is_some());
    }

    #[test]
    fn secrets_do_not_print() {
        let ha1 = Ha1::from_password("a", "example.com", "one");
        assert_eq!(format!("{ha1:?}"), "Ha1(..)");
    }
}
