//! The `subscriber` table: who has an account. Passwords are never stored, only what digest needs of them
//! (RFC 7616 §5.10): `ha1` and `ha1b` as Kamailio has them (MD5), `ha1_sha256` for RFC 8760.

use sip_core::auth;
use sip_core::config::Algorithm;
use sqlx::{Connection as _, Row as _};

use crate::{Store, StoreError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    pub username: String,
    pub domain: String,
    /// Hexadecimal; empty where the account has none of that algorithm.
    pub ha1: String,
    pub ha1b: String,
    pub ha1_sha256: String,
}

impl Subscriber {
    /// The realm of a subscriber is its domain.
    pub fn with_password(username: &str, domain: &str, password: &str) -> Self {
        let ha1 = |algorithm, user| auth::ha1(algorithm, user, domain, password);
        Self {
            username: username.to_owned(),
            domain: domain.to_owned(),
            ha1: ha1(Algorithm::Md5, username),
            ha1b: ha1(Algorithm::Md5, &format!("{username}@{domain}")),
            ha1_sha256: ha1(Algorithm::Sha256, username),
        }
    }

    pub fn aor(&self) -> String {
        format!("{}@{}", self.username, self.domain)
    }
}

impl Store {
    pub async fn subscribers(&mut self) -> Result<Vec<Subscriber>, StoreError> {
        let rows = sqlx::query(
            "SELECT username, domain, ha1, ha1b, ha1_sha256 FROM subscriber ORDER BY domain, username",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let subscriber = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Subscriber {
                username: row.try_get(0)?,
                domain: row.try_get(1)?,
                ha1: row.try_get(2)?,
                ha1b: row.try_get(3)?,
                ha1_sha256: row.try_get(4)?,
            })
        };
        rows.iter().map(subscriber).collect()
    }

    /// Adds the account; false if there is one of this name already.
    pub async fn add_subscriber(&mut self, subscriber: &Subscriber) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO subscriber (username, domain, ha1, ha1b, ha1_sha256) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        );
        self.change(query, subscriber).await
    }

    /// Changes the account's secret; false if there is no such account.
    pub async fn change_subscriber(&mut self, subscriber: &Subscriber) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE subscriber SET password = '', ha1 = ?3, ha1b = ?4, ha1_sha256 = ?5 \
             WHERE username = ?1 AND domain = ?2",
        );
        self.change(query, subscriber).await
    }

    async fn change(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        of: &Subscriber,
    ) -> Result<bool, StoreError> {
        let query = query.bind(&of.username).bind(&of.domain);
        let query = query.bind(&of.ha1).bind(&of.ha1b).bind(&of.ha1_sha256);
        Ok(query.execute(&mut self.connection).await?.rows_affected() > 0)
    }

    /// Removes the account, its other names and what it forwards; false if there is no such account. Its bindings are removed by whoever holds them.
    pub async fn remove_subscriber(
        &mut self,
        user: &str,
        domain: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.connection.begin().await?;
        let query = sqlx::query("DELETE FROM subscriber WHERE username = ?1 AND domain = ?2");
        let done = query.bind(user).bind(domain).execute(&mut *transaction).await?;
        let query = sqlx::query("DELETE FROM forwarding WHERE username = ?1 AND domain = ?2");
        query.bind(user).bind(domain).execute(&mut *transaction).await?;
        let query = sqlx::query("DELETE FROM dbaliases WHERE username = ?1 AND domain = ?2");
        query.bind(user).bind(domain).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
