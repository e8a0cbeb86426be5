use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load<T: Default>(id: u64) -> T {
    let _ = id;
    T::default()
}

fn main() {}
