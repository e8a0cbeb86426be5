use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", max_age = "5m")]
async fn not_shorter_than_ttl(id: u64) -> u64 {
    id
}

#[redis_cached(key = "zero:{id}", ttl = "5m", max_age = 0)]
async fn zero(id: u64) -> u64 {
    id
}

fn main() {}
