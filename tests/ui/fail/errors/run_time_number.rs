use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |_| true, err_ttl = id)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
