use redis_cached::redis_cached;

#[redis_cached(key = "", ttl = "5m")]
async fn load() -> u64 {
    1
}

fn main() {}
