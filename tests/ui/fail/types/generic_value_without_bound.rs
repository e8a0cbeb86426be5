use redis_cached::redis_cached;

trait Table: Send {
    const NAME: &'static str;
}

#[redis_cached(key = "row:{T::NAME}:{id}", ttl = "5m")]
async fn row<T: Table + Default>(id: u64) -> T {
    let _ = id;
    T::default()
}

fn main() {}
