use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = std::time::Duration::from_secs(5))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
