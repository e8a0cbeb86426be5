use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn other(id: u64) -> u64 {
    id
}

#[redis_cached(key = "user:{id}", ttl = "5m", name = "users.load", same_entries_as = other)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
