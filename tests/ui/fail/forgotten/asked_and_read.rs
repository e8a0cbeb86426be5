use std::time::Duration;

use redis_cached::redis_cached;

#[redis_cached(key = "rates:{id}", ttl = "1h", no_store_if = preview, max_age = max_age, busy = fallback.clone())]
async fn rates(id: u64, preview: bool, max_age: Duration, fallback: String) -> String {
    format!("{id}{preview}{max_age:?}{fallback}")
}

// Only a `bool` says nothing else.
#[redis_cached(key = "limited:{id}", ttl = "1h", no_store_if = depth > 3, max_age = Duration::from_secs(depth))]
async fn limited(id: u64, depth: u64) -> u64 {
    id + depth
}

fn main() {}
