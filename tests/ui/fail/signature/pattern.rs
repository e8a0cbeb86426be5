use redis_cached::redis_cached;

#[redis_cached(key = "user", ttl = "5m")]
async fn load((a, b): (u64, u64)) -> u64 {
    a + b
}

fn main() {}
