use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", timeout = "2s")]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
