//! A transaction, and the invalidations that belong to it.

use redis_cached::Invalidation;
use sqlx::PgConnection;

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
        let mut transaction = app.pool.begin().await.map_err(|e| Ended::RolledBack(e.into()))?;
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
