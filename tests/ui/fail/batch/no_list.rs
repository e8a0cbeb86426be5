use std::collections::HashMap;

use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", batch(ids as id), ttl = "5m")]
async fn of_any(ids: impl IntoIterator<Item = u64>) -> HashMap<u64, u64> {
    ids.into_iter().map(|id| (id, id)).collect()
}

#[redis_cached(key = "user", batch(ids as id), ttl = "5m")]
async fn without_it(ids: Vec<u64>) -> HashMap<u64, u64> {
    ids.into_iter().map(|id| (id, id)).collect()
}

#[redis_cached(key = "user:{id}", batch(ids as id), ttl = "5m", busy = HashMap::new(), max_age = oldest(ids))]
async fn asked_for_all(ids: Vec<u64>) -> HashMap<u64, u64> {
    ids.into_iter().map(|id| (id, id)).collect()
}

fn main() {}
