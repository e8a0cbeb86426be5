use redis_cached::redis_cached;

struct Id(u64);

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: Id) -> u64 {
    id.0
}

fn main() {}
