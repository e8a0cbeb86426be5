#![deny(warnings)]
//! A function that calls itself returns a boxed future.

use std::future::Future;
use std::pin::Pin;

use redis_cached::redis_cached;

#[redis_cached(key = "fib:{n}", ttl = "5m")]
fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { if n < 2 { n } else { fib(n - 1).await + fib(n - 2).await } })
}

fn main() {
    drop(fib(3));
}
