use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id @ (_, _): (u64, u64)) -> u64 {
    id.0
}

fn main() {}
