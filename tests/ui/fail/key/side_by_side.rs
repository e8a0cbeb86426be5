use redis_cached::redis_cached;

#[redis_cached(key = "user:{a}{b}", ttl = "5m")]
async fn load(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {}
