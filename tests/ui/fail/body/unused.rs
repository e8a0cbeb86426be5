#![deny(unused)]
use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", skip(name))]
pub async fn load(id: u64, name: &str) -> u64 {
    id
}

fn main() {}
