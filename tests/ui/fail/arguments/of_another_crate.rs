use redis_cached::redis_cached;

#[redis_cached(time = 300, key = "user:{id}", ttl = "5m", sync_writes = true)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
