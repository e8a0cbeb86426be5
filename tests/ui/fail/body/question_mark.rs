use redis_cached::redis_cached;

#[derive(Clone)]
struct DbError;

async fn fetch(id: u64) -> Result<u64, std::io::Error> {
    Ok(id)
}

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s")]
async fn load(id: u64) -> Result<u64, DbError> {
    Ok(fetch(id).await?)
}

fn main() {}
