use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: u64) -> Option<&'static str> {
    (id > 0).then_some("positive")
}

fn main() {}
