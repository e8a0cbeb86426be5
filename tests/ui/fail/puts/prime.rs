use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
}

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> Result<User, std::io::Error> {
    Ok(User { id })
}

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn name(id: u64) -> String {
    id.to_string()
}

#[redis_cached(key = "maybe:{id}", ttl = "5m")]
async fn maybe(id: u64) -> Option<User> {
    Some(User { id })
}

#[redis_cached(key = "all", ttl = "5m")]
async fn all() -> u64 {
    let one = User { id: 1 };
    user_entry(1).prime(Ok(one.clone()));
    name_entry(1).prime("one");
    maybe_entry(1).prime(one);
    user_entry(1).prime(7);
    1
}

fn main() {}
