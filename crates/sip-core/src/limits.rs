//! Every bound of the core in one table, with the status it earns when hit. What the operator may change is in
//! `config::Limits`; what concerns the bytes of one message is in `sip_message`.

use crate::flow::Flow;
use crate::output::Event;

/// One bound. Hitting it is an event and a counter under `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    pub max: usize,
    /// The response it earns; 0: the message is dropped without one.
    pub status: u16,
}

const fn limit(name: &'static str, max: usize, status: u16) -> Limit {
    Limit { name, max, status }
}

/// Server transactions of one node, finished ones included.
pub const SERVER_TRANSACTIONS: Limit = limit("server_transactions_per_node", 1 << 17, 503);
/// Client transactions of one node, finished ones included.
pub const CLIENT_TRANSACTIONS: Limit = limit("client_transactions_per_node", 1 << 18, 503);
/// Forks of one request at a time (RFC 3261 §16.6). More targets are an error of whoever registered them.
pub const FORKS: Limit = limit("forks_per_request", 16, 500);
/// Forks of one request one after the other: all its steps, redirections and diversions together.
pub const FORKS_IN_ALL: Limit = limit("forks_per_request_in_all", 48, 500);
/// How often one call may be passed on: by accounts that forward, by phones that redirect, and by whoever wrote the
/// Diversions it came with (RFC 5806 §6.3).
pub const DIVERSIONS: Limit = limit("diversions_per_call", 5, 482);
/// Calls that stand at gateways, of one node. More are not counted (and so not limited).
pub const GATEWAY_CALLS: Limit = limit("gateway_calls_per_node", 1 << 16, 0);
/// Questions to the DNS on behalf of one name in one request (RFC 3263 §4).
pub const QUERIES: Limit = limit("queries_per_name", 24, 478);
/// Destinations of one name that are tried for one request (RFC 3263 §4.3).
pub const TRIES: Limit = limit("tries_per_name", 8, 478);
/// Questions to the DNS that one node waits for at the same time.
pub const QUESTIONS: Limit = limit("questions_per_node", 4_096, 478);
/// RFC 5393 §5.3: breadth given to a request that came without Max-Breadth.
pub const BREADTH: Limit = limit("max_breadth", 60, 440);
/// RFC 3261 §8.1.1.6: hops given to a request that came without Max-Forwards.
pub const HOPS: Limit = limit("max_forwards", 70, 483);
/// Requests of a user agent that wait for an answer.
pub const EXCHANGES: Limit = limit("user_agent_requests", 1 << 14, 503);
/// Requests of others that a user agent remembers until the end of their transactions.
pub const SERVED: Limit = limit("user_agent_served", 1 << 12, 503);
/// Dialogs that one INVITE of a user agent may make (RFC 3261 §13.2.2.4): as many as forks.
pub const DIALOGS: Limit = limit("dialogs_per_invite", FORKS.max, 486);
/// Redirections that one request follows (RFC 3261 §8.1.3.4), and targets it keeps for later.
pub const REDIRECTS: Limit = limit("redirects_per_request", 8, 482);
/// Reliable provisional responses that wait for the PRACK of the one before (RFC 3262 §3).
pub const RELIABLE_QUEUED: Limit = limit("reliable_responses_queued", 8, 500);

/// Pings one node sends in a second: what is over is pinged less often. Two workers have 32 nodes.
pub const PINGS: Limit = limit("pings_per_node_and_second", 1_000, 0);
/// Bindings one node pings.
pub const WATCHED: Limit = limit("watched_bindings_per_node", 1 << 20, 0);

pub const TABLE: &[Limit] = &[
    SERVER_TRANSACTIONS,
    CLIENT_TRANSACTIONS,
    FORKS,
    FORKS_IN_ALL,
    GATEWAY_CALLS,
    DIVERSIONS,
    QUERIES,
    TRIES,
    QUESTIONS,
    BREADTH,
    HOPS,
    EXCHANGES,
    SERVED,
    DIALOGS,
    REDIRECTS,
    RELIABLE_QUEUED,
    PINGS,
    WATCHED,
];

/// A bound was hit: what the caller answers is `limit.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached {
    pub limit: Limit,
}

impl LimitReached {
    /// What the operator is told; `flow` is where the request came from that was one too many, if it was one.
    pub fn event<'f>(self, flow: impl Into<Option<&'f Flow>>) -> Event {
        Event::LimitHit { limit: self.limit.name, flow: flow.into().copied() }
    }
}

impl core::fmt::Display for LimitReached {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "limit {} of {} reached", self.limit.name, self.limit.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        for (place, limit) in TABLE.iter().enumerate() {
            assert!(limit.max > 0, "{}", limit.name);
            assert!(limit.status == 0 || (400..600).contains(&limit.status), "{}", limit.name);
            assert!(TABLE[..place].iter().all(|other| other.name != limit.name), "{}", limit.name);
        }
    }

    #[test]
    fn every_client_fits_into_a_branch() {
        assert!(CLIENT_TRANSACTIONS.max <= crate::transaction::branch::SLOT_END as usize);
        assert!(FORKS_IN_ALL.max <= usize::from(u8::MAX));
        assert!(BREADTH.max <= usize::from(u8::MAX));
    }
}
