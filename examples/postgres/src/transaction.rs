//! A transaction, and the invalidations that belong to it.

use std::io;

use redis_cached::Invalidation;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::App;

enum Ended<E> {
    /// It is known that nothing has changed.
    RolledBack(E),
    /// It may have committed: the answer to COMMIT, or to ROLLBACK, is lost.
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
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let (ended, mut invalidation) = Invalidation::collect(async {
        let begun = begin(&app.pool).await;
        let mut transaction = begun.map_err(|error| Ended::RolledBack(error.into()))?;
        match work(&mut transaction).await {
            Ok(value) => match transaction.commit().await {
                Ok(()) => Ok(value),
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

/// In a task of its own, which goes on if the handler is dropped, and rolls back what nobody asks for any more: with
/// sqlx 0.8, a connection whose `begin` was dropped goes back to the pool inside the transaction. The next write on it
/// returns `Ok` and is not committed.
async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await });
    begun.await.map_err(io::Error::from)?
}
