use redis_cached::redis_cached;

fn seconds(id: u64) -> u64 {
    id
}

#[redis_cached(key = "user:{id}", ttl = seconds(id))]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
