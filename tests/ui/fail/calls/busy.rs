use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", busy = "later")]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
