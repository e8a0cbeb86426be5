use redis_cached::redis_cached;

#[redis_cached(key = "user:{name.get(1)}", ttl = "5m")]
async fn load(name: &str) -> usize {
    name.len()
}

fn main() {}
