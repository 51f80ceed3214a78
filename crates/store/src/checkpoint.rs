//! Writing SQLite's log back into its database, beside the commits and not in the middle of one: left to itself, every
//! thousandth page makes one commit wait for all of it, and a REGISTER waits with it. It loses nothing if it fails: the
//! log only grows until the next try.

use sqlx::SqliteConnection;
use tokio::task::JoinHandle;

/// Rows written between two checkpoints: some 8 MB of log.
const ROWS: usize = 2_000;

const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

pub struct Checkpointer {
    state: State,
    /// Written since the last one began.
    rows: usize,
}

enum State {
    Idle(SqliteConnection),
    Running(JoinHandle<Option<SqliteConnection>>),
    /// In memory there is no log; and without a connection SQLite must do it at its next opening.
    Off,
}

impl Checkpointer {
    pub fn new(connection: Option<SqliteConnection>) -> Self {
        let state = connection.map_or(State::Off, State::Idle);
        Self { state, rows: 0 }
    }

    /// `rows` more have been committed on `main`.
    pub async fn committed(&mut self, rows: usize, main: &mut SqliteConnection) {
        self.rows += rows;
        self.state = match std::mem::replace(&mut self.state, State::Off) {
            State::Idle(connection) if self.rows >= ROWS => {
                self.rows = 0;
                State::Running(tokio::spawn(run(connection)))
            }
            State::Running(task) if task.is_finished() => {
                let connection = task.await.ok().flatten();
                // Only what was committed meanwhile is left, and with it done the log begins anew. If not: later.
                let _ = sqlx::raw_sql(CHECKPOINT).execute(main).await;
                connection.map_or(State::Off, State::Idle)
            }
            state => state,
        };
    }
}

async fn run(mut connection: SqliteConnection) -> Option<SqliteConnection> {
    // The next one tries again.
    let _ = sqlx::raw_sql(CHECKPOINT).execute(&mut connection).await;
    Some(connection)
}
