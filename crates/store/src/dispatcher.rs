//! The `dispatcher` table: Kamailio's columns, so that its tools see the gateways of the configuration, and ours, which
//! keep what is known of each: whether it is up, what the operator has ordered, since when, by whom and why. The
//! configuration says which gateways there are; the table never adds one.

use sip_core::dispatcher::health::State;
use sip_core::dispatcher::live::Order;
use sip_core::shared::Note;
use sqlx::{Connection as _, Row as _};

use crate::{Store, StoreError, moment};

/// Kamailio's flag bits: inactive, disabled, probing.
const INACTIVE: i64 = 1;
const DISABLED: i64 = 4;
const PROBING: i64 = 8;

/// Widths of Kamailio's columns.
const ATTRS_MAX: usize = 128;
const DESCRIPTION_MAX: usize = 64;

/// One gateway of the configuration, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayRow {
    pub name: String,
    /// The number of its set, from 1.
    pub set: i64,
    pub uri: String,
    pub priority: u32,
    pub weight: u32,
    pub is_probed: bool,
    pub state: GatewayState,
}

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayState {
    pub health: State,
    pub health_note: Note,
    pub order: Order,
    pub order_note: Note,
}

impl GatewayRow {
    fn flags(&self) -> i64 {
        let inactive = if self.state.health == State::Down { INACTIVE } else { 0 };
        // To Kamailio, who is drained is out of service: it has no word for it.
        let disabled = if self.state.order == Order::Enabled { 0 } else { DISABLED };
        inactive | disabled | if self.is_probed { PROBING } else { 0 }
    }

    fn attrs(&self) -> String {
        let attrs = format!("weight={};duid={}", self.weight, self.name);
        if attrs.len() <= ATTRS_MAX { attrs } else { format!("weight={}", self.weight) }
    }

    fn description(&self) -> String {
        self.name.chars().take(DESCRIPTION_MAX).collect()
    }
}

impl Store {
    /// What was known of each gateway, by name. What makes no sense is as if nothing were known.
    pub async fn gateway_states(&mut self) -> Result<Vec<(String, GatewayState)>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, health, health_since, health_why, admin, admin_since, admin_by, admin_why \
             FROM dispatcher WHERE name IS NOT NULL",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let text = |column: usize| row.try_get::<String, _>(column).unwrap_or_default();
            let since = |column: usize| moment::parse(&text(column)).unwrap_or_default();
            let note = |at: usize, by: String, why: usize| Note {
                since: since(at),
                by: by.into(),
                why: text(why).into(),
            };
            let state = GatewayState {
                health: State::from_word(&text(1)).unwrap_or_default(),
                health_note: note(2, String::new(), 3),
                order: Order::from_word(&text(4)).unwrap_or_default(),
                order_note: note(5, text(6), 7),
            };
            (text(0), state)
        };
        Ok(rows.iter().map(read).collect())
    }

    /// The gateways of the configuration, in place of those of another.
    pub async fn set_gateways(&mut self, rows: &[GatewayRow]) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("DELETE FROM dispatcher WHERE name IS NOT NULL")
            .execute(&mut *transaction)
            .await?;
        for row in rows {
            put(row).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub async fn write_gateway(&mut self, row: &GatewayRow) -> Result<(), StoreError> {
        put(row).execute(&mut self.connection).await?;
        Ok(())
    }
}

fn put(row: &GatewayRow) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let GatewayState { health, health_note, order, order_note } = &row.state;
    sqlx::query(
        "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description, name, \
         health, health_since, health_why, admin, admin_since, admin_by, admin_why) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT (name) DO UPDATE SET setid = ?1, destination = ?2, flags = ?3, priority = ?4, \
         attrs = ?5, description = ?6, health = ?8, health_since = ?9, health_why = ?10, \
         admin = ?11, admin_since = ?12, admin_by = ?13, admin_why = ?14",
    )
    .bind(row.set)
    .bind(&row.uri)
    .bind(row.flags())
    .bind(i64::from(row.priority))
    .bind(row.attrs())
    .bind(row.description())
    .bind(&row.name)
    .bind(health.word())
    .bind(moment::text(health_note.since))
    .bind(&*health_note.why)
    .bind(order.word())
    .bind(moment::text(order_note.since))
    .bind(&*order_note.by)
    .bind(&*order_note.why)
}
