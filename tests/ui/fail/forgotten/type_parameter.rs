use redis_cached::redis_cached;

trait Table: Send {
    const NAME: &'static str;
}

#[redis_cached(key = "row:{id}", ttl = "5m")]
async fn row<T: Table>(id: u64) -> String {
    format!("{}{id}", T::NAME)
}

fn main() {}
