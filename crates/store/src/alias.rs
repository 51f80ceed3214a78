//! The `dbaliases` table: other names of users, such as telephone numbers. Kamailio's, column by column.

use sqlx::Row as _;

use crate::{Store, StoreError};

impl Store {
    /// Each other name and the user it is of, as addresses of record.
    pub async fn aliases(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT alias_username, alias_domain, username, domain FROM dbaliases \
             ORDER BY alias_domain, alias_username",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let mut aliases = Vec::new();
        for row in &rows {
            let text = |column: usize| row.try_get::<String, _>(column);
            let name =
                |user: usize| Ok::<_, sqlx::Error>(format!("{}@{}", text(user)?, text(user + 1)?));
            aliases.push((name(0)?, name(2)?));
        }
        Ok(aliases)
    }

    /// False if there is no such account.
    pub async fn add_alias(
        &mut self,
        (alias, alias_domain): (&str, &str),
        (user, domain): (&str, &str),
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) \
             SELECT ?1, ?2, username, domain FROM subscriber WHERE username = ?3 AND domain = ?4 \
             ON CONFLICT (alias_username, alias_domain) DO UPDATE SET username = ?3, domain = ?4",
        );
        let query = query.bind(alias).bind(alias_domain).bind(user).bind(domain);
        Ok(query.execute(&mut self.connection).await?.rows_affected() > 0)
    }

    /// False if nobody has this name.
    pub async fn remove_alias(
        &mut self,
        alias: &str,
        alias_domain: &str,
    ) -> Result<bool, StoreError> {
        let query =
            sqlx::query("DELETE FROM dbaliases WHERE alias_username = ?1 AND alias_domain = ?2");
        let query = query.bind(alias).bind(alias_domain);
        Ok(query.execute(&mut self.connection).await?.rows_affected() > 0)
    }
}
