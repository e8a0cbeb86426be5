use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
fn load(id: u64) -> std::pin::Pin<Box<dyn Future<Output = u64>>> {
    Box::pin(async move { id })
}

fn main() {}
