//! Where subscribers and bindings live when the process does not: SQLite in a directory (`file:DIR`), or nowhere
//! (`memory:`). Table and column names are Kamailio's, so an existing shop's tools read them.
//!
//! Reads happen at start; afterwards everything is served from memory and the store only hears of changes, through
//! one [`Writer`] that commits many of them together. A change is durable when its commit is: RFC 3261 §10.3 step 7
//! binds a contact, and the 200 that says so leaves after that. It never decides anything about a request.

mod alias;
mod ban;
mod checkpoint;
mod dispatcher;
mod error;
mod forwarding;
mod home;
mod location;
pub mod moment;
mod schema;
mod subscriber;
mod writer;

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

pub use ban::BanWrite;
pub use dispatcher::{GatewayRow, GatewayState};
pub use error::StoreError;
pub use home::{Directory, Home, random_key};
pub use location::Socket;
pub use subscriber::Subscriber;
pub use writer::{QUEUE_MAX, Stored, Writer, WriterTask, writer};

/// An open store: one connection, one owner.
pub struct Store {
    connection: SqliteConnection,
    sockets: Vec<Socket>,
    puts: location::Puts,
    checkpointer: checkpoint::Checkpointer,
    /// Held for its lock: two servers never share a directory.
    _directory: Option<Directory>,
}

impl Store {
    /// Opens, creating what is missing and bringing older schemas up to date. `directory` is the locked home of a
    /// `file:` store; without it everything is in memory and gone at the end.
    pub async fn open(directory: Option<Directory>) -> Result<Self, StoreError> {
        let options = match &directory {
            Some(directory) => SqliteConnectOptions::new()
                .filename(directory.database()?)
                .journal_mode(SqliteJournalMode::Wal)
                // A commit survives the loss of power, not only of the process: see docs/adr/0004-durable-bindings.md.
                .synchronous(SqliteSynchronous::Full)
                .pragma("wal_autocheckpoint", "0"),
            None => SqliteConnectOptions::new().in_memory(true),
        };
        let options = options
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(2))
            .statement_cache_capacity(32)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        schema::migrate(&mut connection).await?;
        let second = match &directory {
            Some(_) => Some(options.connect().await?),
            None => None,
        };
        Ok(Self {
            connection,
            sockets: Vec::new(),
            puts: location::Puts::new(),
            checkpointer: checkpoint::Checkpointer::new(second),
            _directory: directory,
        })
    }

    /// Our listeners in the order of their `ListenerId`: bindings remember by address which one they came to.
    pub fn set_sockets(&mut self, sockets: Vec<Socket>) {
        self.sockets = sockets;
    }

    /// The domain chosen at an earlier start without a configuration: realms, and so passwords, depend on it.
    pub async fn domain(&mut self) -> Result<Option<String>, StoreError> {
        let row = sqlx::query_scalar("SELECT domain FROM domain ORDER BY id LIMIT 1");
        Ok(row.fetch_optional(&mut self.connection).await?)
    }

    pub async fn set_domain(&mut self, domain: &str) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT OR IGNORE INTO domain (domain, did) VALUES (?1, ?1)");
        insert.bind(domain).execute(&mut self.connection).await?;
        Ok(())
    }

    /// The domain chosen earlier; the first time that is `first`, and it is kept.
    pub async fn domain_or(&mut self, first: &str) -> Result<String, StoreError> {
        if let Some(domain) = self.domain().await? {
            return Ok(domain);
        }
        self.set_domain(first).await?;
        Ok(first.to_owned())
    }

    /// Writes back what the log holds and closes.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

#[cfg(test)]
mod tests;
