use redis_cached::redis_cached;

#[redis_cached(key = "one", ttl = "5m")]
const fn load() -> u64 {
    1
}

fn main() {}
