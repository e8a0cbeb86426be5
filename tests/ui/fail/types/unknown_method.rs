use redis_cached::redis_cached;

struct User {
    id: u64,
}

#[redis_cached(key = "user:{user.uuid()}", ttl = "5m")]
async fn load(user: User) -> u64 {
    user.id
}

fn main() {}
