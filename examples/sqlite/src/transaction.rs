//! A transaction, and the invalidations that belong to it.

use std::io;

use redis_cached::Invalidation;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::App;

enum Ended<E> {
    /// It is known that nothing has changed.
    RolledBack(E),
    /// It may have committed.
    Unknown(E),
}

/// Runs `work` in a transaction, commits, and then invalidates what `work` has said.
///
/// Right after it has returned `Ok`, every process sees the new state. Rolled back, nothing is invalidated. Where
/// it is not known whether the transaction has committed, also if this future is dropped, what it may have
/// changed is invalidated behind the caller.
///
/// # Errors
///
/// Those of `work` and of the database.
pub async fn in_transaction<T, E: From<sqlx::Error>>(
    app: &App,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
) -> Result<T, E> {
    let (ended, mut invalidation) = Invalidation::collect(async {
        let begun = begin(&app.pool).await;
        let mut transaction = begun.map_err(|error| Ended::RolledBack(error.into()))?;
        match work(&mut transaction).await {
            Ok(value) => match transaction.commit().await {
                Ok(()) => Ok(value),
                Err(error) if leaves_it_open(&error) => Err(Ended::RolledBack(error.into())),
                Err(error) => Err(Ended::Unknown(error.into())),
            },
            Err(error) => match transaction.rollback().await {
                Ok(()) => Err(Ended::RolledBack(error)),
                Err(_) => Err(Ended::Unknown(error)),
            },
        }
    })
    .await;
    match ended {
        Ok(value) => {
            if let Err(error) = invalidation.send().await {
                // It is committed. What is left goes on behind the caller, since it is dropped here.
                tracing::warn!(%error, "not invalidated yet");
            }
            Ok(value)
        }
        Err(Ended::RolledBack(error)) => {
            invalidation.discard();
            Err(error)
        }
        // Dropped, and so sent.
        Err(Ended::Unknown(error)) => Err(error),
    }
}

/// IMMEDIATE, since only at its begin does a writer wait for the one before. After a plain BEGIN, one that reads
/// first, and finds then that somebody else has written meanwhile, fails at once.
///
/// In a task of its own, which goes on if the handler is dropped, and rolls back what nobody asks for any more:
/// with sqlx 0.8, a connection whose `begin_with` was dropped goes back to the pool and holds the lock for good.
async fn begin(pool: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with("BEGIN IMMEDIATE").await });
    begun.await.map_err(io::Error::from)?
}

/// No network is between here and SQLite, so two failures of COMMIT leave no doubt: a lock that it did not get, and
/// a deferred constraint that does not hold. The transaction is open still, and sqlx rolls it back. Of any other,
/// as of a disk that fails, it is not known what will be found in the file.
fn leaves_it_open(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    const SQLITE_CONSTRAINT: u32 = 19;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    // Which kind of lock or constraint stands in the higher bits.
    matches!(code.map(|code| code & 0xff), Some(SQLITE_BUSY | SQLITE_CONSTRAINT))
}
