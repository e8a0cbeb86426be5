use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

#[redis_cached(key = "user:{id}", ttl = "5m", near = "10s")]
async fn load(id: u64) -> Result<User, String> {
    Ok(User { name: id.to_string() })
}

fn main() {}
