use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", busy = fallback)]
async fn load(id: u64, fallback: String) -> String {
    id.to_string()
}

fn main() {}
