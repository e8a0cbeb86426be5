use redis_cached::redis_cached;

#[redis_cached::methods]
trait Table {
    const NAME: &'static str;

    #[redis_cached(key = "row:{id}", ttl = "5m")]
    fn row(id: u64) -> impl Future<Output = String> + Send {
        async move { format!("{}{id}", Self::NAME) }
    }
}

fn main() {}
