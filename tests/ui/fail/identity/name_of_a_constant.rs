use redis_cached::redis_cached;

const NAME: &str = "users.load";

#[redis_cached(key = "user:{id}", ttl = "5m", name = NAME)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
