use redis_cached::redis_cached;

enum Failed {
    NotFound,
}

type Answer<T> = Result<T, Failed>;

#[redis_cached(key = "user:{id}", ttl = "5m", cache_err_if = |error| matches!(error, Failed::NotFound), err_ttl = "10s")]
async fn load(id: u64) -> Answer<u64> {
    Ok(id)
}

fn main() {}
