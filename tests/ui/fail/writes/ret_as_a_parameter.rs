use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate(user(ret), tags = ["org:{ret}"], on_failure = "retry")]
async fn rename(ret: u64) -> u64 {
    ret
}

fn main() {}
