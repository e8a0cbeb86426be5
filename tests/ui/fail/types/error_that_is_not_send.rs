use redis_cached::redis_cached;
use std::error::Error;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: u64) -> Result<u64, Box<dyn Error>> {
    Ok(id)
}

fn main() {}
