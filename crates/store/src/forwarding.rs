//! The `forwarding` table: where calls to an account go instead, one row for each cause. Ours alone; no other SIP server
//! has one like it.

use std::time::Duration;

use sip_core::forwarding::Forwards;
use sqlx::{Connection as _, Row as _};

use crate::{Store, StoreError};

const ALWAYS: &str = "always";
const BUSY: &str = "busy";
const NO_ANSWER: &str = "no-answer";
const UNREACHABLE: &str = "unreachable";

impl Store {
    /// Every account that forwards, by its address of record. A row nobody understands is left out.
    pub async fn forwards(&mut self) -> Result<Vec<(String, Forwards)>, StoreError> {
        let rows = sqlx::query(
            "SELECT username, domain, cause, uri, ring_s FROM forwarding ORDER BY domain, username",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let mut all: Vec<(String, Forwards)> = Vec::new();
        for row in &rows {
            let (user, domain): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (cause, uri): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            let seconds = u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0);
            let aor = format!("{user}@{domain}");
            if all.last().is_none_or(|(last, _)| *last != aor) {
                all.push((aor, Forwards::default()));
            }
            let Some((_, forwards)) = all.last_mut() else { continue };
            let uri = uri.into_boxed_str();
            match cause.as_str() {
                ALWAYS => forwards.always = Some(uri),
                BUSY => forwards.busy = Some(uri),
                NO_ANSWER => forwards.no_answer = Some((uri, Duration::from_secs(seconds))),
                UNREACHABLE => forwards.unreachable = Some(uri),
                _ => {}
            }
        }
        Ok(all)
    }

    /// What holds for this account from now on, in place of what held; false if there is no such account.
    pub async fn set_forwards(
        &mut self,
        user: &str,
        domain: &str,
        forwards: &Forwards,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.connection.begin().await?;
        let known = sqlx::query("SELECT 1 FROM subscriber WHERE username = ?1 AND domain = ?2");
        let known = known.bind(user).bind(domain).fetch_optional(&mut *transaction).await?;
        if known.is_none() {
            return Ok(false);
        }
        let delete = sqlx::query("DELETE FROM forwarding WHERE username = ?1 AND domain = ?2");
        delete.bind(user).bind(domain).execute(&mut *transaction).await?;
        let Forwards { always, busy, no_answer, unreachable } = forwards;
        let rows = [
            (ALWAYS, always.as_ref(), 0),
            (BUSY, busy.as_ref(), 0),
            (NO_ANSWER, no_answer.as_ref().map(|(uri, _)| uri), seconds(forwards)),
            (UNREACHABLE, unreachable.as_ref(), 0),
        ];
        for (cause, uri, ring) in rows {
            let Some(uri) = uri else { continue };
            sqlx::query(
                "INSERT INTO forwarding (username, domain, cause, uri, ring_s) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .bind(user)
            .bind(domain)
            .bind(cause)
            .bind(&**uri)
            .bind(ring)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

fn seconds(forwards: &Forwards) -> i64 {
    let after = forwards.no_answer.as_ref().map_or(0, |(_, after)| after.as_secs());
    i64::try_from(after).unwrap_or(0)
}
