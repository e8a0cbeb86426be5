use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |error| error.is_empty(), err_ttl = "10s")]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
