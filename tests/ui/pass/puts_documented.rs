#![deny(warnings, unused)]

use redis_cached::{redis_cached, redis_put};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load_user(id: u64) -> User {
    User { id, name: String::new() }
}

#[redis_cached(key = "maybe:{id}", ttl = "5m")]
async fn maybe_user(id: u64) -> Option<User> {
    Some(User { id, name: String::new() })
}

struct Saved {
    user: User,
}

/// As the documentation of `redis_put` writes it, and the note of its error.
#[redis_put(load_user(id) = ret.user, maybe_user(id) = Some(ret.user.clone()), on_failure = "retry")]
async fn save(id: u64, name: String) -> Saved {
    Saved { user: User { id, name } }
}

#[redis_put(for user in &ret => load_user(user.id) = user, on_failure = "retry")]
async fn save_all(users: Vec<User>) -> Vec<User> {
    users
}

#[redis_put(maybe_user(id) = Some(ret.clone()), on_failure = "retry")]
async fn find(id: u64) -> Option<User> {
    Some(User { id, name: String::new() })
}

fn main() {
    drop(save(1, String::new()));
    drop(save_all(vec![]));
    drop(find(1));
}
