use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(source))]
async fn load(source: impl Fn(u64) -> u64 + Send + Sync, id: u64) -> u64 {
    source(id)
}

fn main() {}
