use redis_cached::redis_cached;

#[redis_cached(key = "users", ttl = "5m", skip(db))]
async fn load() -> u64 {
    1
}

fn main() {}
