use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

type DbResult<T> = Result<T, DbError>;

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[derive(Clone)]
struct DbError;

#[redis_cached(key = "plain:{id}", ttl = "5m")]
async fn plain(id: u64) -> User {
    User { id, name: String::new() }
}

#[redis_cached(key = "option:{id}", ttl = "5m", none_ttl = "10s")]
async fn option(id: u64) -> Option<User> {
    Some(plain(id).await)
}

#[redis_cached(key = "result:{id}", ttl = "5m")]
async fn result(id: u64) -> Result<User, DbError> {
    option(id).await.ok_or(DbError)
}

#[redis_cached(key = "result_option:{id}", ttl = "5m", none_ttl = "10s")]
async fn result_option(id: u64) -> Result<Option<User>, DbError> {
    result(id).await.map(Some)
}

#[redis_cached(key = "alias:{id}", ttl = "5m")]
async fn alias(id: u64) -> DbResult<Vec<User>> {
    Ok(vec![result(id).await?])
}

#[redis_cached(key = "nothing", ttl = "5m")]
async fn nothing() {}

#[redis_cached(key = "borrowed_error", ttl = "5m")]
async fn borrowed_error() -> Result<u8, &'static str> {
    Err("none")
}

fn main() {}
