//! Without a refresh the body gets what the caller has, borrowed or not.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use redis_cached::redis_cached;

struct Connection;

trait Executor: Send {}

impl Executor for &mut Connection {}

#[redis_cached(key = "borrowed:exclusive:{id}", ttl = "5m", skip(connection))]
async fn exclusive(connection: &mut Connection, id: u64) -> u64 {
    let _ = connection;
    id
}

#[redis_cached(key = "borrowed:opaque:{id}", ttl = "5m", skip(executor))]
async fn opaque(executor: impl Executor, id: u64) -> u64 {
    let _ = executor;
    id
}

#[redis_cached(key = "borrowed:objects:{id}", ttl = "5m", skip(names, shared, call))]
async fn objects(
    names: &[&str],
    shared: Arc<Mutex<Vec<u64>>>,
    call: &(dyn Fn(u64) -> u64 + Send + Sync),
    id: &dyn DisplayAndSync,
) -> u64 {
    let _ = (names, shared, id);
    call(1)
}

trait DisplayAndSync: Display + Sync {}

#[redis_cached(key = "borrowed:cow:{name}:{id}", ttl = "5m")]
async fn cow(name: Cow<'_, str>, id: &&u64) -> String {
    format!("{name}{id}")
}

async fn caller() {
    let mut connection = Connection;
    exclusive(&mut connection, 1).await;
    exclusive_refresh(&mut connection, 1).await;
    opaque(&mut connection, 1).await;
    objects_uncached(&[], Arc::default(), &|id| id, &Id).await;
    cow("a".into(), &&1).await;
    let _ = (exclusive_entry(1), opaque_entry(1), objects_entry(&Id), cow_entry("a".into(), &&1));
}

struct Id;

impl Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("id")
    }
}

impl DisplayAndSync for Id {}

fn main() {
    let _ = caller();
}
