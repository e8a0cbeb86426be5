//! One table, and the views of it that are cached: a detail, a list, a figure.

use redis_cached::{Error, redis_cached};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _};

use crate::App;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Which one.
    pub id: i64,
    /// Whose list it is in.
    pub team: i32,
    /// What changes most.
    pub name: String,
}

/// One person.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "person:{id}", ttl = "10m", tags = ["person:{id}"], cache = app.cache, skip(app))]
pub async fn person(app: &App, id: i64) -> sqlx::Result<Option<Person>> {
    let row = sqlx::query("SELECT id, team, name FROM staff WHERE id = $1").bind(id);
    row.fetch_optional(&app.pool).await?.map(|row| read(&row)).transpose()
}

/// A list. It carries a tag of its own, so that a row which is new to it is not missed, and the tags of
/// those who are in it.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(
    key = "team:{team}", ttl = "10m", tags = ["team:{team}"], cache = app.cache, skip(app),
    tags_with = |members| members.iter().take(30).map(|person| format!("person:{}", person.id))
)]
pub async fn team(app: &App, team: i32) -> sqlx::Result<Vec<Person>> {
    let rows =
        sqlx::query("SELECT id, team, name FROM staff WHERE team = $1 ORDER BY id").bind(team);
    rows.fetch_all(&app.pool).await?.iter().map(read).collect()
}

/// A figure over all of them, which carries the tag of the whole collection.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "headcount", ttl = "10m", tags = ["staff"], cache = app.cache, skip(app))]
pub async fn headcount(app: &App) -> sqlx::Result<i64> {
    sqlx::query("SELECT count(*) FROM staff").fetch_one(&app.pool).await?.try_get(0)
}

fn read(row: &sqlx::postgres::PgRow) -> sqlx::Result<Person> {
    Ok(Person { id: row.try_get(0)?, team: row.try_get(1)?, name: row.try_get(2)? })
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
}

/// Adds a person, in the transaction of `db`.
///
/// # Errors
///
/// Those of the database; and outside of a transaction that gathers invalidations.
pub async fn hire(app: &App, db: &mut PgConnection, person: &Person) -> Result<(), ChangeError> {
    let insert = sqlx::query("INSERT INTO staff (id, team, name) VALUES ($1, $2, $3)");
    insert.bind(person.id).bind(person.team).bind(&person.name).execute(db).await?;
    changed(app, person.id, &[person.team])
}

/// Renames a person, in the transaction of `db`.
///
/// # Errors
///
/// As [`hire`].
pub async fn rename(
    app: &App,
    db: &mut PgConnection,
    id: i64,
    name: &str,
) -> Result<(), ChangeError> {
    let update = sqlx::query("UPDATE staff SET name = $2 WHERE id = $1 RETURNING team");
    let team: Option<i32> =
        update.bind(id).bind(name).fetch_optional(db).await?.map(|row| row.get(0));
    changed(app, id, team.as_slice())
}

/// Moves a person to another team: both lists change.
///
/// # Errors
///
/// As [`hire`].
pub async fn transfer(
    app: &App,
    db: &mut PgConnection,
    id: i64,
    to: i32,
) -> Result<(), ChangeError> {
    let old = sqlx::query("SELECT team FROM staff WHERE id = $1 FOR UPDATE").bind(id);
    let old: i32 = old.fetch_one(&mut *db).await?.get(0);
    sqlx::query("UPDATE staff SET team = $2 WHERE id = $1").bind(id).bind(to).execute(db).await?;
    changed(app, id, &[old, to])
}

fn changed(app: &App, id: i64, teams: &[i32]) -> Result<(), ChangeError> {
    let teams = teams.iter().map(|team| format!("team:{team}"));
    let tags = teams.chain([format!("person:{id}"), "staff".to_owned()]);
    Ok(app.cache.invalidate_tags_after_commit(tags)?)
}
