use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", lock_ttl = "50ms")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
