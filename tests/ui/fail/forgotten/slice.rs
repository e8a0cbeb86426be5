use redis_cached::redis_cached;

#[redis_cached(key = "users:{tenant}", ttl = "10m")]
async fn users(tenant: u32, ids: &[u64]) -> Vec<u64> {
    let _ = tenant;
    ids.to_vec()
}

fn main() {}
