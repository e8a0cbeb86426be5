use redis_cached::redis_cached;

type DbResult<T> = Result<T, String>;

#[redis_cached(key = "user:{id}", ttl = "5m", none_ttl = "10s")]
async fn load(id: u64) -> DbResult<u64> {
    Ok(id)
}

fn main() {}
