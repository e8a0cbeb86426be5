use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", skip(E), cache_err_if = |_| true, err_ttl = "10s")]
async fn load<E: Send + 'static>(id: u64) -> Result<u64, E> {
    Ok(id)
}

fn main() {}
