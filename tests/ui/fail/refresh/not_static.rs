use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(source, S))]
async fn load<S: Fn(u64) -> u64 + Clone + Send + Sync>(source: S, id: u64) -> u64 {
    source(id)
}

fn main() {}
