use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", soft_timeout = "3s", timeout = "2s", stale_if = |_| true)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
