use redis_cached::redis_cached;

#[redis_cached(key = "user:{a}-{b}", ttl = "5m")]
async fn load(a: &str, b: &str) -> usize {
    a.len() + b.len()
}

fn main() {}
