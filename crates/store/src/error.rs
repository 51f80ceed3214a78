//! What can go wrong with a store, in words for the person who has to mend it.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the data directory {}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error("another ringway is using {}; stop it, or give this one a store.url of its own", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not a key of 16 bytes; restore it, or delete it (calls under way lose their sealed routes)", path.display())]
    Key { path: PathBuf },
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database is of version {found}, this program knows {known}; use a newer ringway")]
    TooNew { found: i64, known: i64 },
    #[error("the store has been closed")]
    Closed,
}
