use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate(
    for ret in &ids => user(*ret),
    user(ids.iter().map(|ret| *ret).sum()),
    on_failure = "retry"
)]
async fn rename(ids: Vec<u64>) -> u64 {
    drop(ids);
    1
}

fn main() {}
