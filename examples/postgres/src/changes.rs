//! Rows that change behind the application's back: a trigger writes down which tags they concern, and
//! `NOTIFY` wakes who reads that.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgListener;

use crate::App;

/// A notification may be lost with its connection; what is written down is not. It is read this often anyway.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// Before another attempt, where database or cache can't be reached.
const PAUSE: Duration = Duration::from_millis(200);

/// Invalidates what others change, until it is dropped.
///
/// No change is lost: each is written down in its own transaction, and read up to a position that moves only
/// when everything before it has been invalidated. So it may run in several processes, or stop for a while.
pub async fn follow(app: App) {
    loop {
        if let Err(error) = listen(&app).await {
            tracing::warn!(%error, "changes can't be followed at the moment");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(app: &App) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut listener = PgListener::connect_with(&app.pool).await?;
    loop {
        // Listening begins before reading, so that no change falls between the two. After a connection was
        // lost, this is a new one.
        listener.listen("cache_changes").await?;
        catch_up(app).await?;
        while let Ok(Some(_)) =
            tokio::time::timeout(AT_LEAST_EVERY, listener.try_recv()).await.unwrap_or(Ok(None))
        {
            catch_up(app).await?;
        }
    }
}

/// Invalidates everything that was written down since the position, and moves it.
///
/// The position is not that of the last row that was read: a transaction that has written its row before may
/// commit behind it. It is the oldest transaction that is still running: whatever is not visible yet
/// belongs to that one or to a later one, and is read the next time.
///
/// # Errors
///
/// Those of the database, and of the cache: then the position stays.
pub async fn catch_up(app: &App) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // One statement, and so one snapshot.
    let read = "
        SELECT c.tag, pg_snapshot_xmin(pg_current_snapshot())::text AS running
        FROM cache_position p LEFT JOIN (SELECT DISTINCT tag, xid FROM cache_changes) c ON c.xid >= p.xid";
    let rows = sqlx::query(read).fetch_all(&app.pool).await?;
    let tags: Vec<String> =
        rows.iter().filter_map(|row| row.get::<Option<String>, _>("tag")).collect();
    app.cache.invalidate_tags(&tags).await?;
    let Some(running) = rows.first().map(|row| row.get::<String, _>("running")) else {
        return Ok(());
    };
    // Another process may be further on.
    let move_on = "UPDATE cache_position SET xid = $1::xid8 WHERE xid < $1::xid8";
    sqlx::query(move_on).bind(&running).execute(&app.pool).await?;
    let forget = "DELETE FROM cache_changes WHERE xid < (SELECT xid FROM cache_position)";
    sqlx::query(forget).execute(&app.pool).await?;
    Ok(())
}
