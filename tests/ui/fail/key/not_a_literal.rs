use redis_cached::redis_cached;

const KEY: &str = "user:{id}";

#[redis_cached(key = KEY, ttl = "5m")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
