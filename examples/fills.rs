//! One read, or one write, that fills more than one entry. `cargo run --example fills` needs no server.

#![expect(clippy::unused_async, reason = "what these bodies would wait for is left out")]

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis_cached::{Cache, redis_cached, redis_invalidate, redis_put};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

static QUERIES: AtomicUsize = AtomicUsize::new(0);

fn query(id: u64) -> User {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    User { id, name: format!("user {id}") }
}

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> Result<User, String> {
    Ok(query(id))
}

/// Whoever has read the list has read the users in it.
#[redis_cached(key = "team:{team}", ttl = "1m")]
async fn team(team: u64) -> Result<Vec<User>, String> {
    let users = vec![query(team * 10), query(team * 10 + 1)];
    for found in &users {
        user_entry(found.id).prime(found);
    }
    Ok(users)
}

/// `UPDATE .. RETURNING *`: the next call of `user` is a hit, the next one of `team` is not.
#[redis_put(user(ret.id), on_failure = "retry")]
#[redis_invalidate(team(id / 10), on_failure = "retry")]
async fn rename(id: u64, name: &str) -> Result<User, String> {
    Ok(User { id, name: name.to_owned() })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    redis_cached::init(Cache::builder().url("memory://").build().await?)?;
    let told = |what: &str| {
        println!("{what:<44}{} queries", QUERIES.swap(0, Ordering::Relaxed));
    };

    team(1).await?;
    told("a team of two");
    println!("  {}, {}", user(10).await?.name, user(11).await?.name);
    told("both of its users, one by one");
    rename(11, "Ada").await?;
    println!("  {}", user(11).await?.name);
    told("one of them, who was renamed");
    team(1).await?;
    told("the team again");
    Ok(())
}
