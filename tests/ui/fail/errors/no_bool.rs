use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |error| error.len(), err_ttl = "10s")]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
