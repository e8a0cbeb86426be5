#![forbid(unsafe_code)]
#![deny(warnings)]

use redis_cached::redis_cached;

#[redis_cached(key = "unsafe:{id}", ttl = "5m", refresh_before = "10%", clearable, tags = ["a"])]
async fn load(id: u64) -> Result<Option<u64>, String> {
    Ok(Some(id))
}

fn main() {
    let _ = load(1);
}
