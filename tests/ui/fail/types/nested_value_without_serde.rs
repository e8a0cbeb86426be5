use redis_cached::redis_cached;

struct User;

#[redis_cached(key = "users", ttl = "5m")]
async fn load() -> Result<Vec<User>, String> {
    Ok(vec![User])
}

fn main() {}
