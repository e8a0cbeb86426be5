use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", none_ttl = 0)]
async fn load(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
