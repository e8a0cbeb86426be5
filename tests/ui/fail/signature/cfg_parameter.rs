use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}:{name}", ttl = "5m")]
async fn load(id: u64, #[cfg(test)] name: &str) -> u64 {
    id
}

fn main() {}
