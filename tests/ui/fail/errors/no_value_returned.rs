use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |_| true, err_ttl = "10s")]
async fn touch(id: u64) {
    let _ = id;
}

fn main() {}
