use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = true, err_ttl = "10s", share_err = "clone")]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
