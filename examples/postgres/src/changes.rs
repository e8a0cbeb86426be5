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
/// With more tags than this, after a long absence, it is less work to compute everything anew.
const MOST: usize = 10_000;

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
/// commit behind it. It is a snapshot, which tells of each transaction whether it was seen: what was still
/// running then is read when it has committed, and nothing is read twice meanwhile.
///
/// # Errors
///
/// Those of the database, and of the cache: then the position stays.
pub async fn catch_up(app: &App) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // One statement, and so one snapshot. A position from the future is that of another cluster, from which
    // this one was restored: nothing is known of what has changed.
    let read = "
        SELECT pg_current_snapshot()::text AS now, p.seen::text AS seen,
               pg_snapshot_xmax(p.seen) > pg_snapshot_xmax(pg_current_snapshot()) AS restored,
               ARRAY(SELECT DISTINCT c.tag FROM cache_changes c
                     WHERE c.xid >= pg_snapshot_xmin(p.seen) AND NOT pg_visible_in_snapshot(c.xid, p.seen)
                     LIMIT $1) AS tags
        FROM cache_position p";
    let limit = i64::try_from(MOST + 1)?;
    let row = sqlx::query(read).bind(limit).fetch_one(&app.pool).await?;
    let (now, seen): (String, String) = (row.try_get("now")?, row.try_get("seen")?);
    let tags: Vec<String> = row.try_get("tags")?;
    if tags.len() > MOST || row.try_get("restored")? {
        app.cache.clear().await?;
    } else {
        app.cache.invalidate_tags(&tags).await?;
    }
    // Another process may have moved it meanwhile. Where it stands then is as good.
    let move_on = "UPDATE cache_position SET seen = $1::pg_snapshot WHERE seen::text = $2";
    sqlx::query(move_on).bind(&now).bind(&seen).execute(&app.pool).await?;
    // Nothing is visible to this statement that began behind it, unless it was restored.
    let forget = "
        DELETE FROM cache_changes WHERE xid < (SELECT pg_snapshot_xmin(seen) FROM cache_position)
            OR xid >= pg_snapshot_xmax(pg_current_snapshot())";
    sqlx::query(forget).execute(&app.pool).await?;
    Ok(())
}
