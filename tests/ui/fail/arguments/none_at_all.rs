use redis_cached::redis_cached;

#[redis_cached]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
