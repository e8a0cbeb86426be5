use redis_cached::redis_cached;

struct User(u64);

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: u64) -> User {
    User(id)
}

fn main() {}
