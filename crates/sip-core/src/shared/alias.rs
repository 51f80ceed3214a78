//! Other names of users: a telephone number, a short name. Nobody having one costs one load.
#![expect(clippy::disallowed_types, reason = "a shared table")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::config::Aor;

/// Both ways round.
#[derive(Debug, Default)]
struct Aliases {
    users: BTreeMap<Aor, Arc<str>>,
    /// The user, and the name.
    names: BTreeMap<(Arc<str>, Aor), ()>,
}

#[derive(Debug, Default)]
pub struct SharedAliases {
    count: AtomicUsize,
    aliases: RwLock<Aliases>,
}

impl SharedAliases {
    /// The user whose other name this is.
    pub fn find(&self, alias: &str) -> Option<Arc<str>> {
        if self.is_empty() {
            return None;
        }
        self.aliases.read().users.get(alias).cloned()
    }

    /// The other names of a user, in order; the first is what he is called by elsewhere.
    pub fn all_of(&self, user: &str) -> Vec<Aor> {
        let aliases = self.aliases.read();
        let first: (Arc<str>, Aor) = (user.into(), "".into());
        let names = aliases.names.range(first..).map(|((of, name), ())| (of, name));
        names.take_while(|(of, _)| ***of == *user).map(|(_, name)| name.clone()).collect()
    }

    pub fn of(&self, user: &str) -> Option<Aor> {
        if self.is_empty() { None } else { self.all_of(user).into_iter().next() }
    }

    /// Whoever had the name before has it no more.
    pub fn set(&self, alias: &str, user: &str) {
        let mut aliases = self.aliases.write();
        let (alias, user): (Aor, Arc<str>) = (alias.into(), user.into());
        if let Some(before) = aliases.users.insert(alias.clone(), Arc::clone(&user)) {
            aliases.names.remove(&(before, alias.clone()));
        }
        aliases.names.insert((user, alias), ());
        self.count.store(aliases.users.len(), Ordering::Relaxed);
    }

    /// False if nobody had it.
    pub fn remove(&self, alias: &str) -> bool {
        let mut aliases = self.aliases.write();
        let removed = aliases.users.remove(alias);
        if let Some(user) = &removed {
            aliases.names.remove(&(Arc::clone(user), alias.into()));
        }
        self.count.store(aliases.users.len(), Ordering::Relaxed);
        removed.is_some()
    }

    /// A user is gone, and all names with him.
    pub fn remove_user(&self, user: &str) {
        for alias in self.all_of(user) {
            self.remove(&alias);
        }
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_and_go() {
        let aliases = SharedAliases::default();
        for (alias, user) in [("+49@x", "alice@x"), ("a@x", "alice@x"), ("b@x", "bob@x")] {
            aliases.set(alias, user);
        }
        assert_eq!(aliases.find("a@x").as_deref(), Some("alice@x"));
        assert_eq!(aliases.find("alice@x"), None);
        assert_eq!(aliases.of("alice@x").as_deref(), Some("+49@x"));
        aliases.set("+49@x", "bob@x");
        assert_eq!(aliases.of("alice@x").as_deref(), Some("a@x"));
        assert_eq!(aliases.all_of("bob@x").len(), 2);
        aliases.remove_user("bob@x");
        assert!(aliases.remove("a@x") && !aliases.remove("a@x"));
        assert!(aliases.is_empty() && aliases.of("alice@x").is_none());
    }
}
