//! The tables: Kamailio's names and columns (subscriber 7, location 9, domain 2, dispatcher 4, dbaliases 1), so that its tools and scripts read
//! them. What is ours alone is an extra column, or a table of its own: `forwarding`. `user_version` counts our own
//! migrations; the `version` table is Kamailio's and says what its modules expect.

use sqlx::{Connection as _, SqliteConnection};

use crate::StoreError;

/// One step per release that changed something; the index is the `user_version` it leads from. Never edit one that
/// was released.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE version (
    id INTEGER PRIMARY KEY NOT NULL,
    table_name VARCHAR(32) NOT NULL UNIQUE,
    table_version INTEGER NOT NULL DEFAULT 0
);
INSERT INTO version (table_name, table_version) VALUES
    ('version', 1), ('subscriber', 7), ('location', 9), ('domain', 2);

CREATE TABLE subscriber (
    id INTEGER PRIMARY KEY NOT NULL,
    username VARCHAR(64) NOT NULL DEFAULT '',
    domain VARCHAR(64) NOT NULL DEFAULT '',
    password VARCHAR(64) NOT NULL DEFAULT '',
    ha1 VARCHAR(128) NOT NULL DEFAULT '',
    ha1b VARCHAR(128) NOT NULL DEFAULT '',
    ha1_sha256 VARCHAR(128) NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX subscriber_account_idx ON subscriber (username, domain);

CREATE TABLE location (
    id INTEGER PRIMARY KEY NOT NULL,
    ruid VARCHAR(64) NOT NULL DEFAULT '' UNIQUE,
    username VARCHAR(64) NOT NULL DEFAULT '',
    domain VARCHAR(64) DEFAULT NULL,
    contact VARCHAR(512) NOT NULL DEFAULT '',
    received VARCHAR(128) DEFAULT NULL,
    path VARCHAR(512) DEFAULT NULL,
    expires DATETIME NOT NULL DEFAULT '2030-05-28 21:32:15',
    q REAL NOT NULL DEFAULT 1.0,
    callid VARCHAR(255) NOT NULL DEFAULT 'Default-Call-ID',
    cseq INTEGER NOT NULL DEFAULT 1,
    last_modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:01',
    flags INTEGER NOT NULL DEFAULT 0,
    cflags INTEGER NOT NULL DEFAULT 0,
    user_agent VARCHAR(255) NOT NULL DEFAULT '',
    socket VARCHAR(64) DEFAULT NULL,
    methods INTEGER DEFAULT NULL,
    instance VARCHAR(255) DEFAULT NULL,
    reg_id INTEGER NOT NULL DEFAULT 0,
    server_id INTEGER NOT NULL DEFAULT 0,
    connection_id INTEGER NOT NULL DEFAULT 0,
    keepalive INTEGER NOT NULL DEFAULT 0,
    \"partition\" INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX location_account_contact_idx ON location (username, domain, contact);

CREATE TABLE domain (
    id INTEGER PRIMARY KEY NOT NULL,
    domain VARCHAR(64) NOT NULL UNIQUE,
    did VARCHAR(64) DEFAULT NULL,
    last_modified DATETIME NOT NULL DEFAULT '2000-01-01 00:00:01'
);
",
    "
CREATE TABLE forwarding (
    id INTEGER PRIMARY KEY NOT NULL,
    username VARCHAR(64) NOT NULL DEFAULT '',
    domain VARCHAR(64) NOT NULL DEFAULT '',
    cause VARCHAR(16) NOT NULL,
    uri VARCHAR(255) NOT NULL,
    ring_s INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX forwarding_account_cause_idx ON forwarding (username, domain, cause);
",
    "
CREATE TABLE ban (
    id INTEGER PRIMARY KEY NOT NULL,
    network VARCHAR(64) NOT NULL UNIQUE,
    until DATETIME NOT NULL,
    reason VARCHAR(16) NOT NULL
);
",
    "
INSERT OR REPLACE INTO version (table_name, table_version) VALUES ('dispatcher', 4), ('dbaliases', 1);

CREATE TABLE dispatcher (
    id INTEGER PRIMARY KEY NOT NULL,
    setid INTEGER NOT NULL DEFAULT 0,
    destination VARCHAR(192) NOT NULL DEFAULT '',
    flags INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    attrs VARCHAR(128) NOT NULL DEFAULT '',
    description VARCHAR(64) NOT NULL DEFAULT '',
    name VARCHAR(64) DEFAULT NULL UNIQUE,
    health VARCHAR(16) NOT NULL DEFAULT 'up',
    health_since DATETIME NOT NULL DEFAULT '2000-01-01 00:00:01',
    health_why VARCHAR(255) NOT NULL DEFAULT '',
    admin VARCHAR(16) NOT NULL DEFAULT 'enabled',
    admin_since DATETIME NOT NULL DEFAULT '2000-01-01 00:00:01',
    admin_by VARCHAR(64) NOT NULL DEFAULT '',
    admin_why VARCHAR(255) NOT NULL DEFAULT ''
);

CREATE TABLE dbaliases (
    id INTEGER PRIMARY KEY NOT NULL,
    alias_username VARCHAR(64) NOT NULL DEFAULT '',
    alias_domain VARCHAR(64) NOT NULL DEFAULT '',
    username VARCHAR(64) NOT NULL DEFAULT '',
    domain VARCHAR(64) NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX dbaliases_alias_idx ON dbaliases (alias_username, alias_domain);
CREATE INDEX dbaliases_target_idx ON dbaliases (username, domain);
",
];

pub async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    if missing.len() == 0 {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    for step in missing {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    let version = format!("PRAGMA user_version = {known}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(version)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
