use redis_cached::redis_cached;

#[redis_cached(key = "user:{ids}", ttl = "5m")]
async fn load(ids: &[u64]) -> usize {
    ids.len()
}

fn main() {}
