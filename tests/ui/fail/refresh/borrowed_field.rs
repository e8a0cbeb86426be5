use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(name))]
async fn load(name: Option<&str>, id: u64) -> u64 {
    let _ = name;
    id
}

fn main() {}
