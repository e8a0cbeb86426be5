use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate("user:7", user, user(id).invalidate, for id in [1, 2] => id, on_failure = "retry")]
async fn rename(id: u64) {
    let _ = id;
}

fn main() {}
