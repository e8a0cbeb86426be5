use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_if = true)]
async fn load(id: u64) -> Result<Vec<u64>, String> {
    Ok(vec![id])
}

fn main() {}
