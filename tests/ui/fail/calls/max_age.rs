use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", max_age = seconds, skip(seconds))]
async fn load(id: u64, seconds: u64) -> u64 {
    id
}

fn main() {}
