//! One query for many keys. `cargo run --example batch` needs no server.

#![expect(clippy::unused_async, reason = "what these bodies would wait for is left out")]

use std::collections::HashMap;
use std::error::Error;

use redis_cached::{Cache, redis_cached};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct User {
    name: String,
}

/// `SELECT .. WHERE id = ANY($1)`: of 42 and above there are none.
fn query(ids: &[u64]) -> HashMap<u64, User> {
    println!("  the database is asked for {ids:?}");
    let there = ids.iter().filter(|id| **id < 42);
    there.map(|id| (*id, User { name: format!("user {id}") })).collect()
}

#[redis_cached(key = "user:{id}", ttl = "5m", none_ttl = "10s")]
async fn load_user(id: u64) -> Result<Option<User>, String> {
    Ok(query(&[id]).remove(&id))
}

/// The same entries. Its body gets the missing ones, in one query; those that it does not find are remembered, too.
#[redis_cached(
    key = "user:{id}", batch(ids as id), same_entries_as = load_user, ttl = "5m", none_ttl = "10s"
)]
async fn load_users(ids: &[u64]) -> Result<HashMap<u64, User>, String> {
    Ok(query(ids))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    redis_cached::init(Cache::builder().url("memory://").build().await?)?;

    println!("load_user(2)");
    load_user(2).await?;
    for ids in [&[1, 2, 3, 2, 42][..], &[3, 42, 1]] {
        println!("load_users({ids:?})");
        println!("  {} users", load_users(ids).await?.len());
    }
    println!("load_user(3) behind them");
    println!("  {}", load_user(3).await?.map_or("nobody".to_owned(), |user| user.name));

    println!("2 was renamed");
    load_user_entry(2).invalidate().await?;
    println!("load_users([1, 2, 3])");
    println!("  {} users", load_users(&[1, 2, 3]).await?.len());
    Ok(())
}
