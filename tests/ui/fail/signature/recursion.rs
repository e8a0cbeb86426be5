use redis_cached::redis_cached;

#[redis_cached(key = "fib:{n}", ttl = "5m")]
async fn fib(n: u64) -> u64 {
    if n < 2 { n } else { Box::pin(fib(n - 1)).await + Box::pin(fib(n - 2)).await }
}

fn main() {}
