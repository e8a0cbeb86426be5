use redis_cached::redis_cached;

#[redis_cached(key = "user:{name}", ttl = "5m")]
async fn load(name: &str) -> &str {
    name
}

fn main() {}
