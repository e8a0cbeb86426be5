//! A Postgres database behind a cache: what is written in a transaction is invalidated when it has
//! committed, and what others write is told by `NOTIFY`.

pub mod changes;
pub mod projects;
pub mod staff;
pub mod transaction;

use redis_cached::Cache;
use sqlx::PgPool;

/// What every call needs.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub pool: PgPool,
    /// The cache in front of it.
    pub cache: Cache,
}

/// Makes the tables, and the trigger that tells of changes.
///
/// # Errors
///
/// Those of the database.
pub async fn migrate(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("schema.sql")).execute(pool).await.map(drop)
}
