#![deny(warnings)]

use redis_cached::redis_cached;

#[redis_cached(
    key = "limits:{id}",
    ttl = "5m",
    near = "10s",
    max_concurrency = 8,
    jitter = "0%",
    wait = "1s"
)]
async fn limited(id: u64) -> u64 {
    id
}

#[redis_cached(
    key = "limits:ttl:{id}",
    ttl = "5m",
    near = "5m",
    max_concurrency = 65535,
    version = 4294967295
)]
async fn largest(id: u64) -> u64 {
    id
}

fn main() {
    let _ = (limited(1), largest(1));
}
