//! An SQLite file behind a cache: what is written in a transaction is invalidated when it has committed.

// SQLite is spelled as its authors do.
#![allow(clippy::doc_markdown)]

pub mod songs;
pub mod transaction;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use redis_cached::Cache;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// What every call needs.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub pool: SqlitePool,
    /// The cache in front of it.
    pub cache: Cache,
    /// How many queries the cached functions have made: none for a hit.
    pub queries: Arc<AtomicUsize>,
}

impl App {
    /// A service in front of this database.
    #[must_use]
    pub fn new(pool: SqlitePool, cache: Cache) -> Self {
        Self { pool, cache, queries: Arc::default() }
    }
}

/// How a database file is opened, and made if it is not there.
#[must_use]
pub fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Without it COMMIT waits for every reader, and may fail with SQLITE_BUSY: a miss reads whenever it likes.
        .journal_mode(SqliteJournalMode::Wal)
        // After a loss of power the last commits may be missing, and the file is sound: so it is with most servers.
        .synchronous(SqliteSynchronous::Normal)
}

/// Makes the tables.
///
/// # Errors
///
/// Those of the database.
pub async fn migrate(pool: &SqlitePool) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("schema.sql")).execute(pool).await.map(drop)
}
