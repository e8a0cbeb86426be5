use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(ref id: u64) -> u64 {
    *id
}

fn main() {}
