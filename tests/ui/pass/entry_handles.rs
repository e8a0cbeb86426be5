#![deny(warnings)]
//! A handle has a name: it can be passed on and kept.

use redis_cached::{Entry, Error, Peek, State, redis_cached};
use serde::{Deserialize, Serialize};

type DbResult<T> = Result<T, DbError>;

struct DbError;

#[derive(Clone, Serialize, Deserialize)]
struct User(u64);

#[redis_cached(key = "handles:user:{id}", ttl = "5m", refresh_before = "10%")]
async fn user(id: u64) -> DbResult<User> {
    Ok(User(id))
}

#[redis_cached(key = "handles:count", ttl = "5m")]
async fn count() -> u64 {
    1
}

#[redis_cached(key = "handles:nothing", ttl = "5m")]
async fn nothing() {}

struct Kept {
    user: Entry<Result<User, DbError>>,
    count: Entry<u64>,
    nothing: Entry<()>,
}

fn keep() -> Kept {
    Kept { user: user_entry(1), count: count_entry(), nothing: nothing_entry() }
}

async fn drop_all<R>(entries: Vec<Entry<R>>) -> Result<(), Error> {
    for entry in entries {
        let _: &str = entry.key();
        entry.invalidate().await?;
    }
    Ok(())
}

async fn use_them(kept: &Kept) -> Result<u64, Error> {
    let found: Option<Peek<User>> = kept.user.peek().await?;
    let is_stale = found.as_ref().is_some_and(|peek| peek.state == State::Stale);
    kept.user.set(User(2)).await?;
    kept.count.set(2).await?;
    kept.nothing.set(()).await?;
    kept.user.expire().await?;
    let _ = (kept.count.ttl().await?, is_stale);
    drop_all(vec![user_entry(1), user_entry(2)]).await?;
    let count = kept.count.peek().await?.map_or(0, |peek| peek.value);
    Ok(found.map_or(count, |peek| peek.value.0))
}

fn send<T: Send + Sync + 'static>(_: T) {}

fn main() {
    let _ = use_them(&keep());
    send(user_entry(1));
    let _ = (user(1), count(), nothing());
}
