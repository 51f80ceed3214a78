//! The whole SIP server without sockets, clock, threads, files or randomness of its own.
//!
//! One entry: [`Node::handle`](node::Node::handle) takes an [`Input`](input::Input) and leaves everything that
//! follows from it in an [`Outbox`](output::Outbox). Layers, lowest first; a lower one never names a higher one:
//!
//! ```text
//! time flow seal limits config forwarding  words everybody uses
//! locate                               RFC 3263: from a name to addresses
//! timer  transaction                   RFC 3261 §17: the four machines and who owns them
//! dispatcher                           gateways, sets and routes: next hops, and how one is chosen
//! auth  nat  registrar                 §22 and §10: accounts, nonces, bindings; RFC 5626: the way to a phone
//! dialog                               §12: what two user agents know of each other
//! proxy  redirect  ua                  §16, §8.3 and §8: what is done with a request; a whole phone without sound
//! route                                the life of a request, one room per file
//! node                                 the whole server
//! stateless                            another one, which remembers nothing (§16.11)
//! ```
#![forbid(unsafe_code)]

pub mod auth;
pub mod ban;
mod base32;
pub mod config;
pub mod dialog;
pub mod dispatcher;
pub mod flow;
pub mod forwarding;
pub mod hex;
pub mod input;
pub mod limits;
pub mod locate;
pub mod nat;
pub mod node;
pub mod output;
pub mod overload;
pub mod proxy;
pub mod redirect;
pub mod registrar;
pub mod rejection;
pub mod route;
pub mod seal;
pub mod shard;
pub mod shared;
pub mod source;
pub mod stateless;
pub mod time;
pub mod timer;
pub mod transaction;
pub mod turn;
pub mod ua;
