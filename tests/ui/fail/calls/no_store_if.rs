use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", no_store_if = id)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
