use redis_cached::redis_cached;

type LocalBoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

#[redis_cached(key = "user:{id}", ttl = "5m")]
fn load(id: u64) -> LocalBoxFuture<'static, u64> {
    Box::pin(async move { id })
}

fn main() {}
