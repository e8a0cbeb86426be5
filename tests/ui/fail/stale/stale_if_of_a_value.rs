use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", stale_if_error = "1h", stale_if = |_| true)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
