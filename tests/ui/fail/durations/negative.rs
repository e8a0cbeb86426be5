use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = -5)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
