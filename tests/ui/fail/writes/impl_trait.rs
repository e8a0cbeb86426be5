use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn rename(id: u64) -> impl Iterator<Item = u64> {
    std::iter::once(id)
}

fn main() {}
