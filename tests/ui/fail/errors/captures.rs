use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |code| *code == id, err_ttl = "10s")]
async fn load(id: u64) -> Result<u64, u64> {
    Ok(id)
}

fn main() {}
