use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", err_ttl = "10s")]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[redis_cached(key = "user:{id}", ttl = "5m", err_ttl_with = |error| error.retry_after)]
async fn again(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
