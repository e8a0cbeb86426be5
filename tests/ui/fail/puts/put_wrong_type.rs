use redis_cached::{redis_cached, redis_put};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
}

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> Result<User, std::io::Error> {
    Ok(User { id })
}

#[redis_cached(key = "maybe:{id}", ttl = "5m")]
async fn maybe(id: u64) -> Option<User> {
    Some(User { id })
}

struct Saved {
    user: User,
}

#[redis_put(user(id), on_failure = "retry")]
async fn nothing(id: u64) {
    let _ = id;
}

#[redis_put(user(ret.user.id), on_failure = "retry")]
async fn another(id: u64) -> Saved {
    Saved { user: User { id } }
}

#[redis_put(user(id) = id, on_failure = "retry")]
async fn a_number(id: u64) -> User {
    User { id }
}

#[redis_put(maybe(id), on_failure = "retry")]
async fn what_is_in_it(id: u64) -> Option<User> {
    Some(User { id })
}

#[redis_put(for user in &ret => maybe(user.id) = user, on_failure = "retry")]
async fn many(id: u64) -> Vec<User> {
    vec![User { id }]
}

#[redis_put(user(id), on_failure = "error")]
async fn without_a_result(id: u64) -> User {
    User { id }
}

fn main() {}
