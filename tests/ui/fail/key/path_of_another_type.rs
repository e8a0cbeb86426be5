use redis_cached::redis_cached;

trait Kind {
    const KIND: u64;
}

#[redis_cached(key = "user:{U::KIND}:{id}", ttl = "5m")]
async fn load<T: Kind>(id: u64) -> u64 {
    id + T::KIND
}

fn main() {}
