use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", none_ttl = "10s")]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
