use std::collections::HashMap;

use redis_cached::redis_cached;

#[redis_cached(
    key = "user:{id}", batch(ids as id), ttl = "5m", cache_err_if = |error| error.is_empty(), err_ttl = "1s"
)]
async fn load(ids: &[u64]) -> Result<HashMap<u64, u64>, String> {
    Ok(ids.iter().map(|id| (*id, *id)).collect())
}

fn main() {}
