//! Stream connections (RFC 3261 §18): accepted, opened on demand, reused, and bounded. A stranger gets little: some
//! seconds, some bytes, a few connections per address; and makes room first when there is none.

mod alias;
mod connection;
mod table;
mod task;

pub use connection::Connection;
pub use table::Streams;
pub use task::{accept, open_asked};

/// There is no such connection any more, or no room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal;
