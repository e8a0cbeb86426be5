use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = Vec::is_empty, err_ttl = "10s")]
async fn load(id: u64) -> Result<Vec<u64>, String> {
    Ok(vec![id])
}

fn main() {}
