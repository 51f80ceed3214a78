//! The `ban` table, which is ours alone: who is kept out, until when, and why. A ban outlives a restart; whoever was kept
//! out must not be let in because the server was updated.

use sip_core::ban::{Reason, Row};
use sip_core::config::Network;
use sqlx::Row as _;

use crate::{Store, StoreError, moment};

/// One change to the table. The network names a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanWrite {
    Put(Row),
    Remove(Network),
}

const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Operator => "operator",
        Reason::Guessing => "guessing",
    }
}

impl Store {
    /// All bans. Rows that make no sense are left out.
    pub async fn bans(&mut self) -> Result<Vec<Row>, StoreError> {
        let query = sqlx::query("SELECT network, until, reason FROM ban");
        let rows = query.fetch_all(&mut self.connection).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| -> Option<Row> {
            let text = |column: usize| row.try_get::<String, _>(column).ok();
            let reason = match text(2)?.as_str() {
                "operator" => Reason::Operator,
                "guessing" => Reason::Guessing,
                _ => return None,
            };
            Some(Row { network: text(0)?.parse().ok()?, until: moment::parse(&text(1)?)?, reason })
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    pub async fn write_ban(&mut self, write: &BanWrite) -> Result<(), StoreError> {
        match write {
            BanWrite::Put(Row { network, until, reason }) => {
                let query = sqlx::query(
                    "INSERT INTO ban (network, until, reason) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (network) DO UPDATE SET until = ?2, reason = ?3",
                );
                let query = query.bind(network.to_string()).bind(moment::text(*until));
                query.bind(word(*reason)).execute(&mut self.connection).await?;
            }
            BanWrite::Remove(network) => {
                let query = sqlx::query("DELETE FROM ban WHERE network = ?1");
                query.bind(network.to_string()).execute(&mut self.connection).await?;
            }
        }
        Ok(())
    }
}
