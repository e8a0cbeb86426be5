use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", batch(ids as id), ttl = "5m")]
async fn load(ids: &[u64]) -> Vec<String> {
    ids.iter().map(u64::to_string).collect()
}

fn main() {}
