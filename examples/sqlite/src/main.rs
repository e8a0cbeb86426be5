//! What the tests check, told in a table. On the embedded store, or with `REDIS_URL` set on Redis.

use std::sync::atomic::Ordering;

use redis_cached::Cache;
use sqlite_example::songs::{self, ChangeError, count, song, start_page};
use sqlite_example::transaction::in_transaction;
use sqlite_example::{App, migrate, options};
use sqlx::SqlitePool;
use tempfile::TempDir;

const FAVOURITES: i64 = 1;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let pool = SqlitePool::connect_with(options(&folder.path().join("songs.db"))).await?;
    migrate(&pool).await?;
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "memory://".to_owned());
    let cache = Cache::builder().url(url).namespace("sqlite-example").build().await?;
    // What an earlier run has left on a Redis was read from another file.
    cache.clear().await?;
    let app = App::new(pool, cache);

    println!("{:<44} {:>7}  the favourites", "what happens", "queries");
    let id = in_transaction(&app, async |db| {
        let id = songs::add(&app, db, "So What").await?;
        songs::enlist(&app, db, FAVOURITES, id).await?;
        Ok::<_, ChangeError>(id)
    })
    .await?;
    tell(&app, "a page, a song and a figure are read", id).await?;
    tell(&app, "again: hits", id).await?;

    in_transaction(&app, async |db| songs::rename(&app, db, id, "All Blues").await).await?;
    tell(&app, "a song was renamed", id).await?;

    in_transaction(&app, async |db| {
        let new = songs::add(&app, db, "Blue in Green").await?;
        songs::enlist(&app, db, FAVOURITES, new).await
    })
    .await?;
    tell(&app, "another was added, and put into the list", id).await?;

    let refused = in_transaction(&app, async |db| {
        songs::rename(&app, db, id, "Naima").await?;
        songs::enlist(&app, db, FAVOURITES, 404).await
    })
    .await;
    if let Err(error) = refused {
        println!("COMMIT has failed: {error}");
    }
    tell(&app, "  … so nothing was invalidated", id).await?;

    app.pool.close().await;
    Ok(())
}

/// Reads all that is cached.
async fn tell(app: &App, what: &str, id: i64) -> anyhow::Result<()> {
    let before = app.queries.load(Ordering::Relaxed);
    let page = start_page(app, FAVOURITES).await?;
    song(app, id).await?;
    count(app).await?;
    let queries = app.queries.load(Ordering::Relaxed) - before;
    let titles: Vec<_> = page.playlist.into_iter().map(|song| song.title).collect();
    println!("{what:<44} {queries:>7}  {}", titles.join(", "));
    Ok(())
}
