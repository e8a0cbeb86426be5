use redis_cached::redis_cached;

#[redis_cached(key = "user:{ids[0]}", ttl = "5m")]
async fn load(ids: [u64; 2]) -> u64 {
    ids[0]
}

fn main() {}
