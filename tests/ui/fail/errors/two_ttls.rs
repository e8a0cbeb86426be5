use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |_| true, err_ttl = "10s", err_ttl_with = lives)]
async fn load(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn lives(_: &String) -> std::time::Duration {
    std::time::Duration::ZERO
}

fn main() {}
