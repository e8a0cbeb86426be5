use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
fn load(id: u64) -> impl Future<Output = u64> {
    async move { id }
}

fn main() {}
