use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate(user(id))]
async fn rename(id: u64) -> Result<u64, std::io::Error> {
    Ok(id)
}

fn main() {}
