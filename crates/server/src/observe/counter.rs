//! The counters, one per thing that can be asked for. Relaxed atomics: each is right by itself, not with its neighbours.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            /// Name and value of each, in this order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value()),)*]
            }
        }
    };
}

counters! {
    messages_received,
    messages_sent,
    /// Datagrams the kernel could not take.
    sends_failed,
    malformed,
    rejected,
    redirected,
    auth_failed,
    bindings_added,
    bindings_refreshed,
    bindings_removed,
    /// OPTIONS to phones behind NATs, and their answers.
    pings_sent,
    pings_answered,
    /// Phones behind NATs that stopped answering.
    bindings_silent,
    calls_answered,
    calls_refused,
    calls_ended,
    transaction_timeouts,
    names_unresolved,
    /// Next hops that were no good, where another of the same name was tried.
    next_hops_failed,
    limits_hit,
    /// Requests of strangers who asked too much, and anything from who is kept out.
    dropped_unverified,
    dropped_banned,
    /// New work turned away because there was too much of it.
    shed,
    /// Bans made because somebody guessed passwords.
    bans_made,
    /// Requests that a gateway has failed and another was asked for.
    gateways_failed,
    /// A gateway went up or down.
    gateways_changed,
    store_failed,
    /// Messages that made us panic.
    panics,
    connections_accepted,
    connections_opened,
    connections_refused,
    /// Closed for being slow, idle, or in the way of others.
    connections_dropped,
}

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
