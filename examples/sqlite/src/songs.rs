//! Songs and playlists, and what is cached of them: a detail, two lists that share its rows, a page that is made of
//! both, a figure.

use std::sync::atomic::Ordering;

use redis_cached::{Error, redis_cached};
use serde::{Deserialize, Serialize};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection};

use crate::App;

/// So many songs are in a list at most. Each is a tag of it, and of the page that shows two lists; an entry has at
/// most 32.
pub const MOST: i64 = 10;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Song {
    /// Which one.
    pub id: i64,
    /// What changes.
    pub title: String,
}

/// One song.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "song:{id}", ttl = "10m", tags = ["song:{id}"], cache = app.cache, skip(app))]
pub async fn song(app: &App, id: i64) -> sqlx::Result<Option<Song>> {
    let query = sqlx::query("SELECT id, title FROM songs WHERE id = ?").bind(id);
    Ok(read(app, query).await?.pop())
}

/// The songs that were added last. The list carries the tag of the whole collection, so that a row which is new to
/// it is not missed, and the tags of those that are in it.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(
    key = "newest", ttl = "10m", tags = ["songs"], cache = app.cache, skip(app),
    tags_with = |songs| songs.iter().map(|song| format!("song:{}", song.id))
)]
pub async fn newest(app: &App) -> sqlx::Result<Vec<Song>> {
    let query = sqlx::query("SELECT id, title FROM songs ORDER BY id DESC LIMIT ?").bind(MOST);
    read(app, query).await
}

/// The songs of a playlist, with tags as [`newest`] has them: here the collection is the playlist.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(
    key = "playlist:{id}", ttl = "10m", tags = ["playlist:{id}"], cache = app.cache, skip(app),
    tags_with = |songs| songs.iter().map(|song| format!("song:{}", song.id))
)]
pub async fn playlist(app: &App, id: i64) -> sqlx::Result<Vec<Song>> {
    let query = sqlx::query(
        "SELECT songs.id, title FROM playlist_songs JOIN songs ON songs.id = song
         WHERE playlist = ? ORDER BY position",
    );
    read(app, query.bind(id)).await
}

/// What the start page shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPage {
    /// Those that were added last.
    pub newest: Vec<Song>,
    /// Those of one playlist.
    pub playlist: Vec<Song>,
}

/// A page that is made of cached values: their tags are its own, and none is written here.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "start:{id}", ttl = "10m", cache = app.cache, skip(app))]
pub async fn start_page(app: &App, id: i64) -> sqlx::Result<StartPage> {
    Ok(StartPage { newest: newest(app).await?, playlist: playlist(app, id).await? })
}

/// How many songs there are. One entry of which nothing else is made: it is invalidated by its key.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "count", ttl = "10m", cache = app.cache, skip(app))]
pub async fn count(app: &App) -> sqlx::Result<i64> {
    app.queries.fetch_add(1, Ordering::Relaxed);
    sqlx::query_scalar("SELECT count(*) FROM songs").fetch_one(&app.pool).await
}

/// The title of a song, read on the connection of whoever asks.
///
/// Inside a transaction it goes past the cache: what was written there must be seen there, and by nobody else until it
/// is committed.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(
    key = "title:{id}", ttl = "10m", tags = ["song:{id}"], cache = app.cache, skip(app, db),
    bypass_if = db.is_in_transaction()
)]
pub async fn title(app: &App, db: &mut SqliteConnection, id: i64) -> sqlx::Result<Option<String>> {
    app.queries.fetch_add(1, Ordering::Relaxed);
    sqlx::query_scalar("SELECT title FROM songs WHERE id = ?").bind(id).fetch_optional(db).await
}

async fn read<'q>(
    app: &App,
    query: Query<'q, Sqlite, SqliteArguments<'q>>,
) -> sqlx::Result<Vec<Song>> {
    app.queries.fetch_add(1, Ordering::Relaxed);
    let rows = query.fetch_all(&app.pool).await?;
    rows.iter().map(|row| Ok(Song { id: row.try_get(0)?, title: row.try_get(1)? })).collect()
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The database has refused it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// It was made outside of [`in_transaction`](crate::transaction::in_transaction).
    #[error(transparent)]
    Cache(#[from] Error),
    /// There are [`MOST`] songs in the playlist.
    #[error("playlist {0} is full")]
    Full(i64),
}

/// Adds a song, in the transaction of `db`, and returns its id.
///
/// # Errors
///
/// Those of the database; and outside of a transaction that gathers invalidations.
pub async fn add(app: &App, db: &mut SqliteConnection, title: &str) -> Result<i64, ChangeError> {
    let insert = sqlx::query_scalar("INSERT INTO songs (title) VALUES (?) RETURNING id");
    let id: i64 = insert.bind(title).fetch_one(db).await?;
    // Also its own: that there is no such song may be cached.
    app.cache.invalidate_tags_after_commit(["songs".to_owned(), format!("song:{id}")])?;
    count_entry(app).invalidate_after_commit()?;
    Ok(id)
}

/// Puts a song at the end of a playlist, in the transaction of `db`.
///
/// # Errors
///
/// As [`add`]; and when the playlist is full.
pub async fn enlist(
    app: &App,
    db: &mut SqliteConnection,
    playlist: i64,
    song: i64,
) -> Result<(), ChangeError> {
    let last = sqlx::query_scalar("SELECT count(*) FROM playlist_songs WHERE playlist = ?");
    let position: i64 = last.bind(playlist).fetch_one(&mut *db).await?;
    if position >= MOST {
        return Err(ChangeError::Full(playlist));
    }
    let insert = sqlx::query("INSERT INTO playlist_songs VALUES (?, ?, ?)");
    insert.bind(playlist).bind(position).bind(song).execute(db).await?;
    Ok(app.cache.invalidate_tags_after_commit([format!("playlist:{playlist}")])?)
}

/// Renames a song, in the transaction of `db`. In which lists it stands need not be known here.
///
/// # Errors
///
/// As [`add`].
pub async fn rename(
    app: &App,
    db: &mut SqliteConnection,
    id: i64,
    title: &str,
) -> Result<(), ChangeError> {
    let update = sqlx::query("UPDATE songs SET title = ? WHERE id = ?");
    update.bind(title).bind(id).execute(db).await?;
    Ok(app.cache.invalidate_tags_after_commit([format!("song:{id}")])?)
}
